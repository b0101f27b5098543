"""Rows of rotations, their client secrets and destinations."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone

from infisical_azure.models import (
    AppConnection,
    Destination,
    RotatedSecret,
    Rotation,
    shortest_lifetime,
)

from .hostapp.host import make_organization
from .microsoft import ACCOUNT, TENANT
from .rotations import DAY, refer

pytestmark = pytest.mark.django_db
MINUTE = timedelta(minutes=1)


def copy(rotation: Rotation, **facts: Any) -> Rotation:
    other = Rotation.objects.get(pk=rotation.pk)
    other.pk = other.application_id = uuid.uuid4()
    for name, value in facts.items():
        setattr(other, name, value)
    other.save(force_insert=True)
    return other


def test_rotations_of_an_organization_are_its_own(
    rotation: Rotation, connection: AppConnection
) -> None:
    elsewhere = AppConnection.objects.create(
        organization=make_organization("Wingtip Toys"),
        name="toys",
        tenant_id=TENANT,
        account_object_id=ACCOUNT,
    )
    copy(rotation, connection=elsewhere)
    assert list(Rotation.objects.of(connection.organization)) == [rotation]


@pytest.mark.parametrize(
    ("wake", "lease", "is_due"),
    [(0, None, True), (-5, None, True), (1, None, False), (0, 0, True), (0, 1, False)],
)
def test_due_are_those_with_something_to_do_that_nobody_is_at(
    rotation: Rotation, wake: int, lease: int | None, is_due: bool
) -> None:
    now = timezone.now()
    until = None if lease is None else now + lease * MINUTE
    Rotation.objects.update(wake_at=now + wake * MINUTE, lease_until=until)
    assert list(Rotation.objects.due(now)) == [rotation] * is_due
    Rotation.objects.update(wake_at=None)
    assert not Rotation.objects.due(now)


def test_longest_overdue_comes_first(rotation: Rotation) -> None:
    now = timezone.now()
    Rotation.objects.update(wake_at=now - 3 * MINUTE)
    first, last = (copy(rotation, wake_at=now - number * MINUTE) for number in (9, 1))
    assert list(Rotation.objects.due(now)) == [first, rotation, last]


@pytest.mark.parametrize(
    ("states", "is_under_way"),
    [
        ([], True),
        (["current"], False),
        (["retiring", "current"], False),
        (["current", "intended"], True),
        (["current", "issued"], True),
        (["current", "proven"], True),
        (["retiring", "removed"], True),
    ],
)
def test_under_way_is_what_is_being_made(
    rotation: Rotation, states: list[str], is_under_way: bool
) -> None:
    for state in states:
        rotation.secrets.create(state=state)
    assert rotation.is_under_way is is_under_way


@pytest.mark.parametrize(
    ("minutes", "has_ended"), [(None, False), (1, False), (-1, True), (0, True)]
)
def test_client_secret_has_ended_when_it_expires(minutes: int | None, has_ended: bool) -> None:
    expires_at = None if minutes is None else timezone.now() + minutes * MINUTE
    assert RotatedSecret(expires_at=expires_at).has_ended is has_ended


def test_marker_names_one_row(rotation: Rotation) -> None:
    secret = rotation.secrets.create()
    assert secret.marker == str(secret) == f"rotation {secret.pk}"


@pytest.mark.parametrize(
    ("facts", "wrong"),
    [
        ({}, set()),
        ({"place": "ab"}, {"place"}),
        ({"place": "a" * 65, "kind": "hook"}, {"place"}),
        ({"place": "evil.example"}, {"place"}),
        ({"place": ""}, {"place"}),
        ({"name": "a/b"}, {"name"}),
        ({"name": "a\nb", "kind": "app-configuration", "place": "store"}, {"name"}),
        ({"label": "a\u202eb"}, {"label"}),
        ({"kind": "app-configuration", "place": "store", "name": "a/b"}, set()),
        ({"kind": "app-configuration", "place": "a_b", "name": "a/b"}, {"place"}),
        ({"kind": "app-configuration", "place": "store", "name": "."}, {"name"}),
        ({"kind": "app-configuration", "place": "store", "name": ".."}, {"name"}),
        ({"kind": "key-vault-reference", "place": "store", "name": "a%2fb"}, {"name"}),
        ({"kind": "key-vault-reference", "place": "abcd", "name": "x"}, {"place"}),
        ({"kind": "hook", "place": "vaulty", "name": "100 %"}, set()),
        ({"kind": "hook", "place": "unknown", "name": "x"}, {"place"}),
    ],
    ids=str,
)
@pytest.mark.usefixtures("hooks")
def test_names_that_lead_elsewhere_are_refused(
    rotation: Rotation, facts: dict[str, str], wrong: set[str]
) -> None:
    given = {"kind": "key-vault", "place": "team", "name": "hr-secret"} | facts
    destination = Destination(rotation=rotation, **given)
    found: set[str] = set()
    try:
        destination.full_clean()
    except ValidationError as error:
        found = set(error.message_dict)
    assert found == wrong


def test_place_is_as_long_as_a_hooks_name_may_be(rotation: Rotation, settings: Any) -> None:
    hooks = dict.fromkeys(("a" * 64, "a" * 65), "tests.rotations.take")
    settings.INFISICAL_AZURE = {**settings.INFISICAL_AZURE, "SECRET_HOOKS": hooks}
    Destination(rotation=rotation, kind="hook", place="a" * 64, name="x").full_clean()
    with pytest.raises(ValidationError, match="64"):
        Destination(rotation=rotation, kind="hook", place="a" * 65, name="x").full_clean()


def test_kinds_have_words_for_people() -> None:
    assert [str(label) for label in Destination.Kind.labels] == [
        "Key Vault secret",
        "App Configuration key-value",
        "App Configuration reference to Key Vault",
        "This site",
    ]


def test_last_one_is_that_without_which_nothing_is_left(rotation: Rotation) -> None:
    vault = rotation.destinations.get()
    other = copy(rotation)
    other.destinations.create(kind="key-vault", place="team", name="theirs")
    assert vault.is_last
    reference = refer(rotation)
    assert vault.is_last
    assert not reference.is_last
    rotation.destinations.create(kind="key-vault", place="team", name="second")
    assert not vault.is_last


def test_label_is_shown_beside_the_name() -> None:
    assert str(Destination(place="team", name="hr")) == "team / hr"
    assert str(Destination(place="team", name="hr", label="live")) == "team / hr (live)"


@pytest.mark.parametrize(
    ("interval", "overlap", "shortest"), [(2, 1, 10), (14, 0, 21), (30, 2, 47), (180, 9, 279)]
)
def test_lifetime_has_half_an_interval_to_spare_and_a_week_at_least(
    interval: int, overlap: int, shortest: int
) -> None:
    assert shortest_lifetime(interval * DAY, overlap * DAY) == shortest * DAY
