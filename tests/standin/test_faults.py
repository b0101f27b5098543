"""Every fault does what its name says."""

from __future__ import annotations

import time
from typing import Any

import jwt
import pytest
import requests

from example_project.standin.directory import CONTOSO_ID
from example_project.standin.faults import FAULTS, menu

from .app import CONTOSO, App, query_of

REFUSALS = [fault for fault in FAULTS.values() if fault.kind == "refusal"]
SUBERRORS = {50173: "bad_token", 50076: "basic_action", 53003: "message_only"}
DISCOVERY = f"{CONTOSO_ID}/v2.0/.well-known/openid-configuration"


@pytest.mark.parametrize("fault", REFUSALS, ids=lambda fault: fault.name)
def test_refusals_of_the_token_endpoint(app: App, fault: Any) -> None:
    code = app.code()
    app.standin.fault(fault.name)
    response = app.redeem(code)
    assert response.json()["error_codes"] == [fault.code]
    assert ("Retry-After" in response.headers) == (fault.name == "throttled")
    if fault.code in SUBERRORS:
        assert response.json()["suberror"] == SUBERRORS[fault.code]
    assert ("claims" in response.json()) == (fault.code in (50076, 53003))
    assert app.redeem(code).status_code == 200


@pytest.mark.parametrize(
    ("name", "status", "size"),
    [
        ("unavailable", 503, 100),
        ("html", 500, 100),
        ("html_200", 200, 100),
        ("empty", 200, 0),
        ("huge", 200, 5_000_000),
        ("redirect", 302, 0),
    ],
)
@pytest.mark.parametrize("prefix", ["", "discovery_", "jwks_"])
def test_broken_answers(app: App, prefix: str, name: str, status: int, size: int) -> None:
    app.standin.fault(prefix + name)
    path = {"": "", "discovery_": DISCOVERY, "jwks_": f"{CONTOSO_ID}/discovery/v2.0/keys"}[prefix]
    if prefix:
        response = requests.get(f"{app.standin.url}/{path}", allow_redirects=False, timeout=10)
    else:
        response = app.redeem("any")
    assert response.status_code == status
    assert len(response.content) >= size
    if name != "huge":
        assert len(response.content) < 500


@pytest.mark.parametrize("name", ["truncated", "reset"])
def test_broken_connections(app: App, name: str) -> None:
    code = app.code()
    app.standin.fault(name)
    with pytest.raises(requests.RequestException):
        app.redeem(code)
    # A break in the answer means that the code was used; a break before it, that it was not.
    assert app.redeem(code).status_code == (400 if name == "truncated" else 200)


def test_slowness(app: App) -> None:
    app.standin.fault("slow", seconds=0.4)
    started = time.monotonic()
    assert app.tokens()["token_type"] == "Bearer"
    assert time.monotonic() - started >= 0.4
    app.standin.fault("drip", seconds=0)
    assert app.tokens()["token_type"] == "Bearer"
    app.standin.latency(0.3)
    started = time.monotonic()
    app.refresh("x")
    assert time.monotonic() - started >= 0.3


@pytest.mark.parametrize(
    ("fault", "field", "value"),
    [
        ("no_refresh_token", "refresh_token", None),
        ("no_id_token", "id_token", None),
        ("expires_in_missing", "expires_in", None),
        ("expires_in_string", "expires_in", "3599"),
        ("expires_in_zero", "expires_in", 0),
        ("expires_in_negative", "expires_in", -3600),
        ("expires_in_huge", "expires_in", 10**12),
        ("token_type_missing", "token_type", None),
        ("access_token_missing", "access_token", None),
        ("narrow_scope", "scope", "profile openid https://graph.microsoft.com/User.Read"),
    ],
)
def test_spoilt_bodies(app: App, fault: str, field: str, value: object) -> None:
    body = app.tokens(fault=fault)
    assert body.get(field) == value


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("wrong_audience", jwt.InvalidAudienceError),
        ("wrong_issuer", jwt.InvalidIssuerError),
        ("wrong_tenant", jwt.InvalidIssuerError),
        ("wrong_signature", jwt.InvalidSignatureError),
        ("alg_none", jwt.InvalidAlgorithmError),
        ("alg_hs256", jwt.InvalidAlgorithmError),
        ("expired_id_token", jwt.ExpiredSignatureError),
        ("future_id_token", jwt.ImmatureSignatureError),
        ("missing_sub", jwt.MissingRequiredClaimError),
        ("missing_oid", jwt.MissingRequiredClaimError),
        ("missing_tid", jwt.MissingRequiredClaimError),
        ("unknown_kid", jwt.PyJWKClientError),
    ],
)
def test_spoilt_id_tokens(app: App, fault: str, error: type[Exception]) -> None:
    app.standin.fault(fault)
    tokens = app.tokens()
    keys = jwt.PyJWKClient(f"{app.standin.url}/{CONTOSO_ID}/discovery/v2.0/keys")

    def decode() -> None:
        jwt.decode(
            tokens["id_token"],
            keys.get_signing_key_from_jwt(tokens["id_token"]),
            algorithms=["RS256"],
            audience=app.standin.registration()["client_id"],
            issuer=f"{app.standin.url}/{CONTOSO_ID}/v2.0",
            options={"require": ["sub", "oid", "tid"]},
        )

    with pytest.raises(error):
        decode()


