"""What each step of a rotation must not leave out."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.core.exceptions import ImproperlyConfigured
from django.utils import timezone

from infisical_azure import rotation as engine
from infisical_azure.exceptions import (
    DecryptionError,
    DeliveryError,
    Fault,
    RemoteError,
    UnavailableError,
    UnforeseenError,
)
from infisical_azure.graph import ClientSecret
from infisical_azure.models import HeldSecret, HistoryEntry, RotatedSecret, Rotation
from infisical_azure.rotation import _code_of
from infisical_azure.rotation_steps import _is_orphan, _retire_at, due_after, lease
from infisical_azure.signals import rotation_failed, rotation_recovered, secret_rotated

from .conftest import Browser
from .microsoft import Microsoft
from .rotations import DAY, Azure, advance, later, listen, states

pytestmark = pytest.mark.django_db


@pytest.fixture
def four_destinations(rotation: Rotation) -> None:
    for number in range(3):
        rotation.destinations.create(kind="key-vault", place="team", name=f"copy-{number}")


def leases_before(microsoft: Microsoft, kind: str, clock: Any) -> list[timedelta]:
    """Let each such request take nearly a whole lease; return how much was left before each."""
    left: list[timedelta] = []

    def take_long() -> None:
        left.append(Rotation.objects.get().lease_until - timezone.now())
        clock.shift(lease() - timedelta(seconds=1))

    microsoft.before[kind] = take_long
    return left


def test_lease_is_whole_before_each_proof(
    rotation: Rotation, azure: Azure, microsoft: Microsoft
) -> None:
    with time_machine.travel(timezone.now(), tick=False) as clock:
        left = leases_before(microsoft, "proof", clock)
        advance(rotation)
    assert left == [lease()] * 5


@pytest.mark.usefixtures("four_destinations")
@pytest.mark.parametrize("fails", [False, True], ids=["works", "fails"])
def test_lease_is_whole_before_each_delivery(
    rotation: Rotation, azure: Azure, microsoft: Microsoft, fails: bool
) -> None:
    if fails:
        microsoft.fail("vault_set", 503, "<html>")
    with time_machine.travel(timezone.now(), tick=False) as clock:
        left = leases_before(microsoft, "vault_set", clock)
        advance(rotation, "failed" if fails else "advanced")
    assert left == [lease()] * 4


@pytest.mark.parametrize("code", ["Request_BadRequest", "Authorization_RequestDenied"])
def test_no_room_is_made_for_a_refusal_of_another_kind(
    rotation: Rotation, azure: Azure, microsoft: Microsoft, code: str
) -> None:
    advance(rotation)
    with later(days=30, minutes=1):
        advance(rotation)
    microsoft.fail("add_password", 400, {"error": {"code": code}})
    with later(days=61):
        advance(rotation, "failed")
    assert microsoft.count("remove_password") == 0
    assert states(rotation) == ["retiring", "current", "intended"]


def test_rotated_secret_is_told_of_once_it_is_saved_and_not_before(
    rotation: Rotation, azure: Azure, django_capture_on_commit_callbacks: Any
) -> None:
    heard = listen(secret_rotated)
    with django_capture_on_commit_callbacks() as waiting:
        advance(rotation)
    assert heard == []
    for tell in waiting:
        tell()
    assert [news["secret"] for news in heard] == [rotation.secrets.get()]


def test_failures_are_counted_anew_after_a_success(
    rotation: Rotation, azure: Azure, microsoft: Microsoft
) -> None:
    heard = listen(rotation_recovered)
    microsoft.fail("vault", 503, "<html>")
    for minutes in (0, 30, 60):
        with later(minutes=minutes):
            advance(rotation, "failed")
    assert rotation.failures == 3
    assert rotation.told_at is not None
    del microsoft.override["vault"]
    with later(minutes=90):
        advance(rotation)
    assert (rotation.failures, rotation.problem, len(heard)) == (0, "", 1)
    assert (rotation.failing_since, rotation.told_at) == (None, None)
    microsoft.fail("vault", 503, "<html>")
    with later(days=31):
        advance(rotation, "failed")
        assert rotation.wake_at - timezone.now() < timedelta(minutes=1)
        assert rotation.failing_since is not None
        assert timezone.now() - rotation.failing_since < DAY


def test_pause_grows_to_an_hour_and_no_further(
    rotation: Rotation, azure: Azure, microsoft: Microsoft
) -> None:
    microsoft.fail("vault", 503, "<html>")
    for failures, seconds in ((0, 30), (3, 240), (30, 3600)):
        Rotation.objects.update(failures=failures, wake_at=timezone.now())
        with time_machine.travel(timezone.now(), tick=False):
            advance(rotation, "failed")
            left = (rotation.wake_at - timezone.now()).total_seconds()
        assert seconds <= left <= seconds * 1.2


def test_resumed_rotation_is_told_of_anew(
    rotation: Rotation, azure: Azure, microsoft: Microsoft
) -> None:
    heard = listen(rotation_failed)
    microsoft.fail("vault", 403, {"error": {"code": "Forbidden"}})
    advance(rotation, "failed")
    advance(rotation, "failed")
    assert len(heard) == 1
    with later(minutes=1):
        engine.pause(rotation)
        engine.resume(rotation)
        rotation.refresh_from_db()
        assert (rotation.is_paused, rotation.wished_at) == (False, rotation.wake_at)
        advance(rotation, "failed")
    assert len(heard) == 2


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (UnavailableError(Fault(service="Azure Key Vault")), "destination_unavailable"),
        (UnavailableError(Fault(service="Azure App Configuration")), "destination_unavailable"),
        (UnavailableError(Fault(service="Microsoft Graph")), "microsoft_unavailable"),
        (UnavailableError(Fault(service="Microsoft Graph", http_status=429)), "throttled"),
        (RemoteError(Fault(service="Microsoft Graph", error="Forbidden")), "Forbidden"),
        (RemoteError(Fault(service="Microsoft Graph")), "graph_refused"),
        (DeliveryError("x"), "delivery_failed"),
        (DecryptionError("x"), "decryption_failed"),
        (ImproperlyConfigured("x"), "operator_setup"),
        (UnforeseenError("x"), "unforeseen"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_failures_have_codes(failure: Any, code: str) -> None:
    assert _code_of(failure) == code


# Times


def test_each_step_notes_its_time_and_clears_what_is_over(
    rotation: Rotation, azure: Azure, microsoft: Microsoft
) -> None:
    with time_machine.travel(timezone.now(), tick=False) as clock:
        begun = timezone.now()
        for kind in ("add_password", "proof", "vault_set"):
            act = microsoft.before.get(kind, bool)
            microsoft.before[kind] = lambda act=act: (act(), clock.shift(1))  # type: ignore[misc]
        advance(rotation)
        secret = rotation.secrets.get()
        ended = begun + timedelta(seconds=7)
        assert timezone.now() == ended
        assert (secret.asked_at, secret.issued_at) == (None, begun)
        assert secret.expires_at is not None
        assert abs(secret.expires_at - begun - rotation.lifetime) < timedelta(seconds=1)
        assert secret.proven_at == secret.offered_at == begun + timedelta(seconds=6)
        assert (secret.delivered_at, secret.retire_at, secret.removed_at) == (ended, None, None)
        assert rotation.destinations.get().delivered == secret
        assert rotation.destinations.get().delivered_at == ended
        assert rotation.due_at == rotation.wake_at == ended + rotation.interval
        clock.move_to(rotation.due_at)
        advance(rotation)
        secret.refresh_from_db()
        current = rotation.secrets.get(state="current")
        assert secret.retire_at == current.delivered_at + rotation.overlap
        assert rotation.wake_at == secret.retire_at
        clock.move_to(secret.retire_at)
        advance(rotation)
        secret.refresh_from_db()
        assert (secret.state, secret.removed_at) == ("removed", timezone.now())
        assert rotation.wake_at == rotation.due_at
        assert rotation.sweep_at is None
    assert not HeldSecret.objects.exists()


@pytest.mark.parametrize(
    ("days", "expires_in", "due_in"),
    [
        ((30, 90, 2), 90, 30),  # In time: after the interval.
        ((30, 90, 2), 40, 9),  # Late: overlap and half of what there is to spare are left.
        ((30, 90, 2), 25, 1 / 24),  # Too late: at once, or nearly.
        ((30, 90, 2), None, 30),
        ((30, 32, 2), 90, 30),
    ],
)
def test_next_one_is_due_while_there_is_time_to_deliver_it(
    days: tuple[int, int, int], expires_in: int | None, due_in: float
) -> None:
    interval, lifetime, overlap = (timedelta(days=number) for number in days)
    rotation = Rotation(interval=interval, lifetime=lifetime, overlap=overlap)
    now = timezone.now()
    expires_at = None if expires_in is None else now + timedelta(days=expires_in)
    secret = RotatedSecret(rotation=rotation, expires_at=expires_at)
    assert due_after(rotation, secret, now) == now + timedelta(days=due_in)


def test_shortest_interval_is_a_minute() -> None:
    rotation = Rotation(
        interval=timedelta(seconds=1), lifetime=timedelta(days=90), overlap=timedelta(days=1)
    )
    secret, now = RotatedSecret(rotation=rotation), timezone.now()
    assert due_after(rotation, secret, now) == now + timedelta(minutes=1)


@pytest.mark.parametrize(
    ("expires_in", "retires_in"), [(None, 2), (90, 2), (1, 1), (-1, 2)], ids=str
)
def test_overlap_ends_with_the_client_secret_itself(
    expires_in: int | None, retires_in: int
) -> None:
    now = timezone.now()
    expires_at = None if expires_in is None else now + expires_in * DAY
    old = RotatedSecret(expires_at=expires_at)
    assert _retire_at(old, now + 2 * DAY) == now + retires_in * DAY


# What is ours


def test_value_of_another_rotation_is_not_taken(
    rotation: Rotation, azure: Azure, microsoft: Microsoft
) -> None:
    other = Rotation.objects.get()
    other.pk = other.application_id = uuid.uuid4()
    other.save(force_insert=True)
    HeldSecret.objects.create(of=other.secrets.create(state="issued"), secret="CANARY~another's")
    microsoft.fail("vault", 503, "<html>")
    advance(rotation, "failed")
    HeldSecret.objects.filter(of__rotation=rotation).delete()
    del microsoft.override["vault"]
    advance(rotation)
    assert microsoft.count("vault_set") == 1
    (put,) = [request for kind, request in microsoft.requests if kind == "vault_set"]
    assert b"another" not in put.body
    assert states(rotation) == ["retiring", "current"]


def test_one_whose_answer_was_lost_is_replaced_as_soon_as_it_is_removed(
    rotation: Rotation, azure: Azure
) -> None:
    azure.loses = 1
    with time_machine.travel(timezone.now(), tick=False) as clock:
        advance(rotation, "failed")
        clock.shift(5)
        advance(rotation)
    assert states(rotation) == ["current"]
    assert azure.ours == [str(rotation.secrets.get().key_id)]


def test_one_that_is_refused_and_not_seen_is_given_up_after_a_quarter_of_an_hour(
    rotation: Rotation, azure: Azure, microsoft: Microsoft
) -> None:
    microsoft.proofs = [7000215] * 99
    advance(rotation, "waiting")
    azure.is_shown = False
    with later(minutes=12):
        advance(rotation, "failed")
        assert states(rotation) == ["issued"]
    with later(minutes=16):
        advance(rotation, "waiting")
        assert states(rotation) == ["removed", "issued"]


def test_history_tells_which_one_was_made_and_removed(
    rotation: Rotation, azure: Azure, browser: Browser
) -> None:
    engine.rotate_now(rotation, browser.user)
    advance(rotation)
    secret = rotation.secrets.get()
    told = HistoryEntry.objects.filter(key_id=secret.key_id, name=secret.marker)
    assert {entry.actor for entry in told} == {"ada"}


@pytest.mark.parametrize(
    ("found", "ours", "is_orphan"),
    [
        ({}, None, False),
        ({}, {}, True),
        ({"starts_at": None}, {}, False),
        ({}, {"issued_at": 0}, True),
        ({}, {"issued_at": 1}, True),
        ({}, {"issued_at": -1}, False),
        ({"key_id": 1}, {"key_id": 1, "state": "current"}, False),
        ({"key_id": 1}, {"key_id": 1, "state": "removed"}, True),
        ({"key_id": 1}, {"key_id": 2, "state": "removed", "issued_at": -1}, False),
    ],
)
def test_orphans_are_what_nobody_knows_the_value_of(
    found: dict[str, Any], ours: dict[str, Any] | None, is_orphan: bool
) -> None:
    now, keys = timezone.now(), [uuid.uuid4() for _ in range(3)]
    seen = ClientSecret(
        key_id=keys[found.get("key_id", 0)],
        name="rotation",
        hint="",
        starts_at=found.get("starts_at", now),
        expires_at=None,
    )
    row = None
    if ours is not None:
        number = ours.get("issued_at")
        row = RotatedSecret(
            key_id=keys[ours["key_id"]] if "key_id" in ours else None,
            state=ours.get("state", "issued"),
            issued_at=None if number is None else now + timedelta(seconds=number),
        )
    assert _is_orphan(seen, row) is is_orphan


def test_lost_answer_is_settled_after_a_minute_and_swept_for_after_a_quarter_of_an_hour(
    rotation: Rotation, azure: Azure, microsoft: Microsoft
) -> None:
    azure.loses, azure.is_shown = 1, False
    with time_machine.travel(timezone.now(), tick=False) as clock:
        asked_at = timezone.now()
        advance(rotation, "failed")
        assert rotation.secrets.get().asked_at == asked_at
        clock.shift(30)
        advance(rotation, "waiting")
        assert rotation.wake_at == asked_at + timedelta(seconds=60)
        clock.move_to(rotation.wake_at)
        advance(rotation)
        assert states(rotation) == ["current"]
        assert rotation.sweep_at == timezone.now() + timedelta(minutes=15)
        assert rotation.wake_at == rotation.sweep_at
        azure.is_shown = True
        assert len(azure.ours) == 2
        clock.move_to(rotation.sweep_at)
        advance(rotation)
        assert rotation.sweep_at is None
        assert rotation.wake_at == rotation.due_at
    assert azure.ours == [str(rotation.secrets.get().key_id)]


def test_refusal_to_issue_is_no_lost_answer(
    rotation: Rotation, azure: Azure, microsoft: Microsoft
) -> None:
    microsoft.fail("add_password", 403, {"error": {"code": "Authorization_RequestDenied"}})
    advance(rotation, "failed")
    assert rotation.secrets.get().asked_at is None
    del microsoft.override["add_password"]
    advance(rotation)
    assert rotation.sweep_at is None


@pytest.mark.parametrize(
    ("status", "is_noted"), [(403, False), (400, False), (503, True), (408, True)]
)
def test_what_may_have_arrived_is_noted_and_what_was_refused_is_not(
    rotation: Rotation, azure: Azure, microsoft: Microsoft, status: int, is_noted: bool
) -> None:
    microsoft.fail("vault_set", status, {"error": {"code": "Forbidden"}})
    advance(rotation, "failed")
    assert (rotation.secrets.get().offered_at is not None) is is_noted


def test_missing_one_is_looked_for_when_it_must_be_visible(
    rotation: Rotation, azure: Azure, microsoft: Microsoft
) -> None:
    advance(rotation)
    with time_machine.travel(timezone.now() + timedelta(days=31), tick=False) as clock:
        advance(rotation)
        current = rotation.secrets.get(state="current")
        retiring = rotation.secrets.get(state="retiring")
        assert current.issued_at is not None
        RotatedSecret.objects.filter(pk=retiring.pk).update(retire_at=timezone.now())
        azure.secrets = [one for one in azure.secrets if one["keyId"] != str(current.key_id)]
        advance(rotation, "waiting")
        assert rotation.wake_at == current.issued_at + timedelta(minutes=15)
        assert rotation.missed_at is None
        clock.move_to(rotation.wake_at)
        advance(rotation, "failed")
        assert rotation.problem == "current_secret_missing"
        assert rotation.due_at == timezone.now()
        assert rotation.missed_at is None
        current.refresh_from_db()
        assert current.expires_at == timezone.now()
    assert str(retiring.key_id) in azure.ours
