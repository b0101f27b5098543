"""Key Vault: what a vault keeps, and whom it lets near."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from example_project.standin.client import StandIn
from example_project.standin.directory import ADA, CONTOSO_ID, DEFAULT_CLIENT_ID, FABRIKAM_ID

from .app import GRAPH, App

VAULT = "https://vault.azure.net"
VERSION = "7.4"
CP1 = '{"access_token":{"xms_cc":{"values":["cp1"]}}}'
Call = Callable[..., requests.Response]


@pytest.fixture
def token(app: App) -> str:
    return app.access_token(VAULT)


@pytest.fixture
def vault(app: App, token: str) -> Call:
    """Ada's way to contoso-vault."""

    def call(method: str, path: str, body: object = None, **query: str) -> requests.Response:
        query = {"api-version": VERSION, **query}
        return app.call(method, f"{app.standin.vault_url()}/{path}", token, body=body, **query)

    return call


def error_of(response: requests.Response) -> tuple[int, str, str]:
    error = response.json()["error"]
    return response.status_code, error["code"], error.get("innererror", {}).get("code", "")


def get(app: App, token: str, **changes: Any) -> requests.Response:
    query = {"api-version": VERSION, **changes}
    return app.call("GET", f"{app.standin.vault_url()}/secrets/demo-password/", token, **query)


def test_request_without_token_is_challenged(app: App) -> None:
    for method in ("GET", "PUT"):
        url = f"{app.standin.vault_url()}/secrets/any"
        response = app.call(method, url, headers={"Content-Length": "0"})
        assert response.status_code == 401
        assert response.json() == {
            "error": {
                "code": "Unauthorized",
                "message": "AKV10000: Request is missing a Bearer or PoP token.",
            }
        }
        assert response.headers["WWW-Authenticate"] == (
            f'Bearer authorization="{app.standin.url}/{CONTOSO_ID}", resource="{VAULT}"'
        )


def test_wrong_tokens(app: App, token: str) -> None:
    answers = [
        (get(app, "invented"), "AKV10046: "),
        (
            get(app, app.access_token(GRAPH)),
            f"AKV10022: Invalid audience. Expected {VAULT}, found: {GRAPH}.",
        ),
        (
            get(app, app.access_token(VAULT, "faye@fabrikam.com")),
            f"AKV10032: Invalid issuer. Expected one of https://sts.windows.net/{CONTOSO_ID}/, "
            f"found https://sts.windows.net/{FABRIKAM_ID}/.",
        ),
    ]
    app.standin.clock(5400)
    answers.append((get(app, token), "Error validating token: IDX10223"))
    for response, text in answers:
        assert error_of(response) == (401, "Unauthorized", "")
        assert response.json()["error"]["message"].startswith(text)
        assert f'resource="{VAULT}"' in response.headers["WWW-Authenticate"]


def test_secret_is_set_and_read_in_every_version(app: App, vault: Call) -> None:
    body = {"value": "one", "contentType": "text/plain", "tags": {"a": "b"}}
    first = vault("PUT", "secrets/New", body)
    assert first.status_code == 200
    document = first.json()
    port = urlsplit(app.standin.url).port
    start = f"http://contoso-vault.vault.localhost:{port}/secrets/New/"
    assert re.fullmatch(re.escape(start) + "[0-9a-f]{32}", document["id"])
    assert document["attributes"] == {
        "enabled": True,
        "created": document["attributes"]["created"],
        "updated": document["attributes"]["created"],
        "recoveryLevel": "Recoverable+Purgeable",
        "recoverableDays": 90,
    }
    assert body.items() <= document.items()
    assert vault("GET", "secrets/new/").json() == document
    second = vault("PUT", "secrets/new", {"value": "two"}).json()
    assert vault("GET", "secrets/NEW").json() == second
    assert vault("GET", f"secrets/new/{document['id'].rpartition('/')[2]}").json() == document
    versions = vault("GET", "secrets/new/versions").json()
    assert versions["nextLink"] is None
    assert {item["id"] for item in versions["value"]} == {document["id"], second["id"]}
    assert all("value" not in item for item in versions["value"])


def test_list_names_secrets_without_version_and_value(vault: Call) -> None:
    (item,) = vault("GET", "secrets").json()["value"]
    assert item["id"].endswith("/secrets/demo-password")
    assert set(item) == {"id", "attributes"}


