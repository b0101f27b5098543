"""App Configuration: what a store keeps, and whom it lets near."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from example_project.standin.client import StandIn
from example_project.standin.directory import CONTOSO_ID, FABRIKAM_ID

from .app import GRAPH, App

STORE = "https://azconfig.io"
VERSION = "2023-11-01"
KEY_VALUE = "application/vnd.microsoft.appconfig.kv+json"
CP1 = '{"access_token":{"xms_cc":{"values":["cp1"]}}}'
Call = Callable[..., requests.Response]


@pytest.fixture
def token(app: App) -> str:
    return app.access_token(STORE)


@pytest.fixture
def store(app: App, token: str) -> Call:
    """Ada's way to contoso-config."""

    def call(
        method: str, path: str, body: object = None, *, headers: Any = None, **query: str
    ) -> requests.Response:
        url = f"{app.standin.store_url()}/{path}"
        query = {"api-version": VERSION, **query}
        sent = {"Content-Type": KEY_VALUE, **(headers or {})}
        return app.call(method, url, token, body=body, headers=sent, **query)

    return call


def get(app: App, token: str, **changes: str) -> requests.Response:
    query = {"api-version": VERSION, **changes}
    return app.call("GET", f"{app.standin.store_url()}/kv/demo:greeting", token, **query)


def keys(response: requests.Response) -> list[tuple[str, str | None]]:
    return [(item["key"], item["label"]) for item in response.json()["items"]]


def test_key_value_is_written_read_and_deleted(store: Call) -> None:
    body = {"value": "v", "content_type": "text/plain", "tags": {"a": "b"}}
    written = store("PUT", "kv/app/color", body, label="test")
    document = written.json()
    assert written.status_code == 200
    assert list(document) == [
        *("etag", "key", "label", "content_type", "value", "tags", "locked", "last_modified")
    ]
    assert body.items() <= document.items()
    assert (document["key"], document["label"], document["locked"]) == ("app/color", "test", False)
    assert document["last_modified"].endswith("+00:00")
    assert written.headers["Content-Type"] == f"{KEY_VALUE}; charset=utf-8"
    assert written.headers["ETag"] == f'"{document["etag"]}"'
    assert written.headers["Last-Modified"].endswith(" GMT")
    assert store("GET", "kv/app/color", label="test").json() == document
    assert store("GET", "kv/app/color").status_code == 404
    assert store("DELETE", "kv/app/color", label="test").json() == document
    absent = store("DELETE", "kv/app/color", label="test")
    assert (absent.status_code, absent.content) == (204, b"")


@pytest.mark.parametrize("label", [{}, {"label": "\0"}, {"label": ""}])
def test_no_label_can_be_said_in_three_ways(store: Call, label: dict[str, str]) -> None:
    document = store("GET", "kv/demo:greeting", **label).json()
    assert (document["label"], document["value"]) == (None, "Hello")


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, ["a", "a*", "abc", "b", "b"]),
        ({"key": "*"}, ["a", "a*", "abc", "b", "b"]),
        ({"key": "a*"}, ["a", "a*", "abc"]),
        ({"key": r"a\*"}, ["a*"]),
        ({"key": "abc,b"}, ["abc", "b", "b"]),
        ({"label": "\0"}, ["a", "a*", "abc", "b"]),
        ({"label": ""}, ["a", "a*", "abc", "b"]),
        ({"label": "prod*"}, ["b"]),
        ({"label": "test,\0", "key": "b"}, ["b"]),
        ({"key": "none"}, []),
        ({"tags": "team=web"}, ["abc"]),
        ({"tags": "team"}, []),
    ],
)
def test_filters(store: Call, query: dict[str, str], expected: list[str]) -> None:
    for label in ("\0", "production"):
        store("DELETE", "kv/demo:greeting", label=label)
    for key, label in (("a", ""), ("abc", ""), ("a*", ""), ("b", ""), ("b", "production")):
        tags = {"team": "web"} if key == "abc" else {}
        store("PUT", f"kv/{key}", {"value": "v", "tags": tags}, label=label)
    listed = store("GET", "kv", **query)
    assert [key for key, _ in keys(listed)] == expected
    media_type = "application/vnd.microsoft.appconfig.kvset+json; charset=utf-8"
    assert listed.headers["Content-Type"] == media_type


