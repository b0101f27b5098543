"""Graph: who am I, where am I, and why not."""

from __future__ import annotations

import re

import pytest
import requests

from example_project.standin.directory import ADA, CONTOSO_ID

from .app import GRAPH, OIDC, App

VAULT = "https://vault.azure.net"


def test_me_and_organization(app: App) -> None:
    token = app.tokens()["access_token"]
    me = app.graph("/me", token, **{"client-request-id": "mine"})
    assert me.json()["id"] == ADA.oid
    assert me.headers["client-request-id"] == "mine"
    assert me.headers["odata-version"] == "4.0"
    (entry,) = app.graph("/organization", token).json()["value"]
    assert entry["id"] == CONTOSO_ID
    assert entry["tenantType"] == "AAD"
    assert {domain["name"] for domain in entry["verifiedDomains"]} >= {"contoso.com"}


def test_organization_is_reduced_by_user_read(app: App) -> None:
    token = app.tokens(scope=f"{OIDC} {GRAPH}/User.Read")["access_token"]
    (entry,) = app.graph("/organization", token).json()["value"]
    filled = {name for name, value in entry.items() if value}
    assert filled == {"id", "displayName", "verifiedDomains"}


def test_refusals_have_graphs_shape(app: App) -> None:
    good = app.tokens()["access_token"]
    vault = app.tokens(scope=f"{OIDC} {VAULT}/.default")["access_token"]
    narrow = app.tokens(fault="without_user_read")["access_token"]
    missing = requests.get(f"{app.standin.graph_url}/me", timeout=10)
    answers = [
        (missing, 401, "Access token is empty."),
        (app.graph("/me", "invented"), 401, "CompactToken validation failed"),
        (app.graph("/me", vault), 401, "Invalid audience"),
        (app.graph("/me", narrow), 403, "Insufficient privileges"),
        (app.graph("/users", good), 404, "users"),
    ]
    app.standin.clock(5400)
    answers.append((app.graph("/me", good), 401, "Access token has expired"))
    for response, status, text in answers:
        error = response.json()["error"]
        assert response.status_code == status
        assert text in error["message"]
        inner = error["innerError"]
        assert inner["request-id"] == response.headers["request-id"]
        assert inner["client-request-id"] == response.headers["client-request-id"]
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", inner["date"])
        assert ("WWW-Authenticate" in response.headers) == (status == 401)


@pytest.mark.parametrize(
    ("fault", "status", "header"),
    [
        ("graph_unauthorized", 401, "WWW-Authenticate"),
        ("graph_forbidden", 403, None),
        ("graph_throttled", 429, "Retry-After"),
        ("graph_throttled_without_retry_after", 429, "x-ms-throttle-scope"),
        ("graph_unavailable", 503, None),
        ("graph_html", 500, None),
        ("graph_redirect", 302, "Location"),
    ],
)
def test_faults(app: App, fault: str, status: int, header: str | None) -> None:
    token = app.tokens()["access_token"]
    app.standin.fault(fault)
    response = app.graph("/me", token)
    assert response.status_code == status
    assert header is None or header in response.headers
    assert app.graph("/me", token).status_code == 200


def test_claims_challenge_only_for_clients_that_can_handle_it(app: App) -> None:
    cp1 = '{"access_token":{"xms_cc":{"values":["cp1"]}}}'
    able = app.redeem(app.code(), claims=cp1).json()
    assert able["expires_in"] >= 72_000
    plain = app.tokens()["access_token"]
    app.standin.revoke_sessions("ada@contoso.com")
    challenge = app.graph("/me", able["access_token"])
    assert 'error="insufficient_claims"' in challenge.headers["WWW-Authenticate"]
    assert app.graph("/me", plain).status_code == 200


def test_other_user(app: App) -> None:
    token = app.tokens()["access_token"]
    app.standin.fault("graph_me_other_user")
    assert app.graph("/me", token).json()["id"] != ADA.oid
