"""The token endpoint: what it gives, and what it refuses."""

from __future__ import annotations

import re
from typing import Any

import jwt
import pytest
import requests

from example_project.standin.directory import (
    ADA,
    CONTOSO_ID,
    DEFAULT_CLIENT_ID,
    DEFAULT_CLIENT_SECRET,
    DEFAULT_SECRET_ID,
)

from .app import CONTOSO, GRAPH, OIDC, REDIRECT_URI, SCOPE, App

VAULT = "https://vault.azure.net"


def check_refusal(response: requests.Response, status: int, error: str, code: int) -> None:
    body = response.json()
    assert (response.status_code, body["error"], body["error_codes"]) == (status, error, [code])
    assert body["error_description"].startswith(f"AADSTS{code}: ")
    assert body["error_description"].endswith(f"\r\nTimestamp: {body['timestamp']}")
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ", body["timestamp"])
    assert body["trace_id"] == response.headers["x-ms-request-id"]
    assert {"correlation_id", "error_uri"} <= set(body)


def test_success_has_every_field(app: App) -> None:
    response = app.redeem(app.code(), client_info="1")
    body = response.json()
    assert list(body) == [
        "token_type",
        "scope",
        "expires_in",
        "ext_expires_in",
        "access_token",
        "refresh_token",
        "id_token",
        "client_info",
    ]
    assert 3600 <= body["expires_in"] <= 5399
    assert body["scope"] == (
        "profile openid https://graph.microsoft.com/User.Read "
        "https://graph.microsoft.com/Application.ReadWrite.All "
        "https://graph.microsoft.com/Directory.ReadWrite.All"
    )
    assert response.headers["Cache-Control"] == "no-store, no-cache"


def test_lifetimes_repeat_after_a_reset(app: App) -> None:
    first = [app.tokens()["expires_in"] for _ in range(3)]
    app.standin.reset()
    assert [app.tokens()["expires_in"] for _ in range(3)] == first
    assert len(set(first)) > 1


def test_id_token_is_valid_and_complete(app: App) -> None:
    token = app.tokens()["id_token"]
    keys = jwt.PyJWKClient(f"{app.standin.url}/{CONTOSO_ID}/discovery/v2.0/keys")
    claims = jwt.decode(
        token,
        keys.get_signing_key_from_jwt(token),
        algorithms=["RS256"],
        audience=DEFAULT_CLIENT_ID,
        issuer=f"{app.standin.url}/{CONTOSO_ID}/v2.0",
    )
    assert claims["tid"] == CONTOSO_ID
    assert claims["oid"] == ADA.oid != claims["sub"]
    assert (claims["nonce"], claims["ver"], claims["name"]) == ("n-1", "2.0", ADA.name)
    assert {"aio", "rh", "uti", "sid", "nbf", "iat", "preferred_username"} <= set(claims)


@pytest.mark.parametrize(
    ("changes", "status", "error", "code"),
    [
        ({"client_secret": "wrong"}, 401, "invalid_client", 7000215),
        ({"client_secret": DEFAULT_SECRET_ID}, 401, "invalid_client", 7000215),
        ({"client_secret": None}, 401, "invalid_client", 7000218),
        ({"client_id": None}, 400, "invalid_request", 900144),
        ({"client_id": ADA.oid}, 400, "unauthorized_client", 700016),
        ({"grant_type": None}, 400, "invalid_request", 900144),
        ({"grant_type": "password"}, 400, "unsupported_grant_type", 70003),
        ({"code": "invented", "client_secret": "wrong"}, 400, "invalid_grant", 9002313),
        ({"code": None}, 400, "invalid_request", 900144),
        ({"redirect_uri": None}, 400, "invalid_request", 900144),
        ({"redirect_uri": REDIRECT_URI + "/"}, 401, "invalid_client", 50011),
        ({"code_verifier": "x" * 64}, 400, "invalid_grant", 501481),
        ({"code_verifier": None}, 400, "invalid_grant", 501481),
        ({"tenant": "fabrikam.com"}, 400, "invalid_grant", 700005),
        ({"tenant": "common"}, 400, "invalid_grant", 700005),
        ({"tenant": "nowhere.example"}, 400, "invalid_request", 90002),
        ({"resource": GRAPH}, 400, "invalid_request", 901002),
        ({"scope": f"{GRAPH}/User.Read {VAULT}/.default"}, 400, "invalid_request", 28000),
        ({"scope": " "}, 400, "invalid_request", 28003),
        ({"scope": f"{GRAPH}/.default {GRAPH}/User.Read"}, 400, "invalid_scope", 70011),
        ({"scope": f"{GRAPH}/Nothing.Read"}, 400, "invalid_scope", 70011),
        ({"scope": "https://unknown.example/.default"}, 400, "invalid_resource", 500011),
        ({"scope": f"{GRAPH}/Organization.Read.All"}, 400, "invalid_grant", 65001),
    ],
)
def test_wrong_code_redemptions(
    app: App, changes: dict[str, Any], status: int, error: str, code: int
) -> None:
    grant = app.code()
    check_refusal(app.redeem(**{"code": grant, **changes}), status, error, code)
    # A refused redemption does not use the code up.
    assert app.redeem(grant).status_code == 200