@pytest.mark.parametrize(
    ("path", "query", "name", "detail"),
    [
        ("kv", {"key": "a*b"}, "key", "key(2): Invalid character"),
        ("kv", {"label": "x,a*b"}, "label", "label(4): Invalid character"),
        ("kv", {"key": "a\\"}, "key", "key(2): Invalid character"),
        ("kv", {"key": "1,2,3,4,5,6"}, "key", "key(11): Too many values"),
        ("kv", {"after": "x"}, "after", "after: Invalid token"),
        ("kv", {"$select": "key,color"}, "$select", "$select: Invalid field"),
        ("kv/a", {"label": "a*"}, "label", "label: Invalid character"),
    ],
)
def test_wrong_parameters(
    store: Call, path: str, query: dict[str, str], name: str, detail: str
) -> None:
    response = store("GET", path, **query)
    assert response.status_code == 400
    assert response.headers["Content-Type"] == "application/problem+json; charset=utf-8"
    assert response.json() == {
        "type": "https://azconfig.io/errors/invalid-argument",
        "title": f"Invalid request parameter '{name}'",
        "name": name,
        "detail": detail,
        "status": 400,
    }


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (["value"], {}, 400),
        ({"value": 1}, {}, 400),
        ({"value": "v", "tags": "t"}, {}, 400),
        ({"value": "v"}, {"Content-Type": "text/plain"}, 415),
        ({"value": "v"}, {"Content-Type": "application/json"}, 200),
        (None, {}, 200),
    ],
)
def test_bodies(store: Call, body: object, headers: dict[str, str], status: int) -> None:
    assert store("PUT", "kv/a", body, headers=headers).status_code == status


def test_body_that_is_no_json(app: App, token: str) -> None:
    url = f"{app.standin.store_url()}/kv/a?api-version={VERSION}"
    headers = {"Authorization": f"Bearer {token}", "Content-Type": KEY_VALUE}
    response = requests.put(url, "{", headers=headers, timeout=10)
    assert response.json()["name"] == "body"


def test_selected_fields(store: Call) -> None:
    (item, _) = store("GET", "kv", **{"$select": "key,value"}).json()["items"]
    assert item == {"key": "demo:greeting", "value": "Hello"}
    single = store("GET", "kv/demo:greeting", **{"$select": "value"})
    assert single.json() == {"value": "Hello"}


def test_conditions(store: Call) -> None:
    etag = store("PUT", "kv/a", {"value": "1"}).headers["ETag"]

    def status(method: str, key: str, name: str, value: str) -> int:
        response = store(method, f"kv/{key}", {"value": "2"}, headers={name: value})
        if response.status_code in (304, 412):
            assert response.content == b""
        return response.status_code

    assert status("GET", "a", "If-None-Match", etag) == 304
    assert status("GET", "a", "If-None-Match", '"other"') == 200
    assert status("GET", "a", "If-Match", '"other"') == 412
    assert status("PUT", "a", "If-None-Match", "*") == 412
    assert status("PUT", "b", "If-Match", "*") == 412
    assert status("PUT", "b", "If-None-Match", "*") == 200
    assert status("PUT", "a", "If-Match", '"other"') == 412
    assert status("PUT", "a", "If-Match", etag) == 200
    assert status("PUT", "a", "If-Match", etag) == 412
    assert status("DELETE", "a", "If-Match", etag) == 412
    assert status("DELETE", "nothing", "If-Match", "*") == 412
    assert status("DELETE", "a", "If-Match", "*") == 200


def test_list_that_did_not_change(store: Call, standin: StandIn) -> None:
    standin.data_planes(page_size=1)
    first = store("GET", "kv")
    assert first.json()["etag"] == first.headers["ETag"].strip('"')
    same = store("GET", "kv", headers={"If-None-Match": first.headers["ETag"]})
    assert (same.status_code, same.content) == (304, b"")
    assert same.headers["Link"] == first.headers["Link"]
    store("PUT", "kv/demo:greeting", {"value": "Hi"})
    changed = store("GET", "kv", headers={"If-None-Match": first.headers["ETag"]})
    assert changed.status_code == 200
    head = store("HEAD", "kv")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["ETag"] == changed.headers["ETag"]


