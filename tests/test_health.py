"""What failed refreshes mean, and whom they concern."""

from __future__ import annotations

from typing import Any

import pytest

from infisical_azure import health
from infisical_azure.entra import SERVICE
from infisical_azure.exceptions import (
    DecryptionError,
    Fault,
    Reaction,
    RemoteError,
    UnavailableError,
)
from infisical_azure.health import ADVICE, REASONS, diagnose
from infisical_azure.models import AppConnection
from infisical_azure.secret import Secret

Status = AppConnection.Status


def refusal(aadsts: int | None = None, error: str = "invalid_grant", **facts: Any) -> RemoteError:
    return RemoteError(Fault(service=SERVICE, http_status=400, error=error, aadsts=aadsts, **facts))


def found(error: Any, *, is_graph: bool) -> tuple[str, str, str, bool]:
    made = diagnose(error, client_secret=Secret("x"), is_graph=is_graph)
    return made.status, made.code, made.reaction.value, made.is_of_resource


@pytest.mark.parametrize("is_graph", [True, False], ids=["Graph", "another API"])
@pytest.mark.parametrize(
    ("error", "status", "code", "reaction"),
    [
        (refusal(50173), "needs-reconnect", "grant_revoked", "reconnect"),
        (refusal(700082), "needs-reconnect", "grant_expired", "reconnect"),
        (refusal(50132), "needs-reconnect", "password_changed", "reconnect"),
        (refusal(700084), "needs-reconnect", "sign_in_needed", "reconnect"),
        (refusal(suberror="bad_token"), "needs-reconnect", "grant_revoked", "reconnect"),
        (
            refusal(7000222, "invalid_client"),
            "operator-must-act",
            "client_secret_expired",
            "operator",
        ),
        (DecryptionError("x"), "operator-must-act", "decryption_failed", "operator"),
        (
            UnavailableError(Fault(service=SERVICE, http_status=503)),
            "retrying",
            "microsoft_unavailable",
            "retry",
        ),
        (
            UnavailableError(Fault(service=SERVICE, http_status=429, error="invalid_grant")),
            "retrying",
            "throttled",
            "retry",
        ),
    ],
    ids=lambda value: "" if isinstance(value, str) else str(value),
)
def test_what_concerns_the_grant_or_the_site_concerns_every_api(
    error: Any, status: str, code: str, reaction: str, is_graph: bool
) -> None:
    assert found(error, is_graph=is_graph) == (status, code, reaction, False)


@pytest.mark.parametrize(
    ("error", "code", "reaction", "of_graph", "of_another"),
    [
        (refusal(50076), "sign_in_needed", "reconnect", "needs-reconnect", "ready"),
        (refusal(53003), "blocked_by_policy", "tenant_admin", "needs-admin-approval", "ready"),
        (refusal(50105), "account_not_assigned", "tenant_admin", "needs-admin-approval", "ready"),
        (
            refusal(65001),
            "consent_missing",
            "tenant_admin",
            "needs-admin-approval",
            "permission-missing",
        ),
        (refusal(650057), "api_not_registered", "operator", "operator-must-act", "ready"),
        (refusal(500011), "resource_unknown", "operator", "operator-must-act", "ready"),
        (refusal(claims='{"a": 1}'), "sign_in_needed", "reconnect", "needs-reconnect", "ready"),
        (
            refusal(suberror="basic_action"),
            "sign_in_needed",
            "reconnect",
            "needs-reconnect",
            "ready",
        ),
        (
            refusal(suberror="message_only"),
            "blocked_by_policy",
            "tenant_admin",
            "needs-admin-approval",
            "ready",
        ),
    ],
    ids=lambda value: "" if isinstance(value, str) else str(value),
)
def test_what_concerns_one_api_leaves_the_others(
    error: Any, code: str, reaction: str, of_graph: str, of_another: str
) -> None:
    assert found(error, is_graph=True) == (of_graph, code, reaction, True)
    assert found(error, is_graph=False) == (of_another, code, reaction, True)


@pytest.mark.parametrize(
    "aadsts",
    [
        *(7000215, 7000216, 7000218, 7000222, 700025, 700027),
        *(50011, 50194, 90002, 700016, 7000112, 7000229),
    ],
)
def test_what_is_said_of_the_site_concerns_every_api(aadsts: int) -> None:
    for is_graph in (True, False):
        assert not found(refusal(aadsts, "unauthorized_client"), is_graph=is_graph)[3]


def test_what_is_not_understood_is_another_apis_alone() -> None:
    unknown = refusal(99999)
    assert found(unknown, is_graph=True)[1:] == ("grant_revoked", "reconnect", False)
    assert found(unknown, is_graph=False)[1:] == ("api_refused", "reconnect", True)


@pytest.mark.parametrize("status", Status)
def test_each_status_has_advice_and_a_reaction(status: str) -> None:
    connection = AppConnection(status=status)
    assert health.advice_for(connection) is ADVICE[Status(status)]
    expected = {
        Status.NEEDS_RECONNECT: Reaction.RECONNECT,
        Status.NEEDS_ADMIN_APPROVAL: Reaction.TENANT_ADMIN,
        Status.OPERATOR_MUST_ACT: Reaction.OPERATOR,
    }.get(Status(status), Reaction.RETRY)
    assert health.reaction_of(connection) is expected


def test_reconnecting_is_offered_where_it_helps() -> None:
    offered = {status for status, advice in ADVICE.items() if advice.may_reconnect}
    assert offered == {
        Status.PERMISSION_MISSING, Status.NEEDS_RECONNECT, Status.NEEDS_ADMIN_APPROVAL,
    }  # fmt: skip


def test_reason_of_an_unknown_problem_is_nothing() -> None:
    assert health.reason_of(AppConnection(problem="throttled")) == REASONS["throttled"]
    assert health.reason_of(AppConnection(problem="of another release")) == ""
    assert health.reason_of(AppConnection()) == ""