def test_attributes_are_changed_alone(vault: Call) -> None:
    version = vault("PUT", "secrets/a", {"value": "v"}).json()["id"].rpartition("/")[2]
    changes = {"attributes": {"enabled": False, "nbf": 1, "exp": 2}, "tags": {"x": "y"}}
    changed = vault("PATCH", f"secrets/a/{version}", changes).json()
    assert "value" not in changed
    assert changed["attributes"].items() >= changes["attributes"].items()
    assert changed["tags"] == {"x": "y"}
    refused = vault("GET", "secrets/a")
    assert error_of(refused) == (403, "Forbidden", "SecretDisabled")
    # The latest version, by an empty one in the path.
    assert vault("PATCH", "secrets/a/", {"attributes": {"enabled": True}}).status_code == 200
    assert vault("GET", "secrets/a").json()["value"] == "v"


@pytest.mark.parametrize(
    ("method", "path", "body", "expected"),
    [
        ("GET", "secrets/nothing", None, (404, "SecretNotFound", "")),
        ("GET", "secrets/demo-password/0123", None, (404, "SecretNotFound", "")),
        ("GET", "secrets/nothing/versions", None, (404, "SecretNotFound", "")),
        ("DELETE", "secrets/nothing", None, (404, "SecretNotFound", "")),
        ("GET", "deletedsecrets/demo-password", None, (404, "SecretNotFound", "")),
        ("POST", "deletedsecrets/nothing/recover", None, (404, "SecretNotFound", "")),
        ("PUT", "secrets/under_score", {"value": "v"}, (400, "BadParameter", "")),
        ("PUT", f"secrets/{'a' * 128}", {"value": "v"}, (400, "BadParameter", "")),
        ("PUT", "secrets/a", {}, (400, "BadParameter", "")),
        ("PUT", "secrets/a", ["value"], (400, "BadParameter", "")),
        ("PUT", "secrets/a", {"value": "v", "tags": 1}, (400, "BadParameter", "")),
        ("PUT", "secrets/a", {"value": "v", "contentType": 1}, (400, "BadParameter", "")),
        ("PUT", "secrets/a", None, (400, "BadParameter", "")),
        ("POST", "secrets", None, (405, "MethodNotAllowed", "")),
        ("GET", "keys", None, (404, "NotFound", "")),
    ],
)
def test_requests_that_make_no_sense(
    vault: Call, method: str, path: str, body: object, expected: tuple[int, str, str]
) -> None:
    response = vault(method, path, body)
    assert error_of(response) == expected
    if path == "secrets/nothing":
        text = response.json()["error"]["message"]
        assert text.startswith("A secret with (name/id) nothing was not found in this key vault.")


@pytest.mark.parametrize(("version", "status"), [("", 400), ("1.0", 400), ("2026-04-01", 200)])
def test_api_version_is_mandatory(app: App, token: str, version: str, status: int) -> None:
    response = get(app, token, **{"api-version": version})
    assert response.status_code == status
    if status == 400:
        assert error_of(response) == (400, "BadParameter", "")


def test_pages(app: App, vault: Call, token: str) -> None:
    for name in ("a", "b", "c"):
        vault("PUT", f"secrets/{name}", {"value": name})
    page = vault("GET", "secrets", maxresults="3").json()
    assert [item["id"].rpartition("/")[2] for item in page["value"]] == ["a", "b", "c"]
    link = page["nextLink"]
    assert link.startswith(f"{app.standin.vault_url()}/secrets?")
    query = parse_qs(urlsplit(link).query)
    assert query.keys() == {"api-version", "$skiptoken", "maxresults"}
    last = app.call("GET", link, token).json()
    assert [item["id"].rpartition("/")[2] for item in last["value"]] == ["demo-password"]
    assert last["nextLink"] is None
    for wrong in ({"maxresults": "0"}, {"maxresults": "26"}, {"$skiptoken": "x"}):
        assert error_of(vault("GET", "secrets", **wrong)) == (400, "BadParameter", "")


def test_versions_and_deleted_secrets_come_in_pages_too(vault: Call, standin: StandIn) -> None:
    standin.data_planes(looks_until_settled=0)
    for _ in range(3):
        vault("PUT", "secrets/a", {"value": "v"})
    page = vault("GET", "secrets/a/versions", maxresults="2").json()
    assert len(page["value"]) == 2
    assert "/secrets/a/versions?" in page["nextLink"]
    for name in ("a", "demo-password"):
        vault("DELETE", f"secrets/{name}")
    page = vault("GET", "deletedsecrets", maxresults="1").json()
    assert page["value"][0]["recoveryId"].endswith("/deletedsecrets/a")
    assert "/deletedsecrets?" in page["nextLink"]