@pytest.mark.parametrize(
    ("fault", "claim"), [("wrong_nonce", "nonce"), ("other_at_hash", "at_hash")]
)
def test_claims_that_only_the_client_can_compare(app: App, fault: str, claim: str) -> None:
    token = app.tokens(fault=fault)["id_token"]
    assert jwt.decode(token, options={"verify_signature": False})[claim] != "n-1"


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("authorize_server_error", {"error": "server_error"}),
        ("authorize_temporarily_unavailable", {"error": "temporarily_unavailable"}),
        ("authorize_declined", {"error": "access_denied"}),
        ("authorize_cancelled", {"error_subcode": "cancel"}),
        ("authorize_consent_required", {"error": "consent_required"}),
        ("authorize_interaction_required", {"error": "interaction_required"}),
        ("authorize_login_required", {"error": "login_required"}),
        ("authorize_admin_approval", {"error": "access_denied"}),
        ("iss_wrong", {"iss": "https://sts.example.com/v2.0"}),
        ("state_altered", {"state": "xst&te"}),
        ("code_invented", {"code": "invented"}),
        ("error_and_code", {"error": "access_denied"}),
    ],
)
def test_spoilt_redirects(app: App, fault: str, expected: dict[str, str]) -> None:
    app.standin.fault(fault)
    answer = query_of(app.standin.authorize(app.url()))
    assert expected.items() <= answer.items()
    assert query_of(app.standin.authorize(app.url(), fault=fault)).items() >= expected.items()
    assert set(query_of(app.standin.authorize(app.url()))) == {"code", "state", "session_state"}


def test_redirects_with_too_little_or_too_much(app: App) -> None:
    def location(fault: str) -> str:
        return app.standin.authorize(app.url(), fault=fault)

    assert "code" not in query_of(location("code_missing"))
    assert "state" not in query_of(location("state_missing"))
    assert location("code_duplicated").count("code=") == 2
    assert len(query_of(location("code_too_long"))["code"]) > 20_000


def test_fault_chosen_on_the_page_stays_with_that_sign_in(app: App) -> None:
    broken, whole = app.code(fault="secret_expired"), app.code()
    assert app.redeem(whole).status_code == 200
    assert app.redeem(broken).json()["error_codes"] == [7000222]
    without_graph = app.tokens(fault="graph_unavailable")["access_token"]
    assert app.graph("/me", without_graph).status_code == 503
    assert app.graph("/me", app.tokens()["access_token"]).status_code == 200
    later = app.tokens(fault="later:revoked")["refresh_token"]
    assert app.refresh(later).json()["error_codes"] == [50173]
    app.code(fault="jwks_unavailable")
    address = f"{app.standin.url}/{CONTOSO_ID}/discovery/v2.0/keys"
    assert [requests.get(address, timeout=10).status_code for _ in range(2)] == [503, 503]
    app.code()
    assert requests.get(address, timeout=10).status_code == 200


def test_faults_can_be_kept_narrowed_and_cleared(app: App) -> None:
    tokens = app.tokens()
    app.standin.fault("unavailable", None, grant_type="refresh_token", tenant=CONTOSO)
    assert app.redeem(app.code()).status_code == 200
    refreshes = [app.refresh(tokens["refresh_token"]).status_code for _ in range(3)]
    assert refreshes == [503, 503, 503]
    app.standin.clear_faults()
    assert app.refresh(tokens["refresh_token"]).status_code == 200
    with pytest.raises(ValueError, match="unknown fault"):
        app.standin.fault("nonsense")


def test_every_fault_is_known_by_name_and_the_menu_offers_only_those(app: App) -> None:
    assert app.standin.fault_names() == list(FAULTS)
    for _heading, options in menu():
        assert {value.removeprefix("later:") for value, _label in options} <= set(FAULTS)
