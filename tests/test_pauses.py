"""How long Microsoft is left alone, and what passes by itself."""

from __future__ import annotations

import random
import uuid
from datetime import timedelta

import pytest

from infisical_azure.exceptions import (
    DeliveryError,
    Fault,
    Reaction,
    RemoteError,
    TokenUnavailableError,
    UnavailableError,
)
from infisical_azure.pauses import is_brief_conflict, passes, pause_after, pause_of_token

HALF_AN_HOUR = timedelta(minutes=30)
SECOND = timedelta(seconds=1)


def fault(error: str = "", **facts: object) -> Fault:
    return Fault(service="Microsoft", error=error, **facts)  # type: ignore[arg-type]


def pauses(failures: int, longest: timedelta = HALF_AN_HOUR) -> list[timedelta]:
    random.seed(1)
    return [pause_after(failures, None, longest=longest) for _ in range(100)]


@pytest.mark.parametrize(("failures", "seconds"), [(0, 30), (1, 60), (2, 120), (3, 240)])
def test_each_failure_doubles_the_pause(failures: int, seconds: int) -> None:
    for found in (pauses(failures), pauses(failures)[1:]):
        assert timedelta(seconds=seconds) <= min(found)
        assert max(found) <= timedelta(seconds=seconds * 1.2)
    assert len(set(pauses(failures))) > 50


@pytest.mark.parametrize("failures", [6, 10, 10_000])
def test_pause_has_an_end(failures: int) -> None:
    assert min(pauses(failures)) >= HALF_AN_HOUR
    assert max(pauses(failures)) <= HALF_AN_HOUR * 1.2
    ever = pauses(failures, longest=timedelta(days=365))
    assert max(ever) <= timedelta(seconds=30) * 2**10 * 1.2


def test_what_microsoft_asks_for_is_heeded_exactly_but_not_for_ever() -> None:
    for wish in (timedelta(0), SECOND, timedelta(hours=3), timedelta(days=1)):
        asked = fault("busy", retry_after=wish)
        assert pause_after(9, asked, longest=timedelta(minutes=1)) == wish
    too_long = fault("busy", retry_after=timedelta(days=2))
    assert pause_after(0, too_long, longest=SECOND) == timedelta(days=1)


def test_fault_without_a_wish_is_paused_for_as_one_without_a_fault() -> None:
    assert pause_after(2, fault("busy"), longest=HALF_AN_HOUR) >= timedelta(minutes=2)


def test_loop_is_left_alone_as_long_as_entra_counts() -> None:
    loop = fault("invalid_grant", aadsts=50196)
    assert pause_after(0, loop, longest=SECOND) == timedelta(minutes=5)
    asked = fault("invalid_grant", aadsts=50196, retry_after=timedelta(minutes=7))
    assert pause_after(0, asked, longest=SECOND) == timedelta(minutes=7)


def test_token_is_left_alone_for_half_a_minute_at_least() -> None:
    brief = fault("busy", retry_after=SECOND)
    assert pause_of_token(0, brief, longest=HALF_AN_HOUR) == timedelta(seconds=30)
    long = fault("busy", retry_after=timedelta(minutes=2))
    assert pause_of_token(0, long, longest=HALF_AN_HOUR) == timedelta(minutes=2)


NOBODY = uuid.UUID(int=1)


def unavailable(reaction: Reaction) -> TokenUnavailableError:
    return TokenUnavailableError(
        connection_id=uuid.UUID(int=1),
        reaction=reaction,
        problem="x",
        correlation_id="",
        retry_at=None,
    )


@pytest.mark.parametrize(
    ("error", "is_passing"),
    [
        (unavailable(Reaction.RETRY), True),
        (unavailable(Reaction.RECONNECT), False),
        (unavailable(Reaction.OPERATOR), False),
        (UnavailableError(fault("timeout")), True),
        (UnavailableError(fault("key-locked", http_status=503)), True),
        (RemoteError(fault("forbidden", http_status=403)), False),
        (RemoteError(fault("conflict", http_status=409)), True),
        (RemoteError(fault("Directory_ConcurrencyViolation", http_status=400)), True),
        (RemoteError(fault("key-locked", http_status=409)), False),
        (RemoteError(fault("ObjectIsDeletedButRecoverable", http_status=409)), False),
        (DeliveryError("A hook failed."), False),
    ],
    ids=str,
)
def test_some_failures_pass_by_themselves(error: Exception, is_passing: bool) -> None:
    assert passes(error) is is_passing


def test_conflict_is_brief_unless_a_person_must_end_it() -> None:
    assert is_brief_conflict(fault("", http_status=409))
    assert not is_brief_conflict(fault("", http_status=400))