def test_secret_id_gets_a_text_of_its_own(app: App) -> None:
    plain = app.redeem(app.code(), client_secret="wrong").json()["error_description"]
    hinted = app.redeem(app.code(), client_secret=DEFAULT_SECRET_ID).json()["error_description"]
    assert "not the client secret ID" in hinted
    assert "not the client secret ID" not in plain


def test_code_works_once_and_for_ten_minutes(app: App) -> None:
    code, late = app.code(), app.code()
    assert app.redeem(code).status_code == 200
    check_refusal(app.redeem(code), 400, "invalid_grant", 54005)
    app.standin.clock(600)
    check_refusal(app.redeem(late), 400, "invalid_grant", 70008)


def test_code_of_several_resources_needs_a_scope(app: App) -> None:
    code = app.code(scope=f"{SCOPE} {VAULT}/.default")
    check_refusal(app.redeem(code), 400, "invalid_request", 28003)
    assert app.redeem(code, scope=f"{VAULT}/.default").json()["scope"] == (
        f"{VAULT}/user_impersonation {VAULT}/.default"
    )


def test_only_a_form_is_read(app: App) -> None:
    address = app.standin.token_url(CONTOSO)
    asjson = requests.post(address, json={"grant_type": "refresh_token"}, timeout=10)
    check_refusal(asjson, 400, "invalid_request", 900144)
    check_refusal(requests.get(address, timeout=10), 400, "invalid_request", 900561)


def test_basic_header_and_correlation_id(app: App) -> None:
    form = {
        "grant_type": "authorization_code",
        "code": app.code(),
        "redirect_uri": REDIRECT_URI,
        "code_verifier": "wrong",
    }
    address = app.standin.token_url(CONTOSO)
    basic = (DEFAULT_CLIENT_ID, DEFAULT_CLIENT_SECRET)
    headers = {"client-request-id": "my-own-id"}
    response = requests.post(address, form, auth=basic, headers=headers, timeout=10)
    check_refusal(response, 400, "invalid_grant", 501481)
    assert response.json()["correlation_id"] == "my-own-id"


def test_no_refresh_token_and_no_id_token_unless_asked(app: App) -> None:
    body = app.tokens(scope=f"{GRAPH}/User.Read")
    assert not {"refresh_token", "id_token"} & set(body)


def test_refresh_gives_a_new_token_and_the_old_one_lives_on(app: App) -> None:
    first = app.tokens()["refresh_token"]
    second = app.refresh(first, scope=SCOPE).json()["refresh_token"]
    assert second != first
    assert app.refresh(first).status_code == 200
    app.standin.clock(89 * 86_400)
    third = app.refresh(second).json()["refresh_token"]
    app.standin.clock(91 * 86_400)
    check_refusal(app.refresh(second), 400, "invalid_grant", 700082)
    assert app.refresh(third).status_code == 200


def test_refresh_for_other_resources(app: App) -> None:
    token = app.tokens(scope=f"{OIDC} {GRAPH}/User.Read")["refresh_token"]
    refused = app.refresh(token, scope=f"{VAULT}/.default")
    check_refusal(refused, 400, "invalid_grant", 65001)
    assert refused.json()["suberror"] == "consent_required"
    app.standin.grant_consent(CONTOSO, account="ada@contoso.com")
    both = app.refresh(token, scope=f"{VAULT}/.default {GRAPH}/User.Read").json()
    assert both["scope"] == f"{VAULT}/user_impersonation {VAULT}/.default"
    app.standin.revoke_consent(CONTOSO, resource="key_vault")
    check_refusal(app.refresh(token, scope=f"{VAULT}/.default"), 400, "invalid_grant", 65001)


@pytest.mark.parametrize(
    ("resource", "names"),
    [
        (VAULT, ["user_impersonation"]),
        ("https://appconfig.azure.com", ["KeyValue.Read", "KeyValue.Write", "KeyValue.Delete"]),
        ("https://azconfig.io", ["KeyValue.Read", "KeyValue.Write", "KeyValue.Delete"]),
    ],
)
def test_refresh_for_data_planes(app: App, resource: str, names: list[str]) -> None:
    body = app.refresh(app.refresh_token(), scope=f"{resource}/.default").json()
    assert body["scope"].split() == [f"{resource}/{name}" for name in (*names, ".default")]
    # With the slash at the end that App Configuration's clients write.
    assert app.refresh(body["refresh_token"], scope=f"{resource}//.default").status_code == 200


@pytest.mark.parametrize(
    ("token", "tenant", "code"),
    [("invented", CONTOSO, 9002313), ("", CONTOSO, 900144), (None, "fabrikam.com", 50020)],
)
def test_wrong_refresh_tokens(app: App, token: str | None, tenant: str, code: int) -> None:
    sent = app.tokens()["refresh_token"] if token is None else token
    assert app.refresh(sent, tenant).json()["error_codes"] == [code]


def test_revoked_sessions(app: App) -> None:
    token = app.tokens()["refresh_token"]
    app.standin.revoke_sessions("ada@contoso.com")
    refused = app.refresh(token)
    check_refusal(refused, 400, "invalid_grant", 50173)
    assert refused.json()["suberror"] == "bad_token"
    assert app.refresh(app.tokens()["refresh_token"]).status_code == 200