def test_pages(app: App, store: Call, token: str) -> None:
    app.standin.data_planes(page_size=2)
    store("PUT", "kv/demo:zebra", {"value": "v"})
    page = store("GET", "kv", key="demo*", label="production,\0")
    assert keys(page) == [("demo:greeting", None), ("demo:greeting", "production")]
    link = page.json()["@nextLink"]
    assert page.headers["Link"] == f'<{link}>; rel="next"'
    assert re.match(r"/kv\?.*api-version=2023-11-01.*&after=", link)
    last = app.call("GET", f"{app.standin.store_url()}{link}", token)
    assert keys(last) == [("demo:zebra", None)]
    assert "@nextLink" not in last.json()
    assert "Link" not in last.headers


def test_locked_key_is_read_only(store: Call) -> None:
    locked = store("PUT", "locks/demo:greeting")
    assert locked.json()["locked"] is True
    for method in ("PUT", "DELETE"):
        refused = store(method, "kv/demo:greeting", {"value": "v"})
        assert refused.status_code == 409
        assert refused.json()["type"] == "https://azconfig.io/errors/key-locked"
        assert refused.json()["name"] == "demo:greeting"
    assert store("DELETE", "locks/demo:greeting").json()["locked"] is False
    assert store("DELETE", "kv/demo:greeting").status_code == 200
    assert store("PUT", "locks/demo:greeting").status_code == 404


def test_wrong_tokens(app: App, token: str) -> None:
    plain = "HMAC-SHA256, Bearer"
    failed = 'error="invalid_token", error_description="Authorization token failed validation"'
    foreign = app.access_token(STORE, "faye@fabrikam.com")
    answers = [
        (get(app, ""), ""),
        (get(app, "invented"), f" {failed}"),
        (get(app, app.access_token(GRAPH)), f" {failed}"),
        (get(app, app.access_token("https://azconfig.azure.us")), f" {failed}"),
        (get(app, foreign), ' error="invalid_token", error_description="The access token is from'),
    ]
    app.standin.clock(5400)
    answers.append((get(app, token), f" {failed}"))
    for response, challenge in answers:
        assert (response.status_code, response.content) == (401, b"")
        assert response.headers["WWW-Authenticate"].startswith(plain + challenge)
    assert answers[0][0].headers["WWW-Authenticate"] == plain


@pytest.mark.parametrize("audience", ["https://appconfig.azure.com", "https://azconfig.io"])
def test_both_audiences_are_good(app: App, audience: str) -> None:
    assert get(app, app.access_token(audience)).status_code == 200


@pytest.mark.parametrize(
    ("version", "title"),
    [("", "API version is not specified"), ("0.9", "Unsupported API version")],
)
def test_api_version_is_mandatory(app: App, token: str, version: str, title: str) -> None:
    response = get(app, token, **{"api-version": version})
    assert (response.status_code, response.json()["name"]) == (400, "api-version")
    assert response.json()["title"] == title
    for good in ("1.0", "2023-10-01", "2026-04-01"):
        assert get(app, token, **{"api-version": good}).status_code == 200


