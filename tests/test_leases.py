"""Who may work on a row, and what becomes of a holder that was overtaken."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.db import connection as database
from django.utils import timezone

from infisical_azure.models import Rotation

pytestmark = pytest.mark.django_db
LEASE = timedelta(minutes=1)


@pytest.fixture
def others(rotation: Rotation) -> list[Rotation]:
    """Rotations that nobody works on, with the same fence; the second has no lease at all."""
    made = []
    for number in range(2):
        other = Rotation.objects.get(pk=rotation.pk)
        other.pk, other._state.adding = None, True
        other.application_id = f"{number}0000000-7777-4777-8777-777777777777"
        other.pk = Rotation._meta.pk.get_default()
        other.save(force_insert=True)
        made.append(other)
    return made


def facts(row: Any) -> tuple[Any, ...]:
    row.refresh_from_db()
    return row.fence, row.lease_until


def test_claim_takes_this_row_alone(rotation: Rotation, others: list[Rotation]) -> None:
    with time_machine.travel(timezone.now(), tick=False):
        mine = Rotation.objects.claim(rotation, LEASE)
        assert mine.pk == rotation.pk
        assert facts(rotation) == (mine.fence, timezone.now() + LEASE)
    assert [facts(other) for other in others] == [(0, None), (0, None)]
    assert [Rotation.objects.claim(other, LEASE).pk for other in others] == [
        other.pk for other in others
    ]


def test_claim_that_is_overtaken_before_the_row_is_read_is_none(rotation: Rotation) -> None:
    def overtake(execute: Any, sql: str, *args: Any) -> Any:
        if sql.startswith("SELECT"):
            rows = "UPDATE infisical_azure_rotation SET fence = fence + 1"
            execute(rows, (), *args[1:])
        return execute(sql, *args)

    with database.execute_wrapper(overtake):
        assert Rotation.objects.claim(rotation, LEASE) is None
    assert facts(rotation)[0] == 2


def test_claim_that_another_has_overtaken_is_refused_though_the_row_is_free(
    rotation: Rotation,
) -> None:
    read_before = Rotation.objects.get()
    mine = Rotation.objects.claim(rotation, LEASE)
    mine.release()
    assert facts(rotation) == (1, None)
    assert Rotation.objects.claim(read_before, LEASE) is None
    assert facts(rotation) == (1, None)


def test_claimed_row_is_free_again_when_the_lease_is_over(rotation: Rotation) -> None:
    mine = Rotation.objects.claim(rotation, LEASE)
    with time_machine.travel(mine.lease_until - timedelta(seconds=1), tick=False):
        assert Rotation.objects.claim(mine, LEASE) is None
    with time_machine.travel(mine.lease_until, tick=False):
        assert Rotation.objects.claim(mine, LEASE).fence == 2


def test_overtaken_holder_releases_nothing(rotation: Rotation, others: list[Rotation]) -> None:
    slow = Rotation.objects.claim(rotation, LEASE)
    with time_machine.travel(timezone.now() + 2 * LEASE):
        quick = Rotation.objects.claim(slow, LEASE)
        slow.release()
        assert facts(rotation) == (2, quick.lease_until)
        quick.release()
    assert facts(rotation) == (2, None)


def test_holder_saves_to_its_own_row_alone(rotation: Rotation, others: list[Rotation]) -> None:
    for row in (rotation, *others):
        assert Rotation.objects.claim(row, LEASE)
    mine = Rotation.objects.get(pk=rotation.pk)
    assert mine.holding().update(failures=7) == 1
    mine.release()
    leases = Rotation.objects.exclude(pk=rotation.pk).values_list("lease_until", "failures")
    assert all(until is not None and failures == 0 for until, failures in leases)
