"""addPassword and removePassword: answers, rights, policies, and a slow directory."""

from __future__ import annotations

import json
import re
import time
from datetime import datetime, timedelta

import pytest
import requests

from example_project.standin.directory import ADA, DEFAULT_CLIENT_ID, MAX

from .app import CONTOSO, App
from .directory import Caller, error_of

BAD = (400, "Request_BadRequest")
DENIED = (403, "Authorization_RequestDenied")
CONFLICT = (409, "Directory_ConcurrencyViolation")
NOT_FOUND = "No password credential found with keyId"
UNKNOWN = "11111111-2222-4333-8444-555555555555"


@pytest.fixture
def ada(app: App) -> Caller:
    return Caller(app)


@pytest.fixture
def portal(ada: Caller) -> str:
    return str(ada.named("HR Portal")["id"])


def test_secret_is_shown_once(ada: Caller, portal: str) -> None:
    answer = ada.add(portal, displayName="key1")
    assert answer.status_code == 200
    assert answer.headers["Location"] == "https://graph.microsoft.com"
    secret = answer.json()
    assert secret.pop("@odata.context").endswith("/$metadata#microsoft.graph.passwordCredential")
    assert list(secret) == sorted(secret)
    value = secret["secretText"]
    assert len(value) == 40
    assert {"~", "."} <= set(value)
    assert secret["hint"] == value[:3]
    for name in ("startDateTime", "endDateTime"):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{7}Z", secret[name])
    start, end = (datetime.fromisoformat(secret[f"{n}DateTime"]) for n in ("start", "end"))
    assert end.year == start.year + 2
    assert ada.seen(portal)[-1] == secret["keyId"]
    assert value not in ada.get(f"/{portal}").text
    assert ada.standin.secret_works(CONTOSO, ada.named("HR Portal")["appId"], value)


def test_given_dates_are_echoed(ada: Caller, portal: str) -> None:
    wish = {"startDateTime": "2024-01-31T12:00:00+02:00", "endDateTime": "2100-12-31T00:00:00.5Z"}
    secret = ada.add(portal, **wish).json()
    assert wish.items() <= secret.items()
    assert secret["displayName"] is None
    (read,) = ada.named("HR Portal")["secrets"][-1:]
    assert (read["startDateTime"], read["endDateTime"]) == (
        "2024-01-31T10:00:00Z",
        "2100-12-31T00:00:00.5Z",
    )
    assert ada.post(f"/{portal}/addPassword", {}).status_code == 200


def test_either_id_will_do(ada: Caller) -> None:
    path = f"(appId='{ada.named('HR Portal')['appId']}')"
    key_id = ada.post(f"{path}/addPassword", {}).json()["keyId"]
    assert ada.post(f"{path}/removePassword", {"keyId": key_id}).status_code == 204


def test_removal_has_no_body_and_happens_once(ada: Caller, portal: str) -> None:
    (key_id,) = ada.seen(portal)
    answer = ada.remove(portal, key_id.upper())
    assert (answer.status_code, answer.content) == (204, b"")
    assert "Content-Type" not in answer.headers
    assert "odata-version" not in answer.headers
    assert ada.seen(portal) == []
    for gone in (key_id, UNKNOWN):
        again = ada.remove(portal, gone)
        assert error_of(again) == BAD
        assert NOT_FOUND in again.json()["error"]["message"]
    assert [s["is_removed"] for s in ada.named("HR Portal")["secrets"]] == [True]


def test_malformed_bodies(ada: Caller, portal: str) -> None:
    for body in (
        [],
        {"secret": {}},
        {"passwordCredential": "key1"},
        {"passwordCredential": {"displayName": 1}},
        {"passwordCredential": {"secretText": "mine"}},
        {"passwordCredential": {"endDateTime": "tomorrow"}},
        {"passwordCredential": {"endDateTime": "2100-12-31T00:00:00"}},
        {"passwordCredential": {"endDateTime": "2100-13-31T00:00:00Z"}},
        {"passwordCredential": {"endDateTime": "2020-01-01T00:00:00Z"}},
    ):
        assert error_of(ada.post(f"/{portal}/addPassword", body)) == BAD, body
    for nonsense in ({}, {"keyId": None}, {"keyId": "key1"}, {"keyId": UNKNOWN, "more": 1}):
        assert error_of(ada.post(f"/{portal}/removePassword", nonsense)) == BAD, nonsense
    assert len(ada.seen(portal)) == 1
    assert error_of(ada.add("nothing")) == (404, "Request_ResourceNotFound")