def test_roles_and_scopes_decide_what_a_person_may_do(app: App, store: Call) -> None:
    url = f"{app.standin.store_url()}/kv/demo:greeting?api-version={VERSION}"
    reader = app.access_token(STORE, "max@contoso.com")
    assert get(app, reader).status_code == 200
    for method in ("PUT", "DELETE"):
        refused = app.call(method, url, reader, body={"value": "v"})
        assert (refused.status_code, refused.content) == (403, b"")
    app.standin.assign_role("max@contoso.com", "contoso-config", "App Configuration Data Owner")
    assert app.call("DELETE", url, reader).status_code == 200

    app.standin.revoke_consent("contoso.com", resource="app_configuration")
    scopes = ["KeyValue.Read"]
    refresh = app.tokens()["refresh_token"]
    app.standin.revoke_consent("contoso.com", resource="app_configuration")
    app.standin.grant_consent("contoso.com", resource="app_configuration", scopes=scopes)
    narrow = app.refresh(refresh, scope=f"{STORE}/.default").json()["access_token"]
    production = {"label": "production"}
    assert get(app, narrow, **production).status_code == 200
    assert app.call("DELETE", url, narrow, **production).status_code == 403


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        ("app_configuration_unavailable", 503),
        ("app_configuration_throttled", 429),
        ("app_configuration_unauthorized", 401),
        ("app_configuration_claims_challenge", 401),
        ("app_configuration_forbidden", 403),
        ("app_configuration_html", 500),
        ("app_configuration_redirect", 302),
    ],
)
def test_faults(app: App, token: str, fault: str, status: int) -> None:
    app.standin.fault(fault)
    response = get(app, token)
    assert response.status_code == status
    if status in (429, 503):
        assert response.headers["retry-after-ms"] == "10"
    if status == 429:
        assert response.json()["type"] == "https://azconfig.io/errors/too-many-requests"
        assert response.json()["policy"] == "Total Requests"
    assert get(app, token).status_code == 200


def test_hint_when_to_retry(app: App, token: str) -> None:
    app.standin.fault("app_configuration_throttled", seconds=0.25)
    assert get(app, token).headers["retry-after-ms"] == "250"


def test_claims_challenge_only_for_clients_that_can_handle_it(app: App, token: str) -> None:
    able = app.access_token(STORE, claims=CP1)
    app.standin.fault("app_configuration_claims_challenge")
    challenge = get(app, able).headers["WWW-Authenticate"]
    assert challenge.startswith('HMAC-SHA256, Bearer error="insufficient_claims", claims="')
    app.standin.revoke_sessions("ada@contoso.com")
    assert "insufficient_claims" in get(app, able).headers["WWW-Authenticate"]
    assert get(app, token).status_code == 200


def test_sync_token_grows_with_every_write(store: Call) -> None:
    def number(response: requests.Response) -> int:
        match = re.fullmatch(r"\w+=[\w=+/]+;sn=(\d+)", response.headers["Sync-Token"])
        assert match is not None
        return int(match.group(1))

    before = number(store("GET", "kv"))
    assert number(store("PUT", "kv/a", {"value": "v"})) == before + 1
    assert number(store("GET", "kv/a")) == before + 1
    assert number(store("DELETE", "kv/a")) == before + 2


@pytest.mark.parametrize(
    ("domain", "audience"),
    [
        ("azconfig.io", "https://appconfig.azure.com"),
        ("azconfig.azure.us", "https://appconfig.azure.us"),
        ("azconfig.azure.cn", "https://azconfig.azure.cn"),
    ],
)
def test_names_of_every_cloud(app: App, domain: str, audience: str) -> None:
    url = f"http://contoso-config.{domain}/kv/demo:greeting"
    query = {"api-version": VERSION}
    assert app.call("GET", url, app.access_token(audience), **query).json()["value"] == "Hello"
    vault = app.access_token("https://vault.azure.net")
    assert app.call("GET", url, vault, **query).status_code == 401


def test_host_names_of_this_machine_and_every_tenant(app: App, token: str) -> None:
    url = app.standin.store_url(as_host=True)
    assert urlsplit(url).hostname == "contoso-config.azconfig.localhost"
    query = {"api-version": VERSION}
    assert len(app.call("GET", f"{url}/kv", token, **query).json()["items"]) == 2
    stores = {"contoso-config": CONTOSO_ID, "fabrikam-config": FABRIKAM_ID}
    assert app.standin.registration()["stores"] == stores
    unknown = app.standin.store_url("no-config")
    assert app.call("GET", f"{unknown}/kv", token, **query).status_code == 404


def test_addresses_and_methods_that_do_not_exist(store: Call) -> None:
    assert store("GET", "colors").status_code == 404
    assert store("POST", "kv").status_code == 405
