"""The authorize endpoint: who comes back to the application, and with what."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import requests

from example_project.standin.client import StandIn, StandInPage
from example_project.standin.directory import CONTOSO_ID

from .app import GRAPH, OIDC, REDIRECT_URI, App, query_of


def test_success_carries_code_state_and_session_state_but_no_iss(app: App) -> None:
    location = app.standin.authorize(app.url(client_info="1"))
    assert location.startswith(f"{REDIRECT_URI}?")
    assert location.endswith("#")
    answer = query_of(location)
    assert set(answer) == {"code", "state", "session_state", "client_info"}
    assert answer["state"] == "st&te"


@pytest.mark.parametrize(
    ("tenant", "changes", "code"),
    [
        ("contoso.com", {"client_id": "11111111-1111-1111-1111-111111111111"}, 700016),
        ("contoso.com", {"client_id": None}, 900144),
        ("contoso.com", {"redirect_uri": f"{REDIRECT_URI}/"}, 50011),
        ("contoso.com", {"redirect_uri": REDIRECT_URI.upper()}, 50011),
        ("contoso.com", {"redirect_uri": REDIRECT_URI.replace("localhost", "127.0.0.1")}, 50011),
        ("contoso.com", {"redirect_uri": "https://app.example.com:444"}, 50011),
        ("nowhere.example", {}, 90002),
        ("fabrikam.com", {}, 50020),
    ],
)
def test_errors_that_stay_on_the_page(
    app: App, tenant: str, changes: dict[str, Any], code: int
) -> None:
    with pytest.raises(StandInPage) as caught:
        app.standin.authorize(app.url(tenant, **changes))
    assert caught.value.code == code
    assert caught.value.text


@pytest.mark.parametrize(
    ("changes", "error", "code"),
    [
        ({"response_type": None}, "invalid_request", 900144),
        ({"response_type": "id_token"}, "unsupported_response_type", 700054),
        ({"scope": None}, "invalid_request", 900144),
        ({"scope": f"{GRAPH}/.default {GRAPH}/User.Read"}, "invalid_scope", 70011),
        ({"scope": "https://unknown.example/.default"}, "invalid_resource", 500011),
        ({"scope": f"{GRAPH}/Nothing.Read"}, "invalid_client", 650053),
        ({"code_challenge": "short"}, "invalid_request", 501491),
        ({"code_challenge_method": "S512"}, "invalid_request", 90023),
        ({"prompt": "login consent"}, "invalid_request", 90023),
        ({"response_mode": "pigeon"}, "invalid_request", 90023),
        ({"prompt": "none"}, "login_required", 50058),
    ],
)
def test_errors_that_go_back(app: App, changes: dict[str, Any], error: str, code: int) -> None:
    location = app.standin.authorize(app.url(**changes))
    answer = query_of(location)
    assert answer["error"] == error
    assert answer["state"] == "st&te"
    assert answer["error_uri"].endswith(f"?code={code}")
    lines = answer["error_description"].split("\r\n")
    assert [line.partition(":")[0] for line in lines] == [
        f"AADSTS{code}",
        "Trace ID",
        "Correlation ID",
        "Timestamp",
    ]
    # Entra escapes in lower case.
    assert re.search("%0d%0aTrace", location)


def test_any_port_of_localhost_matches(app: App) -> None:
    other = REDIRECT_URI.replace(":8000", ":9123")
    assert app.standin.authorize(app.url(redirect_uri=other)).startswith(other)


@pytest.mark.parametrize(
    ("uri", "start"),
    [
        ("https://app.example.com", "https://app.example.com/?code="),
        ("https://app.example.com/back?keep=1", "https://app.example.com/back?keep=1&code="),
    ],
)
def test_address_without_path_and_address_with_query(app: App, uri: str, start: str) -> None:
    assert app.standin.authorize(app.url(redirect_uri=uri)).startswith(start)


def test_fragment_and_form_post(app: App) -> None:
    fragment = urlsplit(app.standin.authorize(app.url(response_mode="fragment"))).fragment
    assert "code" in dict(parse_qsl(fragment))
    posted = app.standin.authorize(app.url(response_mode="form_post"))
    assert set(query_of(posted)) == {"code", "state", "session_state"}


def test_cancel_has_no_description_and_decline_has_one(app: App) -> None:
    cancelled = query_of(app.standin.authorize(app.url(), decision="cancel"))
    assert cancelled == {"error": "access_denied", "error_subcode": "cancel", "state": "st&te"}
    assert query_of(app.standin.authorize(app.url(), account="")) == cancelled
    declined = query_of(app.standin.authorize(app.url(), decision="decline"))
    assert declined["error"] == "access_denied"
    assert declined["error_description"].startswith("AADSTS65004: User declined")
    assert "error_uri" in declined


def test_member_needs_an_administrator_until_one_consented_for_all(app: App) -> None:
    standin, url = app.standin, app.url()
    with pytest.raises(StandInPage) as caught:
        standin.authorize(url, "max@contoso.com")
    assert caught.value.code == 90094
    cancelled = query_of(standin.authorize(url, "max@contoso.com", "cancel"))
    assert cancelled["error_subcode"] == "cancel"

    standin.authorize(url, "ada@contoso.com")
    with pytest.raises(StandInPage):
        standin.authorize(url, "max@contoso.com")
    standin.authorize(app.url(prompt="consent"), "ada@contoso.com", "consent_for_all")
    assert "code" in query_of(standin.authorize(url, "max@contoso.com"))
    with pytest.raises(StandInPage):
        standin.authorize(app.url(prompt="consent"), "max@contoso.com")


def test_default_asks_once_and_lists_all_registered_permissions(app: App) -> None:
    with requests.Session() as browser:

        def pick(url: str) -> requests.Response:
            page = browser.get(url, timeout=10).text
            action = re.search('action="([^"]+)"', page)
            assert action is not None
            form = {"account": "ada@contoso.com"}
            address = f"{app.standin.url}{action.group(1)}"
            return browser.post(address, form, allow_redirects=False, timeout=10)

        consent = pick(app.url()).text
        for name in ("Directory.ReadWrite.All", "user_impersonation", "KeyValue.Delete"):
            assert name in consent
        app.standin.authorize(app.url())
        assert pick(app.url()).is_redirect
        assert not pick(app.url(prompt="consent")).is_redirect
        # Having some of a resource is enough for .default, not for a name.
        other = f"{OIDC} {GRAPH}/Organization.Read.All"
        assert "Organization.Read.All" in pick(app.url(scope=other)).text


def test_unassigned_user_sees_the_page_or_interaction_required(app: App) -> None:
    with pytest.raises(StandInPage) as caught:
        app.standin.authorize(app.url(), "una@contoso.com")
    assert caught.value.code == 50105
    app.standin.auto("una@contoso.com")
    silent = query_of(app.standin.authorize(app.url(prompt="none")))
    assert silent["error"] == "interaction_required"


def test_silent_sign_in_needs_consent_and_then_works(app: App) -> None:
    app.standin.auto("ada@contoso.com")
    url = app.url(prompt="none")
    assert query_of(app.standin.authorize(url))["error"] == "interaction_required"
    app.standin.authorize(app.url())
    assert "code" in query_of(app.standin.authorize(url))


def test_admin_consent_grants_for_everyone(standin: StandIn, app: App) -> None:
    url = app.url(response_type=None, scope=f"{GRAPH}/.default").replace(
        "/oauth2/v2.0/authorize", "/v2.0/adminconsent"
    )
    declined = query_of(standin.authorize(url, decision="decline"))
    assert declined["admin_consent"] == "True"
    assert declined["error"] == "consent_required"
    with pytest.raises(StandInPage):
        standin.authorize(url, "max@contoso.com")
    answer = query_of(standin.authorize(url))
    assert answer == {
        "admin_consent": "True",
        "tenant": CONTOSO_ID,
        "scope": f"{GRAPH}/.default",
        "state": "st&te",
    }
    assert "code" in query_of(standin.authorize(app.url(), "max@contoso.com"))


@pytest.mark.parametrize("tenant", ["common", "organizations"])
def test_shared_paths_let_every_tenant_in(app: App, tenant: str) -> None:
    url = app.url(tenant)
    assert "code" in query_of(app.standin.authorize(url, "faye@fabrikam.com"))
    assert "code" in query_of(app.standin.authorize(url, "ada@contoso.com"))
