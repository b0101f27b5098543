"""Rows of issued client secrets: which still work, and whose value is shown for how long."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.contrib.auth.models import User
from django.db.models import Model
from django.utils import timezone

from infisical_azure.models import AppConnection, IssuedSecret, IssuedValue, WatchedSecret
from infisical_azure.secret import Secret

from .hostapp.host import make_organization
from .microsoft import ACCOUNT, APPLICATION, OTHER_TENANT, TENANT

pytestmark = pytest.mark.django_db
MINUTE = timedelta(minutes=1)
KEY = uuid.uuid4()
State = IssuedSecret.State


@pytest.fixture(autouse=True)
def now() -> Any:
    with time_machine.travel(timezone.now(), tick=False):
        yield timezone.now()


def connect(organization: Model, **facts: Any) -> AppConnection:
    given = {
        "name": f"c-{uuid.uuid4().hex[:8]}",
        "cloud": "public",
        "tenant_id": TENANT,
        "account_object_id": ACCOUNT,
        "status": "ready",
    }
    made: AppConnection = AppConnection.objects.create(organization=organization, **given | facts)
    return made


def issued(connection: AppConnection, **facts: Any) -> IssuedSecret:
    given = {
        "application_id": APPLICATION,
        "app_id": APPLICATION,
        "name": "build server",
        "state": State.ISSUED,
        "key_id": uuid.uuid4(),
        "expires_at": timezone.now() + timedelta(days=30),
    }
    return IssuedSecret.objects.create(connection=connection, **given | facts)


def value(of: IssuedSecret, user: User, minutes: float = 1) -> IssuedValue:
    kept_until = timezone.now() + minutes * MINUTE
    made: IssuedValue = IssuedValue.objects.create(
        of=of, user=user, secret=Secret("CANARY"), kept_until=kept_until
    )
    return made


def see(connection: AppConnection, key_id: uuid.UUID) -> None:
    WatchedSecret.objects.create(
        connection=connection,
        key_id=key_id,
        application_id=APPLICATION,
        app_id=APPLICATION,
        seen_at=timezone.now(),
    )


@pytest.mark.parametrize(
    ("facts", "is_alive"),
    [
        ({}, True),
        ({"expires_at": 1}, True),
        ({"expires_at": 0}, False),
        ({"removed_at": -1}, False),
    ],
    ids=str,
)
def test_client_secret_lives_until_it_expires_or_is_removed(
    organization: Model, now: datetime, facts: dict[str, int], is_alive: bool
) -> None:
    times = {name: now + minutes * MINUTE for name, minutes in facts.items()}
    made = issued(connect(organization), **times)
    assert list(IssuedSecret.objects.alive()) == [made] * is_alive


@pytest.mark.parametrize(
    ("read", "is_seen", "has_key", "is_alive"),
    [
        (None, False, True, True),
        (15, False, True, True),
        (16, False, True, False),
        (16, True, True, True),
        (16, False, False, True),
    ],
)
def test_client_secret_that_a_later_reading_does_not_show_is_gone(
    organization: Model,
    now: datetime,
    read: int | None,
    is_seen: bool,
    has_key: bool,
    is_alive: bool,
) -> None:
    asked_at = now - timedelta(hours=1)
    watched_at = None if read is None else asked_at + read * MINUTE
    connection = connect(organization, watched_at=watched_at)
    made = issued(connection, asked_at=asked_at, key_id=KEY if has_key else None)
    see(connect(organization), KEY)  # Another connection's reading says nothing.
    see(connection, KEY if is_seen else uuid.uuid4())
    assert list(IssuedSecret.objects.alive()) == [made] * is_alive


def test_client_secrets_of_another_organization_are_not_counted(organization: Model) -> None:
    made = issued(connect(organization))
    issued(connect(organization), removed_at=timezone.now())
    issued(connect(make_organization("Woodgrove")))
    assert list(IssuedSecret.objects.alive_of(organization)) == [made]


@pytest.mark.parametrize(
    ("state", "seconds", "is_under_way", "is_uncertain"),
    [
        # Four times 25 seconds: a refresh by another process, then three calls of Graph.
        (State.ASKED, 0, True, False),
        (State.ASKED, 99, True, False),
        (State.ASKED, 100, False, True),
        (State.ISSUED, 0, False, False),
        (State.ISSUED, 100, False, False),
        (State.UNCERTAIN, 0, False, True),
    ],
)
def test_request_that_lasts_too_long_is_uncertain(
    organization: Model,
    now: datetime,
    state: str,
    seconds: int,
    is_under_way: bool,
    is_uncertain: bool,
) -> None:
    asked_at = now - timedelta(seconds=seconds)
    made = issued(connect(organization), state=state, asked_at=asked_at)
    assert list(IssuedSecret.objects.under_way()) == [made] * is_under_way
    assert made.is_uncertain is is_uncertain


def test_removal_is_noted_at_every_connection_to_the_same_directory(
    organization: Model, admin_user: User, now: datetime
) -> None:
    connection = connect(organization)
    same = [issued(connect(organization), key_id=KEY), issued(connection, key_id=KEY)]
    others = [
        issued(connection),
        issued(connect(make_organization("Woodgrove")), key_id=KEY),
        issued(connect(organization, cloud="china"), key_id=KEY),
        issued(connect(organization, tenant_id=OTHER_TENANT), key_id=KEY),
    ]
    for one in (*same, *others):
        value(one, admin_user)
    IssuedSecret.objects.note_removed(connection, KEY)
    kept = {one.pk for one in others}
    assert set(IssuedSecret.objects.filter(removed_at=now)) == set(same)
    assert set(IssuedSecret.objects.filter(removed_at=None)) == set(others)
    assert set(IssuedValue.objects.values_list("pk", flat=True)) == kept


def test_value_is_shown_for_a_minute_to_the_person_who_asked(
    organization: Model, admin_user: User, django_assert_num_queries: Any
) -> None:
    assert timedelta(minutes=1) == IssuedValue.KEPT
    connection = connect(organization)
    made = value(issued(connection), admin_user)
    value(issued(connection), admin_user, minutes=0)
    value(issued(connection), User.objects.create_user("grace"))
    with django_assert_num_queries(1):
        (found,) = IssuedValue.objects.shown_to(admin_user)
        assert (found.pk, found.secret.reveal(), found.of.name) == (
            *(made.pk, "CANARY"),
            "build server",
        )


def test_values_whose_minute_is_over_are_deleted(organization: Model, admin_user: User) -> None:
    connection = connect(organization)
    made = value(issued(connection), admin_user)
    value(issued(connection), admin_user, minutes=0)
    value(issued(connection), admin_user, minutes=-1)
    IssuedValue.objects.purge()
    assert list(IssuedValue.objects.all()) == [made]


def test_states_are_told_apart(organization: Model) -> None:
    assert State.choices == [
        ("asked", "Under way"),
        ("issued", "Issued"),
        ("uncertain", "Uncertain: Microsoft did not answer"),
    ]
    made = IssuedSecret.objects.create(
        connection=connect(organization),
        application_id=APPLICATION,
        app_id=APPLICATION,
        name="build server",
        expires_at=timezone.now(),
    )
    assert (made.state, made.asked_at, str(made)) == ("asked", timezone.now(), "build server")
    assert made.pk != IssuedSecret().pk