def test_only_administrators_and_owners_write(app: App, ada: Caller, portal: str) -> None:
    member = Caller(app, "max@contoso.com")
    assert member.add(portal).status_code == 200
    foreign = ada.named("Fleet Telematics")
    assert error_of(member.add(foreign["id"])) == DENIED
    assert error_of(member.remove(foreign["id"], foreign["secrets"][0]["keyId"])) == DENIED
    own = app.standin.add_application(CONTOSO, "Max's own", owners=["max@contoso.com", ADA.oid])
    assert own["owners"] == [MAX.oid, ADA.oid]
    assert member.add(own["id"]).status_code == 200


def test_policies_and_limits(ada: Caller, portal: str) -> None:
    ada.standin.graph_policy(CONTOSO, max_lifetime_days=180)
    too_long = ada.add(portal)
    assert error_of(too_long) == (400, "CredentialInvalidLifetimeAsPerAppPolicy")
    assert "Credential lifetime exceeds" in too_long.json()["error"]["message"]
    soon = (datetime.now() + timedelta(days=179)).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert ada.add(portal, endDateTime=soon).status_code == 200
    ada.standin.graph_policy(CONTOSO, forbid_secrets=True)
    assert error_of(ada.add(portal)) == (400, "CredentialTypeNotAllowedAsPerAppPolicy")
    ada.standin.graph_policy(CONTOSO)
    assert ada.add(portal).status_code == 200
    ada.standin.directory(max_secrets=3)
    assert error_of(ada.add(portal)) == (400, "Directory_ResourceSizeExceeded")


def test_applications_for_personal_accounts_have_two_secrets(ada: Caller) -> None:
    audience = "AzureADandPersonalMicrosoftAccount"
    secrets = [{"displayName": "ci", "days": 5}, {"days": -5}]
    made = ada.standin.add_application(CONTOSO, "Shop", audience=audience, secrets=secrets)
    refused = ada.add(made["id"])
    assert error_of(refused) == BAD
    message = "You can only add a maximum of 2 encrypted credentials."
    assert refused.json()["error"]["message"] == message
    assert ada.remove(made["id"], made["secrets"][0]["keyId"]).status_code == 204
    assert ada.add(made["id"]).status_code == 200


def test_writes_are_seen_after_some_looks(ada: Caller, portal: str) -> None:
    (old,) = ada.seen(portal)
    ada.standin.directory(read_lag=2)
    new = ada.add(portal).json()["keyId"]
    assert ada.seen(portal) == [old]
    listed = ada.get(filter=f"id eq '{portal}'").json()["value"]
    assert len(listed[0]["passwordCredentials"]) == 1
    assert ada.seen(portal) == [old, new]
    assert ada.remove(portal, old).status_code == 204
    assert [ada.seen(portal) for _ in range(3)] == [[old, new], [old, new], [new]]
    assert [s["is_removed"] for s in ada.named("HR Portal")["secrets"]] == [True, False]


def test_writes_are_seen_after_some_time(ada: Caller, portal: str) -> None:
    ada.standin.directory(read_lag_seconds=100, remove_lag=100)
    new = ada.add(portal).json()["keyId"]
    assert new not in ada.seen(portal)
    assert NOT_FOUND in ada.remove(portal, new).text
    ada.standin.clock(101)
    assert new in ada.seen(portal)
    assert ada.remove(portal, new).status_code == 204
    assert new in ada.seen(portal)


