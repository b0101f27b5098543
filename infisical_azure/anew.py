"""Failures raised anew, without the frames that hold what was sent and answered."""

from __future__ import annotations

import functools
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec, TypeVar

from django.core.exceptions import ImproperlyConfigured, SuspiciousOperation
from django.db.utils import Error as DatabaseError
from django.template import TemplateDoesNotExist, TemplateSyntaxError

from .exceptions import InfisicalAzureError, UnforeseenError

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")
_INNERMOST = 3
#: Raised on purpose, by us or by Django, with texts that quote no secret.
_ON_PURPOSE = (
    *(InfisicalAzureError, ImproperlyConfigured, SuspiciousOperation, DatabaseError),
    *(TemplateDoesNotExist, TemplateSyntaxError),
)
#: The time limits of Celery and of RQ, which signals raise wherever the work is.
_TIME_LIMITS = {"SoftTimeLimitExceeded", "JobTimeoutException"}


def raised_anew(act: Callable[[], Result]) -> Result:
    """
    Return what `act` returns, and raise its failure anew.

    The traceback of the first one leads through frames that hold requests and replies
    with all their secrets, and the texts of some errors quote them; error reports would
    show them. An interruption (SystemExit, KeyboardInterrupt, a time limit) goes on as it
    is, but without its traceback. Raises UnforeseenError for other exceptions that neither
    we nor Django raise on purpose.
    """
    failure: BaseException
    try:
        return act()
    except BaseException as error:  # noqa: BLE001
        failure = _without_frames(error)
    raise failure


def raising_anew(act: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Have a function, whose arguments are no secrets or `Secret`s, raise failures anew."""

    @functools.wraps(act)
    def guarded(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        return raised_anew(lambda: act(*args, **kwargs))

    return guarded


def is_interruption(error: BaseException) -> bool:
    """Say whether it comes from outside, and is for the process or the task to handle."""
    names = {kind.__name__ for kind in type(error).__mro__}
    return not isinstance(error, Exception) or not names.isdisjoint(_TIME_LIMITS)


def _without_frames(error: BaseException) -> BaseException:
    frames = traceback.extract_tb(error.__traceback__)[-_INNERMOST:]
    places = ", ".join(f"{Path(one.filename).name}:{one.lineno} {one.name}" for one in frames)
    if is_interruption(error):
        if not hasattr(error, "__notes__"):
            error.add_note(f"It came at {places}.")  # All that is left of the traceback.
    elif not isinstance(error, _ON_PURPOSE):
        return UnforeseenError(f"{type(error).__name__} at {places}")
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)
