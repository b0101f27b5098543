"""What is kept of the refusals of single APIs, and for how long."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.utils import timezone

from infisical_azure.exceptions import Fault, Reaction
from infisical_azure.health import Diagnosis
from infisical_azure.models import AppConnection, RefreshToken
from infisical_azure.refusals import (
    Refusal,
    note_refusals,
    of_apis,
    refusal_of,
    refused_anew,
    remaining,
)

from .conftest import Browser

Status = AppConnection.Status
MINUTE = timedelta(minutes=1)
FAULT = Fault(service="Entra", correlation_id="an-id")


def diagnosis(reaction: Reaction = Reaction.TENANT_ADMIN) -> Diagnosis:
    return Diagnosis(
        status=Status.PERMISSION_MISSING,
        code="consent_missing",
        reaction=reaction,
        is_of_resource=True,
    )


def kept(minutes: float = 1, status: str = "ready", problem: str = "api_refused") -> dict[str, Any]:
    return Refusal(
        problem=problem,
        reaction=Reaction.OPERATOR,
        status=status,
        correlation_id="x",
        failures=2,
        until=timezone.now() + minutes * MINUTE,
    ).written()


def test_refusal_is_read_as_it_was_written() -> None:
    row = RefreshToken(refused={})
    made = refused_anew(row, "vault", diagnosis(), FAULT)
    assert Refusal.read(made.written()) == made
    assert (made.problem, made.reaction, made.status, made.correlation_id, made.failures) == (
        "consent_missing", Reaction.TENANT_ADMIN, "permission-missing", "an-id", 0,
    )  # fmt: skip
    assert refused_anew(row, "vault", diagnosis(), None).correlation_id == ""


def test_each_refusal_of_the_same_api_is_left_alone_longer() -> None:
    with time_machine.travel(timezone.now(), tick=False):
        now, row = timezone.now(), RefreshToken(refused={"other": kept()})
        pauses = []
        for number in range(8):
            made = refused_anew(row, "vault", diagnosis(), None)
            assert made.failures == number
            pauses.append((made.until - now).total_seconds())
            row.refused["vault"] = made.written()
        assert 30 <= pauses[0] <= 36
        assert 60 <= pauses[1] <= 72
        assert 300 <= pauses[-1] <= 360
        long = refused_anew(
            RefreshToken(refused={"vault": kept() | {"failures": 20}}),
            "vault",
            diagnosis(Reaction.RECONNECT),
            None,
        )
        assert 1800 <= (long.until - now).total_seconds() <= 2160


@pytest.mark.parametrize(("minutes", "is_refused"), [(1, True), (0, False), (-1, False)])
def test_api_is_asked_again_when_the_pause_is_over(minutes: int, is_refused: bool) -> None:
    with time_machine.travel(timezone.now(), tick=False):
        row = RefreshToken(refused={"vault": kept(minutes)})
        assert (refusal_of(row, "vault") is not None) is is_refused
        assert refusal_of(row, "graph") is None


def test_success_ends_its_own_refusal_and_old_ones_that_broke_nothing() -> None:
    row = RefreshToken(
        refused={
            "mine": kept(),
            "recent": kept(-23 * 60),
            "old": kept(-25 * 60),
            "old but broken": kept(-25 * 60, "needs-reconnect"),
        }
    )
    assert set(remaining(row, "mine")) == {"recent", "old but broken"}


@pytest.mark.django_db
def test_refusals_that_the_status_does_not_tell_are_shown(
    browser: Browser, connection: AppConnection
) -> None:
    browser.connect(name="another")
    another = AppConnection.objects.get(name="another")
    RefreshToken.objects.filter(pk=connection.pk).update(
        refused={
            "quiet": kept(),
            "missing": kept(-5, "permission-missing"),
            "old": kept(-25 * 60),
            "loud": kept(1, "needs-reconnect"),
        }
    )
    found = of_apis(connection)
    assert set(found) == {"quiet", "missing"}
    assert found["quiet"].correlation_id == "x"
    assert of_apis(another) == {}
    RefreshToken.objects.all().delete()
    assert of_apis(connection) == {}


def test_worst_refusal_is_the_connections_status() -> None:
    made = AppConnection(status=Status.READY)
    assert not note_refusals(made, {"vault": kept()})
    assert (made.status, made.problem) == ("ready", "")
    refused = {
        "vault": kept(status="permission-missing", problem="consent_missing"),
        "graph": kept(status="needs-admin-approval", problem="blocked_by_policy"),
    }
    assert note_refusals(made, refused, Fault(service="Entra", aadsts=53003, correlation_id="x"))
    assert (made.status, made.problem) == ("needs-admin-approval", "blocked_by_policy")
    assert (made.aadsts, made.correlation_id) == (53003, "x")
    since = made.status_since
    assert note_refusals(made, refused)
    assert (made.status_since, made.aadsts, made.correlation_id) == (since, 53003, "x")


@pytest.mark.parametrize("fault", [None, Fault(service="Entra", aadsts=50105, correlation_id="y")])
def test_ids_for_support_are_those_of_the_refusal_that_is_told(fault: Fault | None) -> None:
    made = AppConnection(status=Status.OPERATOR_MUST_ACT)
    refused = {
        "vault": kept(status="permission-missing", problem="consent_missing"),
        "another": kept() | {"correlation_id": "y"},
    }
    assert note_refusals(made, refused, fault)
    assert (made.status, made.problem) == ("permission-missing", "consent_missing")
    assert (made.aadsts, made.correlation_id) == (None, "x")
