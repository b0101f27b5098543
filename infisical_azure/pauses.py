"""How long to leave Microsoft alone after a failure, and whether it passes by itself."""

from __future__ import annotations

import random
from datetime import timedelta

from .exceptions import Fault, Reaction, RemoteError, TokenUnavailableError, UnavailableError

_FIRST = timedelta(seconds=30)
# So long Entra counts how often the same request came.
_LOOP = timedelta(minutes=5)
# What Microsoft asks for is heeded, but not for ever.
_LONGEST_WISH = timedelta(days=1)
#: Conflicts that only a person ends, unlike two writes at once.
_LASTING_CONFLICTS = {"key-locked", "ObjectIsDeletedButRecoverable"}


def pause_after(failures: int, fault: Fault | None, *, longest: timedelta) -> timedelta:
    """Return as long as Microsoft asks for, or longer with each of the failures before."""
    if fault is not None and (fault.retry_after is not None or fault.is_loop):
        return min(fault.retry_after or _LOOP, _LONGEST_WISH)
    pause: timedelta = min(_FIRST * 2 ** min(failures, 10), longest)
    return pause * random.uniform(1, 1.2)  # noqa: S311


def pause_of_token(failures: int, fault: Fault | None, *, longest: timedelta) -> timedelta:
    """Return the same for a token request, which nobody's test repeats within half a minute."""
    return max(pause_after(failures, fault, longest=longest), _FIRST)


def passes(error: Exception) -> bool:
    """Say whether a failure is likely to be over before a person could act."""
    if isinstance(error, TokenUnavailableError):
        return error.reaction is Reaction.RETRY
    if isinstance(error, RemoteError):
        return isinstance(error, UnavailableError) or is_brief_conflict(error.fault)
    return False


def is_brief_conflict(fault: Fault) -> bool:
    """Say whether somebody else was writing at the same moment, which is over in seconds."""
    is_conflict = fault.http_status == 409 or fault.error == "Directory_ConcurrencyViolation"
    return is_conflict and fault.error not in _LASTING_CONFLICTS