def test_deletion_takes_a_moment_and_can_be_undone(vault: Call, standin: StandIn) -> None:
    standin.data_planes(looks_until_settled=2)
    deleted = vault("DELETE", "secrets/demo-password").json()
    assert deleted["recoveryId"].endswith("/deletedsecrets/demo-password")
    assert deleted["scheduledPurgeDate"] - deleted["deletedDate"] == 90 * 86_400
    assert "value" not in deleted
    assert vault("GET", "secrets").json()["value"] == []
    assert vault("GET", "deletedsecrets").json()["value"] == []

    again = {"value": "again"}
    being_deleted = (409, "Conflict", "ObjectIsBeingDeleted")
    assert error_of(vault("PUT", "secrets/demo-password", again)) == being_deleted
    not_yet = vault("GET", "deletedsecrets/demo-password")
    assert not_yet.json()["error"]["message"] == "Deleted Secret not found: demo-password"
    assert vault("GET", "deletedsecrets/demo-password").json() == deleted
    reused = (409, "Conflict", "ObjectIsDeletedButRecoverable")
    assert error_of(vault("PUT", "secrets/demo-password", again)) == reused
    assert vault("GET", "secrets/demo-password").status_code == 404

    recovered = vault("POST", "deletedsecrets/demo-password/recover").json()
    assert recovered["id"] == deleted["id"]
    being_recovered = (409, "Conflict", "ObjectIsBeingRecovered")
    assert error_of(vault("PUT", "secrets/demo-password", again)) == being_recovered
    assert vault("GET", "secrets/demo-password").status_code == 404
    assert vault("GET", "secrets/demo-password").json()["value"] == "not-a-real-secret"


def test_purged_name_is_free(vault: Call, standin: StandIn) -> None:
    vault("DELETE", "secrets/demo-password")
    being_deleted = (409, "Conflict", "ObjectIsBeingDeleted")
    assert error_of(vault("DELETE", "deletedsecrets/demo-password")) == being_deleted
    assert vault("DELETE", "deletedsecrets/demo-password").status_code == 204
    assert vault("PUT", "secrets/demo-password", {"value": "new"}).status_code == 200
    assert len(vault("GET", "secrets/demo-password/versions").json()["value"]) == 1


def test_roles_decide_what_a_person_may_do(app: App) -> None:
    url = f"{app.standin.vault_url()}/secrets/demo-password"
    member = app.access_token(VAULT, "max@contoso.com")
    assert get(app, member).status_code == 200
    query = {"api-version": VERSION}
    refused = app.call("PUT", url, member, body={"value": "v"}, **query)
    assert error_of(refused) == (403, "Forbidden", "ForbiddenByRbac")
    admin = app.access_token(VAULT)
    app.standin.assign_role("ada@contoso.com", "contoso-vault", "")
    refused = get(app, admin)
    assert error_of(refused) == (403, "Forbidden", "ForbiddenByRbac")
    lines = refused.json()["error"]["message"].split("\r\n")
    assert lines[2:4] == [
        f"Caller: appid={DEFAULT_CLIENT_ID};oid={ADA.oid};iss=https://sts.windows.net/{CONTOSO_ID}/",
        "Action: 'Microsoft.KeyVault/vaults/secrets/getSecret/action'",
    ]
    app.standin.assign_role("ada@contoso.com", "contoso-vault", "Key Vault Secrets User")
    assert get(app, admin).status_code == 200


@pytest.mark.parametrize(
    ("fault", "status", "code", "inner"),
    [
        ("key_vault_unavailable", 503, "ServiceUnavailable", ""),
        ("key_vault_throttled", 429, "Throttled", ""),
        ("key_vault_unauthorized", 401, "Unauthorized", ""),
        ("key_vault_claims_challenge", 401, "Unauthorized", ""),
        ("key_vault_forbidden", 403, "Forbidden", "ForbiddenByRbac"),
        ("key_vault_forbidden_by_firewall", 403, "Forbidden", "ForbiddenByFirewall"),
    ],
)
def test_faults_hit_only_requests_with_a_token(
    app: App, token: str, fault: str, status: int, code: str, inner: str
) -> None:
    app.standin.fault(fault)
    assert "AKV10000" in get(app, "").json()["error"]["message"]
    response = get(app, token)
    assert error_of(response) == (status, code, inner)
    assert "Retry-After" not in response.headers
    assert get(app, token).status_code == 200


@pytest.mark.parametrize(
    ("fault", "status"),
    [("key_vault_html", 500), ("key_vault_redirect", 302), ("key_vault_empty", 200)],
)
def test_broken_answers(app: App, token: str, fault: str, status: int) -> None:
    app.standin.fault(fault)
    response = get(app, token)
    assert response.status_code == status
    assert "demo-password" not in response.text
    assert get(app, token).status_code == 200


