"""Which token is fresh enough for a wish, and when it is refreshed."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.utils import timezone

from infisical_azure.freshness import (
    Wish,
    early,
    granted,
    held_by,
    is_just_forced,
    keep_alive_at,
)
from infisical_azure.models import AccessToken, AppConnection, RefreshToken
from infisical_azure.secret import Secret

MINUTE = timedelta(minutes=1)


@pytest.fixture
def now() -> Any:
    with time_machine.travel(timezone.now(), tick=False):
        yield timezone.now()


def token(now: datetime, *, issued: int = -30, refresh: int = 20, expires: int = 30) -> AccessToken:
    return AccessToken(
        issued_at=now + issued * MINUTE,
        refresh_at=now + refresh * MINUTE,
        expires_at=now + expires * MINUTE,
    )


@pytest.mark.parametrize(
    ("wish", "held", "is_met"),
    [
        ({}, {}, True),
        ({}, {"expires": 4}, False),
        ({}, {"refresh": -1}, True),
        ({"early": True}, {}, True),
        ({"early": True}, {"refresh": 0}, False),
        ({"early": True}, {"refresh": 1}, True),
        ({"early": True}, {"refresh": 1, "expires": 4}, False),
        ({"issued_after": -31}, {}, True),
        ({"issued_after": -30}, {}, False),
        ({"issued_after": -29}, {}, False),
    ],
    ids=str,
)
def test_wish_is_met_by_what_is_fresh_enough(
    now: datetime, wish: dict[str, Any], held: dict[str, int], is_met: bool
) -> None:
    given = dict(wish)
    if "issued_after" in given:
        given["issued_after"] = now + given["issued_after"] * MINUTE
    made = Wish(connection_id=uuid.uuid4(), audience="x", **given)
    assert made.is_met_by(token(now, **held)) is is_met
    assert not made.is_met_by(None)
    assert made.is_for_use


@pytest.mark.parametrize(
    ("seconds", "claims", "is_just"),
    [(0, "", True), (29, "", True), (31, "", False), (0, "{}", False), (None, "", False)],
)
def test_token_that_was_just_forced_is_not_forced_again(
    now: datetime, seconds: int | None, claims: str, is_just: bool
) -> None:
    held = token(now)
    held.forced_at = None if seconds is None else now - timedelta(seconds=seconds)
    assert is_just_forced(held, claims) is is_just


@pytest.mark.django_db
def test_token_that_was_used_latest_comes_first(connection: AppConnection, now: datetime) -> None:
    made = connection.access_tokens.get()
    AccessToken.objects.update(used_at=now - 5 * MINUTE, issued_at=now - 50 * MINUTE)
    for name, used, issued in (("old", 20, 50), ("new", 1, 50), ("unused", None, 3)):
        connection.access_tokens.create(
            resource=name,
            secret="CANARY",
            issued_at=now - issued * MINUTE,
            refresh_at=now,
            expires_at=now,
            used_at=None if used is None else now - used * MINUTE,
        )
    row = RefreshToken.objects.to_refresh().get()
    names = [held.resource for held in held_by(row)]
    assert names == ["new", "unused", made.resource, "old"]


def test_grant_lasts_ninety_days_and_is_kept_alive_a_month_before_its_end(now: datetime) -> None:
    made = granted(AppConnection(), Secret("CANARY"))
    assert made.expires_at == now + timedelta(days=90)
    assert made.due_at is not None
    assert now + timedelta(days=59) <= made.due_at <= now + timedelta(days=60)
    assert made.secret.reveal() == "CANARY"
    without = granted(AppConnection(), None)
    assert (without.secret, without.expires_at, without.due_at) == (None, None, None)
    assert keep_alive_at(None) is None
    before = {now - (keep_alive_at(now) or now) - RefreshToken.KEEP_ALIVE for _ in range(100)}
    assert len(before) > 10
    assert all(timedelta(0) <= one <= timedelta(days=1) for one in before)


def test_refresh_is_due_in_the_last_fifth(now: datetime) -> None:
    found = [early(now, now + 100 * MINUTE) for _ in range(50)]
    assert now + 80 * MINUTE <= min(found)
    assert max(found) <= now + 95 * MINUTE
    assert len(set(found)) > 25