def test_writes_too_close_to_each_other_conflict(ada: Caller, portal: str) -> None:
    ada.standin.directory(write_gap=50)
    secret = ada.add(portal).json()
    assert error_of(ada.remove(portal, secret["keyId"])) == CONFLICT
    refused = ada.add(portal)
    assert error_of(refused) == CONFLICT
    assert "Please wait briefly and retry." in refused.json()["error"]["message"]
    assert ada.add(ada.named("Payroll Export")["id"]).status_code == 200
    ada.standin.clock(51)
    assert ada.remove(portal, secret["keyId"]).status_code == 204


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("unauthorized", (401, "InvalidAuthenticationToken")),
        ("claims_challenge", (401, "InvalidAuthenticationToken")),
        ("forbidden", DENIED),
        ("not_found", (404, "Request_ResourceNotFound")),
        ("conflict", CONFLICT),
        ("throttled", (429, "TooManyRequests")),
        ("throttled_without_retry_after", (429, "TooManyRequests")),
        ("unavailable", (503, "ServiceUnavailable")),
    ],
)
def test_faults_leave_everything_as_it_was(
    ada: Caller, portal: str, fault: str, error: tuple[int, str]
) -> None:
    (old,) = ada.seen(portal)
    for where in ("graph_add", "graph_remove"):
        ada.standin.fault(f"{where}_{fault}", tenant=CONTOSO)
    assert ada.seen(portal) == [old]
    assert error_of(ada.add(portal)) == error
    assert error_of(ada.remove(portal, old)) == error
    assert ada.seen(portal) == [old]


def test_lost_answers_were_acted_on(ada: Caller, portal: str) -> None:
    (old,) = ada.seen(portal)
    ada.standin.fault("graph_add_lost")
    with pytest.raises(requests.ConnectionError):
        ada.add(portal)
    _, new = ada.seen(portal)
    ada.standin.fault("graph_remove_lost")
    with pytest.raises(requests.ConnectionError):
        ada.remove(portal, new)
    assert ada.seen(portal) == [old]
    ada.standin.fault("graph_add_reset")
    with pytest.raises(requests.ConnectionError):
        ada.add(portal)
    assert ada.seen(portal) == [old]


def test_slowness(ada: Caller, portal: str) -> None:
    def seconds() -> float:
        started = time.monotonic()
        assert ada.add(portal).status_code == 200
        return time.monotonic() - started

    ada.standin.fault("graph_add_slow", seconds=0.4)
    assert seconds() >= 0.4
    ada.standin.directory(slow_writes=0.4)
    assert seconds() >= 0.4


def test_missing_key_is_also_reported_in_passing(ada: Caller, portal: str) -> None:
    (key_id,) = ada.seen(portal)
    ada.standin.fault("graph_remove_key_missing")
    assert NOT_FOUND in ada.remove(portal, key_id).text
    assert ada.remove(portal, key_id).status_code == 204


def test_journal_names_application_and_key_but_no_value(ada: Caller, portal: str) -> None:
    ada.standin.canaries(secret="CANARY")
    secret = ada.add(portal, displayName="key1").json()
    assert secret["secretText"].startswith("CANARY")
    assert len(secret["secretText"]) == 40
    ada.remove(portal, secret["keyId"])
    ada.remove(portal, UNKNOWN)
    entries = [e for e in ada.standin.graph_requests() if e["method"] == "POST"]
    assert [(e["application"], e["key_id"], e["status"]) for e in entries] == [
        (portal, secret["keyId"], 200),
        (portal, secret["keyId"], 204),
        (portal, UNKNOWN, 400),
    ]
    everything = json.dumps([ada.standin.journal(), ada.standin.applications(CONTOSO)])
    assert secret["secretText"] not in everything


def test_registered_application_can_change_its_own_secrets(app: App, ada: Caller) -> None:
    own = ada.named(DEFAULT_CLIENT_ID)
    value = ada.add(own["id"]).json()["secretText"]
    assert ada.remove(own["id"], own["secrets"][0]["keyId"]).status_code == 204
    assert app.redeem(app.code()).json()["error_codes"] == [7000215]
    assert app.redeem(app.code(), client_secret=value).status_code == 200


def test_nonsense_is_refused(ada: Caller) -> None:
    for name, body in (
        ("directory", {"read_lagg": 1}),
        ("directory", {"read_lag": "many"}),
        ("graph_policy", {"tenant": "nowhere.example"}),
        ("applications", {"tenant": CONTOSO, "name": "x", "owners": ["nobody@contoso.com"]}),
        ("secret_check", {"tenant": CONTOSO, "app_id": "nothing", "value": ""}),
    ):
        with pytest.raises(ValueError, match=name):
            ada.standin.control("POST", name, body)