@pytest.mark.parametrize("fault", ["key_vault_reset", "key_vault_truncated"])
def test_broken_connections(app: App, token: str, fault: str) -> None:
    app.standin.fault(fault)
    with pytest.raises(requests.RequestException):
        get(app, token)
    assert get(app, token).status_code == 200


def test_faults_of_one_tenant_and_throttling_with_a_hint(app: App, token: str) -> None:
    app.standin.fault("key_vault_throttled", seconds=7, tenant="fabrikam.com")
    assert get(app, token).status_code == 200
    app.standin.clear_faults()
    app.standin.fault("key_vault_throttled", seconds=7, tenant="contoso.com")
    assert get(app, token).headers["Retry-After"] == "7"


def test_slowness(app: App, token: str) -> None:
    app.standin.latency(0.3)
    started = time.monotonic()
    assert get(app, token).status_code == 200
    assert time.monotonic() - started >= 0.3


def test_claims_challenge_only_for_clients_that_can_handle_it(app: App, token: str) -> None:
    able = app.access_token(VAULT, claims=CP1)
    app.standin.fault("key_vault_claims_challenge")
    challenge = get(app, able).headers["WWW-Authenticate"]
    assert 'error="insufficient_claims", claims="' in challenge
    app.standin.revoke_sessions("ada@contoso.com")
    assert "insufficient_claims" in get(app, able).headers["WWW-Authenticate"]
    assert get(app, token).status_code == 200


@pytest.mark.parametrize(
    ("domain", "resource"),
    [
        ("vault.azure.net", VAULT),
        ("vault.usgovcloudapi.net", "https://vault.usgovcloudapi.net"),
        ("vault.azure.cn", "https://vault.azure.cn"),
    ],
)
def test_names_of_every_cloud(app: App, domain: str, resource: str) -> None:
    url = f"http://contoso-vault.{domain}/secrets"
    query = {"api-version": VERSION, "maxresults": "1"}
    challenge = app.call("GET", url, **query).headers["WWW-Authenticate"]
    assert f'resource="{resource}"' in challenge
    token = app.access_token(resource)
    app.call("PUT", f"{url}/second", token, body={"value": "v"}, **query)
    page = app.call("GET", url, token, **query).json()
    assert page["value"][0]["id"] == f"http://contoso-vault.{domain}/secrets/demo-password"
    # The port is named even where it goes without saying.
    assert page["nextLink"].startswith(f"http://contoso-vault.{domain}:443/secrets?")
    assert len(app.call("GET", page["nextLink"], token).json()["value"]) == 1


def test_host_names_of_this_machine(app: App, token: str) -> None:
    url = app.standin.vault_url(as_host=True)
    assert urlsplit(url).hostname == "contoso-vault.vault.localhost"
    query = {"api-version": VERSION, "maxresults": "1"}
    app.call("PUT", f"{url}/secrets/second", token, body={"value": "v"}, **query)
    page = app.call("GET", f"{url}/secrets", token, **query).json()
    assert page["value"][0]["id"] == f"{url}/secrets/demo-password"
    assert page["nextLink"].startswith(f"{url}/secrets?")


def test_every_tenant_has_a_vault(app: App) -> None:
    token = app.access_token(VAULT, "faye@fabrikam.com")
    url = f"{app.standin.vault_url('fabrikam-vault')}/secrets"
    assert app.call("GET", url, token, **{"api-version": VERSION}).status_code == 200
    vaults = {"contoso-vault": CONTOSO_ID, "fabrikam-vault": FABRIKAM_ID}
    assert app.standin.registration()["vaults"] == vaults
    unknown = app.standin.vault_url("no-vault")
    assert app.call("GET", f"{unknown}/secrets", token).status_code == 404


def test_journal_shows_calls_but_no_values(app: App, vault: Call, token: str) -> None:
    get(app, "")
    headers = vault("PUT", "secrets/token", {"value": "hidden-value"}).headers
    assert "x-ms-keyvault-service-version" in headers
    assert "x-ms-ests-server" not in headers
    challenged, written = app.standin.data_requests()
    assert challenged["bearer"] is False
    assert written["path"] == "/keyvault/contoso-vault/secrets/token"
    assert "form" not in written
    assert written["query"] == {"api-version": [VERSION]}
    assert (written["method"], written["status"], written["bearer"]) == ("PUT", 200, True)
    text = json.dumps(app.standin.journal())
    assert "hidden-value" not in text
    assert token not in text
