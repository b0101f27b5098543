"""What each step of a rotation must not leave out."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.utils import timezone

from infisical_azure.models import Rotation
from infisical_azure.rotation_steps import lease
from infisical_azure.signals import rotation_recovered, secret_rotated

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
