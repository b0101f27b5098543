"""The fault matrix, rows "Rotation", with real processes that are killed."""

from __future__ import annotations

import json
import os
from datetime import timedelta
from typing import Any

import pytest

from example_project.standin.client import StandIn
from infisical_azure import rotation as engine
from infisical_azure.models import Rotation

from .crowd import connect, start
from .rotators import CONTOSO, Truth, pass_time
from .test_refresh import started

#: How often a process is killed at random; set it to 500 for the whole proof.
KILLS = int(os.environ.get("ROTATION_KILLS", "60"))


@pytest.fixture
def rotation(committed: None, standin: StandIn) -> Rotation:
    connection = connect(standin)
    found = standin.application(CONTOSO, "HR Portal")
    made = Rotation.objects.create(
        connection=connection,
        application_id=found["id"],
        app_id=found["appId"],
        application_name=found["displayName"],
        interval=timedelta(days=30),
        lifetime=timedelta(days=90),
        overlap=timedelta(0),
    )
    made.destinations.create(kind="key-vault", place="contoso-vault", name="rotated")
    return made


def run(*arguments: object) -> Any:
    """Return what a process of its own reports; None where it was killed."""
    with started(1, "tests.faults.rotators", *arguments) as (process,):
        printed, _ = process.communicate(timeout=300)
    return json.loads(printed) if printed else None


WELL = {"orphans": 0, "delivered_works": True, "foreign_untouched": True}

POINTS = {
    "r1 before the intent": 'INSERT INTO "infisical_azure_rotatedsecret"',
    "r2 after the intent": '"asked_at" =',
    "r4 not persisted": 'INSERT INTO "infisical_azure_heldsecret"',
    "r5 not proven": '"proven_at" =',
    "r6 not delivered": 'UPDATE "infisical_azure_destination"',
    "r8 not in use": '"due_at" =',
}


@pytest.mark.parametrize("statement", POINTS.values(), ids=POINTS)
def test_killed_at_each_point_it_goes_on_where_it_was(
    rotation: Rotation, standin: StandIn, statement: str
) -> None:
    assert engine.advance(rotation.pk) == "advanced"
    truth = Truth(str(rotation.pk))
    Rotation.objects.update(due_at=rotation.created_at)
    assert run("killed", rotation.pk, statement) is None
    after = truth.look()
    assert after | {"orphans": 0} == WELL
    assert after["orphans"] <= 1
    pass_time(str(rotation.pk))
    assert engine.advance(rotation.pk) == "advanced"
    assert truth.look() == WELL
    assert rotation.secrets.filter(state="current").count() == 1


@pytest.mark.parametrize("fault", ["graph_add_lost", "graph_add_truncated", "graph_add_reset"])
def test_r3_answer_that_is_lost_leaves_no_orphan(
    rotation: Rotation, standin: StandIn, fault: str
) -> None:
    assert engine.advance(rotation.pk) == "advanced"
    truth = Truth(str(rotation.pk))
    Rotation.objects.update(due_at=rotation.created_at)
    standin.fault(fault)
    assert engine.advance(rotation.pk) == "failed"
    assert truth.look()["orphans"] <= 1
    pass_time(str(rotation.pk))
    assert engine.advance(rotation.pk) == "advanced"
    assert truth.look() == WELL


def test_r14_secret_that_is_slow_to_be_known_is_not_delivered_early(
    rotation: Rotation, standin: StandIn
) -> None:
    from infisical_azure.rotation_upkeep import rotate_due

    standin.directory(secret_lag=1.5, secret_flaps=[True, False, True, False])
    Rotation.objects.update(wake_at=rotation.created_at)
    summary = rotate_due(workers=2)
    assert summary.failed == 0
    assert summary.waiting >= 2
    assert Truth(str(rotation.pk)).look() == WELL


@pytest.mark.postgresql
def test_r13_four_processes_make_one_client_secret(rotation: Rotation, standin: StandIn) -> None:
    assert engine.advance(rotation.pk) == "advanced"
    for round_ in range(2, 6):
        Rotation.objects.update(due_at=rotation.created_at, wake_at=rotation.created_at)
        processes = [start("tests.faults.rotators", "killed", rotation.pk, "never") for _ in "1234"]
        found = sorted(json.loads(process.communicate(timeout=60)[0]) for process in processes)
        assert found.count("advanced") == 1
        added = [one for one in standin.graph_requests() if one["path"].endswith("addPassword")]
        assert len(added) == round_


@pytest.mark.slow
def test_killed_at_random_it_never_loses_what_is_in_use(
    rotation: Rotation, standin: StandIn
) -> None:
    report = run("dying", rotation.pk, KILLS)
    print(report)
    assert sum(report["states"].values()) == KILLS
    assert set(report["seen"]) <= {"orphans 0", "orphans 1"}
    assert report["end"] == WELL
