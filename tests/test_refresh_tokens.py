"""Rows of refresh tokens: which are due, who may pause whom, and what a reconnect replaces."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.contrib.auth.models import User
from django.db.models import Model
from django.utils import timezone

from infisical_azure.models import AccessToken, AppConnection, RefreshToken
from infisical_azure.secret import Secret

from .hostapp.host import make_organization
from .microsoft import ACCOUNT, OTHER_TENANT, TENANT

pytestmark = pytest.mark.django_db
MINUTE = timedelta(minutes=1)


@pytest.fixture
def now() -> Any:
    with time_machine.travel(timezone.now(), tick=False):
        yield timezone.now()


def row(organization: Model, *, connection: dict[str, Any] | None = None, **facts: Any) -> Any:
    given = {
        "name": f"c-{uuid.uuid4().hex[:8]}",
        "cloud": "public",
        "tenant_id": TENANT,
        "account_object_id": ACCOUNT,
        "status": "ready",
    }
    made = AppConnection.objects.create(organization=organization, **given | (connection or {}))
    return RefreshToken.objects.create(connection=made, secret=Secret("CANARY"), **facts)


@pytest.mark.parametrize(
    ("facts", "is_due"),
    [
        ({"due_at": 0}, True),
        ({"due_at": -9}, True),
        ({"due_at": 1}, False),
        ({}, False),
        ({"due_at": 0, "lease_until": 0}, True),
        ({"due_at": 0, "lease_until": 1}, False),
        ({"due_at": 0, "next_try_at": 0}, True),
        ({"due_at": 0, "next_try_at": 1}, False),
        ({"due_at": 0, "revoked_at": -9}, False),
    ],
    ids=str,
)
def test_due_are_those_that_may_be_tried_now(
    organization: Model, now: datetime, facts: dict[str, int], is_due: bool
) -> None:
    made = row(organization, **{name: now + number * MINUTE for name, number in facts.items()})
    assert list(RefreshToken.objects.due(now)) == [made] * is_due


def test_longest_overdue_comes_first(organization: Model, now: datetime) -> None:
    ages = [3, 9, 1, 7]
    made = {age: row(organization, due_at=now - age * MINUTE) for age in ages}
    found = list(RefreshToken.objects.due(now))
    assert found == [made[age] for age in sorted(ages, reverse=True)]


def test_connections_that_wait_for_each_other_are_the_organizations_own(
    organization: Model, now: datetime
) -> None:
    until = now + MINUTE
    mine = row(organization)
    neighbour = row(organization)
    sooner = row(organization, next_try_at=now)
    later = row(organization, next_try_at=now + 9 * MINUTE)
    elsewhere = [
        row(organization, connection={"tenant_id": OTHER_TENANT}),
        row(organization, connection={"cloud": "china"}),
        row(make_organization("Wingtip Toys")),
    ]
    RefreshToken.objects.pause(mine.connection, until)
    for one in (mine, neighbour, sooner, later, *elsewhere):
        one.refresh_from_db()
    assert [one.next_try_at for one in (mine, neighbour, sooner)] == [until] * 3
    assert later.next_try_at == now + 9 * MINUTE
    assert [one.next_try_at for one in elsewhere] == [None] * 3


def test_new_grant_takes_the_place_of_the_old_one_alone(organization: Model, now: datetime) -> None:
    old, other = (
        row(organization, fence=7, failures=3, revoked_at=now, lease_until=now) for _ in range(2)
    )
    new = RefreshToken(connection=old.connection, secret=Secret("CANARY-new"), expires_at=now)
    RefreshToken.objects.replace(new)
    found = RefreshToken.objects.with_secret().get(pk=old.pk)
    assert found.secret.reveal() == "CANARY-new"
    assert (found.fence, found.failures, found.expires_at) == (8, 0, now)
    assert (found.revoked_at, found.lease_until) == (None, None)
    other.refresh_from_db()
    assert (other.fence, other.failures, other.revoked_at) == (7, 3, now)


def test_new_grant_makes_a_row_where_there_is_none(organization: Model) -> None:
    lost = row(organization)
    RefreshToken.objects.all().delete()
    RefreshToken.objects.replace(RefreshToken(connection=lost.connection, secret=Secret("new")))
    assert RefreshToken.objects.with_secret().get().secret.reveal() == "new"


def test_overtaking_raises_the_fence_of_one_connection(organization: Model) -> None:
    mine, other = row(organization), row(organization, fence=4)
    RefreshToken.objects.overtake(mine.connection)
    for one in (mine, other):
        one.refresh_from_db()
    assert (mine.fence, other.fence) == (1, 4)


def test_secrets_stay_in_the_database_until_they_are_wanted(
    organization: Model, django_assert_num_queries: Any
) -> None:
    made = row(organization)
    assert "secret" in RefreshToken.objects.get().get_deferred_fields()
    with django_assert_num_queries(2):
        found = RefreshToken.objects.to_refresh().get(pk=made.pk)
        assert found.secret.reveal() == "CANARY"
        assert found.connection.name == made.connection.name
        assert list(found.connection.access_tokens.all()) == []


@pytest.mark.parametrize(
    ("life", "left", "leeway", "is_valid"),
    [
        (60, 6, 5, True),
        (60, 5, 5, False),
        (60, 4, 5, False),
        (10, 3, 5, True),
        (10, 2, 5, False),
        (60, 0, 0, False),
    ],
)
def test_token_outlasts_the_leeway_or_a_fifth_of_its_life(
    life: int, left: int, leeway: int, is_valid: bool
) -> None:
    now = timezone.now()
    expires_at = now + left * MINUTE
    held = AccessToken(issued_at=expires_at - life * MINUTE, expires_at=expires_at)
    assert held.is_valid(now, leeway * MINUTE) is is_valid


def test_grants_last_as_long_as_entra_says() -> None:
    assert timedelta(days=90) == RefreshToken.LIFETIME
    assert timedelta(days=30) == RefreshToken.KEEP_ALIVE


def test_rows_say_whose_they_are(organization: Model, admin_user: User) -> None:
    made = row(organization)
    assert str(made) == f"refresh token of {made.pk}"
