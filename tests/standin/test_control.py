"""The controls that tests use."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from example_project.standin.client import StandIn, StandInPage
from example_project.standin.directory import DEFAULT_CLIENT_SECRET

from .app import CONTOSO, App, query_of


def test_journal_lists_requests_without_secrets(app: App) -> None:
    tokens = app.tokens()
    entries = app.standin.journal()
    authorize = next(e for e in entries if e["path"].endswith("/authorize"))
    assert authorize["query"]["state"] == ["st&te"]
    (redemption,) = app.standin.token_requests()
    assert redemption["grant_type"] == "authorization_code"
    assert redemption["status"] == 200
    assert "client_secret" in redemption["form"]
    text = json.dumps(entries)
    for secret in (DEFAULT_CLIENT_SECRET, tokens["refresh_token"], tokens["access_token"]):
        assert secret not in text
    app.standin.reset()
    assert app.standin.journal() == []


def test_auto_answers_without_pages(app: App) -> None:
    def location() -> str:
        response = requests.get(app.url(), allow_redirects=False, timeout=10)
        return response.headers.get("Location", "")

    app.standin.auto("ada@contoso.com", "decline")
    assert "AADSTS65004" in location()
    app.standin.auto("ada@contoso.com", "cancel")
    assert "cancel" in location()
    app.standin.auto("max@contoso.com")
    with pytest.raises(StandInPage):
        app.standin.authorize(app.url())
    app.standin.auto("ada@contoso.com", "consent_for_all")
    assert "code" in query_of(location())
    app.standin.auto("max@contoso.com")
    assert "code" in query_of(location())
    app.standin.auto(None)
    assert location() == ""


def test_canaries_are_found_in_what_is_given_out(app: App) -> None:
    app.standin.canaries(code="CODE-", access_token="ACCESS-", refresh_token="REFRESH-")
    code = app.code()
    tokens = app.redeem(code).json()
    assert code.startswith("CODE-")
    assert tokens["access_token"].startswith("ACCESS-")
    assert tokens["refresh_token"].startswith("REFRESH-")
    assert app.refresh(tokens["refresh_token"]).status_code == 200


def test_registration_tells_everything_but_the_secret(standin: StandIn) -> None:
    registration = standin.registration()
    assert [tenant["name"] for tenant in registration["tenants"]] == ["Contoso", "Fabrikam"]
    assert DEFAULT_CLIENT_SECRET not in json.dumps(registration)


def test_code_is_redeemed_once_even_when_raced(app: App) -> None:
    code = app.code()
    with ThreadPoolExecutor(20) as pool:
        statuses = list(pool.map(lambda _: app.redeem(code).status_code, range(20)))
    assert sorted(statuses) == [200] + [400] * 19


def test_connections_are_kept_open(standin: StandIn) -> None:
    with requests.Session() as session:
        for _ in range(3):
            response = session.get(f"{standin.url}/common/discovery/instance", timeout=10)
            assert response.headers.get("Connection") != "close"
        pools = session.get_adapter(standin.url).poolmanager.pools  # type: ignore[attr-defined]
        (pool,) = [pools[key] for key in pools.keys()]  # noqa: SIM118
        assert pool.num_connections == 1


def test_nonsense_is_refused(standin: StandIn) -> None:
    for name, body in (
        ("auto", {"account": "nobody@nowhere.example"}),
        ("auto", {"account": "ada@contoso.com", "decision": "perhaps"}),
        ("consents", {"action": "grant", "tenant": "nowhere.example"}),
        ("consents", {"action": "grant", "tenant": CONTOSO, "resource": "mail"}),
        ("clock", {}),
        ("roles", {"account": "ada@contoso.com", "place": "no-vault", "role": ""}),
        ("roles", {"account": "ada@contoso.com", "place": "contoso-vault", "role": "King"}),
        ("data_planes", {"page_size": "many"}),
    ):
        with pytest.raises(ValueError, match=name):
            standin.control("POST", name, body)


def test_failure_to_start_is_explained(standin: StandIn) -> None:
    taken = int(standin.url.rpartition(":")[2])
    with pytest.raises(RuntimeError, match="Address already in use"):
        StandIn.start(port=taken)


def test_front_page_and_unknown_addresses(standin: StandIn) -> None:
    front = requests.get(standin.url, timeout=10).text
    for text in ("Contoso", standin.vault_url(), standin.store_url()):
        assert text in front
    assert "To come" not in front
    planned = requests.post(standin.url, {"fault": "graph_add_lost"}, timeout=10).text
    assert "To come: Adding a client secret does it, but closes the connection." in planned
    assert "To come" not in requests.post(standin.url, {"fault": ""}, timeout=10).text
    assert requests.get(f"{standin.url}/nothing/here", timeout=10).status_code == 404
    assert requests.get(f"{standin.url}/error?code=65001", timeout=10).ok
    assert requests.get(f"{standin.url}/_standin/style.css", timeout=10).ok
