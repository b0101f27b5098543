"""Rows of watched client secrets: which end when, and which a rotation replaces."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.db.models import Model
from django.utils import timezone

from infisical_azure.models import AppConnection, RotatedSecret, Rotation, WatchedSecret

from .hostapp.host import make_organization
from .microsoft import APPLICATION, TENANT

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)
KEY = uuid.uuid4()
State = RotatedSecret.State


@pytest.fixture(autouse=True)
def now() -> Any:
    with time_machine.travel(timezone.now(), tick=False):
        yield timezone.now()


def connect(organization: Model) -> AppConnection:
    made: AppConnection = AppConnection.objects.create(
        organization=organization,
        name=f"c-{uuid.uuid4().hex[:8]}",
        tenant_id=TENANT,
        account_object_id=TENANT,
        status="ready",
    )
    return made


def seen(connection: AppConnection, days: float | None = 1, **facts: Any) -> WatchedSecret:
    given = {
        "key_id": uuid.uuid4(),
        "application_id": APPLICATION,
        "app_id": APPLICATION,
        "seen_at": timezone.now(),
        "expires_at": None if days is None else timezone.now() + days * DAY,
    }
    return WatchedSecret.objects.create(connection=connection, **given | facts)


def rotated(connection: AppConnection, secret: dict[str, Any], **facts: Any) -> Rotation:
    given = {
        "application_id": APPLICATION,
        "app_id": APPLICATION,
        "interval": 90 * DAY,
        "overlap": DAY,
        "lifetime": 180 * DAY,
        "due_at": timezone.now(),
    }
    made: Rotation = Rotation.objects.create(connection=connection, **given | facts)
    made.secrets.create(key_id=KEY, expires_at=timezone.now() + 180 * DAY, **secret)
    return made


def test_client_secrets_of_another_organization_are_not_seen(organization: Model) -> None:
    made = seen(connect(organization))
    seen(connect(make_organization("Woodgrove")))
    assert list(WatchedSecret.objects.of(organization)) == [made]


def test_those_that_end_in_a_time_come_soonest_first(
    organization: Model, now: datetime, django_assert_num_queries: Any
) -> None:
    connection = connect(organization)
    made = {days: seen(connection, days) for days in (2, 3, 1, 0, -1, None)}
    same = [seen(connection, 2.5) for _ in range(9)]
    with django_assert_num_queries(1):
        found = list(WatchedSecret.objects.ending(now, now + 3 * DAY))
        assert {one.connection for one in found} == {connection}
    at_once = sorted(same, key=lambda one: one.pk)
    assert found == [made[0], made[1], made[2], *at_once]


@pytest.mark.parametrize(("size", "sizes"), [(3, [3, 3, 1]), (7, [7, 0]), (500, [7])])
def test_batches_hold_each_once(
    organization: Model, now: datetime, size: int, sizes: list[int]
) -> None:
    connection = connect(organization)
    for days in (1, 2, 2, 2, 2, 3, 4):
        seen(connection, days)
    rows = WatchedSecret.objects.ending(now, now + 5 * DAY)
    batches = list(rows.in_batches(size))
    assert [len(batch) for batch in batches] == sizes
    assert [one for batch in batches for one in batch] == list(rows)


def test_rotation_of_the_same_organization_alone_marks_a_client_secret(
    organization: Model,
) -> None:
    connection, stranger = connect(organization), connect(make_organization("Woodgrove"))
    rotated(stranger, {"state": State.CURRENT})
    made = seen(connection, key_id=KEY)
    other = seen(connection)
    rows = WatchedSecret.objects.of(organization).marking_rotated()
    assert not any(one.is_rotated for one in rows)
    rotated(connect(organization), {"state": State.CURRENT})
    assert {one: one.is_rotated for one in rows.all()} == {made: True, other: False}


@pytest.mark.parametrize(
    ("secret", "facts", "is_by_hand"),
    [
        ({"state": State.CURRENT}, {}, False),
        ({"state": State.CURRENT}, {"due_at": -0.9}, False),
        ({"state": State.CURRENT}, {"due_at": -1}, True),
        ({"state": State.CURRENT}, {"paused_at": 0}, True),
        ({"state": State.CURRENT}, {"problem": "denied"}, True),
        ({"state": State.RETIRING, "retire_at": 1}, {"paused_at": 0}, False),
        ({"state": State.CURRENT, "retire_at": 1}, {"paused_at": 0}, True),
        ({"state": State.RETIRING}, {"paused_at": 0}, True),
    ],
    ids=str,
)
def test_client_secret_that_a_rotation_at_work_replaces_needs_nobody(
    organization: Model, now: datetime, secret: Any, facts: Any, is_by_hand: bool
) -> None:
    def timed(values: dict[str, Any]) -> dict[str, Any]:
        return {
            name: now + value * DAY if name.endswith("_at") else value
            for name, value in values.items()
        }

    rotated(connect(organization), timed(secret), **timed(facts))
    connection = connect(organization)
    made, other = seen(connection, key_id=KEY), seen(connection)
    expected = {made, other} if is_by_hand else {other}
    assert set(WatchedSecret.objects.all().to_replace_by_hand()) == expected


def test_client_secret_says_what_it_is_of(organization: Model) -> None:
    connection = connect(organization)
    made = seen(connection, name="build", application_name="Payroll")
    assert str(made) == "build of Payroll"
    assert str(seen(connection, key_id=KEY)) == f"{KEY} of {APPLICATION}"
