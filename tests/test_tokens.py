"""Tokens that stay fresh, and say honestly why not. Fault rows are named by number."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
import requests
import time_machine
from django.core.exceptions import ImproperlyConfigured
from django.db import OperationalError, connections
from django.db import connection as database
from django.utils import timezone

from infisical_azure import health, tokens, upkeep
from infisical_azure.exceptions import Reaction, TokenUnavailableError
from infisical_azure.freshness import early
from infisical_azure.models import AccessToken, AppConnection, RefreshToken
from infisical_azure.refusals import Refusal
from infisical_azure.resources import Resource
from infisical_azure.signals import connection_broken, connection_recovered

from .conftest import Browser
from .database import meanwhile
from .held_tokens import age, expire
from .microsoft import ACCESS_TOKEN, OTHER_TENANT, REFRESH_TOKEN, TENANT, Microsoft, error
from .rotations import later, listen

pytestmark = pytest.mark.django_db
GRAPH = "https://graph.microsoft.com"
VAULT = "https://vault.azure.net"
CLAIM = 'UPDATE "infisical_azure_refreshtoken"'


@pytest.fixture
def connection(browser: Browser, microsoft: Microsoft) -> AppConnection:
    browser.connect()
    microsoft.requests.clear()
    microsoft.token = {"access_token": "CANARY-second", "refresh_token": "CANARY-newer"}
    return AppConnection.objects.get()


def refused(connection: AppConnection, resource: str = Resource.GRAPH) -> TokenUnavailableError:
    with pytest.raises(TokenUnavailableError) as caught:
        tokens.get_token(connection, resource)
    connection.refresh_from_db()
    return caught.value


# The good path


def test_held_token_costs_one_query_and_no_request(
    connection: AppConnection, microsoft: Microsoft, django_assert_num_queries: Any
) -> None:
    tokens.get_token(connection)
    with django_assert_num_queries(1):
        token = tokens.get_token(connection)
    assert token.reveal() == ACCESS_TOKEN
    assert token.resource == GRAPH
    assert "User.Read" in token.scopes
    assert "CANARY" not in repr(token)
    assert microsoft.requests == []


def test_expired_token_is_refreshed(connection: AppConnection, microsoft: Microsoft) -> None:
    expire()
    token = tokens.get_token(connection)
    assert token.reveal() == "CANARY-second"
    assert token.expires_at - timezone.now() > timedelta(hours=1)
    assert microsoft.forms() == [
        {
            "grant_type": "refresh_token",
            "refresh_token": REFRESH_TOKEN,
            "client_id": "11111111-2222-3333-4444-555555555555",
            "client_secret": "CANARY~client.secret-8Q",
            "scope": f"{GRAPH}/.default openid profile offline_access",
        }
    ]
    assert RefreshToken.objects.get().secret.reveal() == "CANARY-newer"
    assert tokens.get_token(connection).reveal() == "CANARY-second"
    assert microsoft.count("token") == 1


@pytest.mark.parametrize(
    ("resource", "audience"),
    [
        (Resource.KEY_VAULT, VAULT),
        (Resource.APP_CONFIGURATION, "https://appconfig.azure.com"),
        ("https://azconfig.io/.default", "https://azconfig.io"),
        ("https://vault.azure.net/.default", VAULT),
        ("https://management.azure.com//.default", "https://management.azure.com"),
    ],
)
def test_one_refresh_token_serves_every_resource(
    connection: AppConnection, microsoft: Microsoft, resource: str, audience: str
) -> None:
    microsoft.token |= {"scope": f"{audience}/user_impersonation {audience}/.default"}
    token = tokens.get_token(connection, resource)
    assert token.resource == audience
    assert "user_impersonation" in token.scopes
    assert microsoft.forms()[0]["scope"].startswith(f"{audience}/.default ")
    assert tokens.get_token(connection).reveal() == ACCESS_TOKEN
    connection.refresh_from_db()
    assert connection.status == "ready"


@pytest.mark.parametrize(
    "resource",
    [
        "", "vault", "https://vault.azure.net", "http://x/.default", "https:///.default",
        "https://a/.default https://b/.default",
    ],
)  # fmt: skip
def test_unknown_resource_is_refused(connection: AppConnection, resource: str) -> None:
    with pytest.raises(ValueError, match="neither one of"):
        tokens.get_token(connection, resource)


def test_token_is_refreshed_early_at_random_in_the_last_fifth() -> None:
    issued = timezone.now()
    expires = issued + timedelta(minutes=60)
    times = [early(issued, expires) for _ in range(200)]
    assert all(timedelta(minutes=48) <= at - issued <= timedelta(minutes=57) for at in times)
    assert max(times) - min(times) > timedelta(minutes=6)


def test_early_refresh_replaces_a_token_that_still_works(
    connection: AppConnection, microsoft: Microsoft
) -> None:
    age()
    assert tokens.get_token(connection).reveal() == "CANARY-second"
    assert microsoft.count("token") == 1


@pytest.mark.django_db(transaction=True)
def test_use_is_noted_once_a_minute(
    connection: AppConnection, django_assert_num_queries: Any
) -> None:
    assert AccessToken.objects.get().used_at is None
    now = timezone.now()
    with time_machine.travel(now, tick=False):
        with django_assert_num_queries(2):
            tokens.get_token(connection)
        for _ in range(3):
            with django_assert_num_queries(1):
                tokens.get_token(connection)
    assert AccessToken.objects.get().used_at == now
    with time_machine.travel(now + timedelta(seconds=61)), django_assert_num_queries(2):
        tokens.get_token(connection)


def test_short_lived_token_is_not_refreshed_at_every_use(
    connection: AppConnection, microsoft: Microsoft
) -> None:
    microsoft.token |= {"expires_in": 120}
    expire()
    for _ in range(3):
        assert tokens.get_token(connection).reveal() == "CANARY-second"
    assert microsoft.count("token") == 1


def test_claims_challenge_forces_a_new_token(
    connection: AppConnection, microsoft: Microsoft
) -> None:
    challenge = '{"access_token":{"nbf":{"essential":true,"value":"1"}}}'
    assert tokens.get_token(connection, claims=challenge).reveal() == "CANARY-second"
    assert microsoft.forms()[0]["claims"] == challenge
    assert tokens.get_token(connection, VAULT + "/.default", claims=challenge)


# Checklist rows 62 to 70


def test_62_new_refresh_token_replaces_the_old(
    connection: AppConnection, microsoft: Microsoft
) -> None:
    before = RefreshToken.objects.get().expires_at
    expire()
    tokens.get_token(connection)
    after = RefreshToken.objects.get()
    assert after.secret.reveal() == "CANARY-newer"
    assert after.expires_at > before
    assert after.failures == 0
    assert after.lease_until is None


def test_23_63_reply_without_refresh_token_keeps_the_old(
    connection: AppConnection, microsoft: Microsoft
) -> None:
    before = RefreshToken.objects.get().expires_at
    microsoft.token, microsoft.omit = {"access_token": "CANARY-second"}, {"refresh_token"}
    expire()
    assert tokens.get_token(connection).reveal() == "CANARY-second"
    kept = RefreshToken.objects.get()
    assert kept.secret.reveal() == REFRESH_TOKEN
    assert kept.expires_at == before
    connection.refresh_from_db()
    assert connection.status == "ready"


def test_64_scope_is_not_widened_and_a_narrower_grant_is_noted(
    connection: AppConnection, microsoft: Microsoft
) -> None:
    microsoft.token |= {"scope": f"openid profile {GRAPH}/User.Read"}
    expire()
    assert tokens.get_token(connection).scopes == ("User.Read", "openid", "profile")
    (request,) = [request for kind, request in microsoft.requests if kind == "token"]
    (asked,) = parse_qs(request.body)["scope"]
    assert asked.split() == [f"{GRAPH}/.default", "openid", "profile", "offline_access"]
    connection.refresh_from_db()
    assert connection.status == "permission-missing"
    assert "Application.ReadWrite.All" in [p.name for p in connection.missing_permissions]


def test_24_66_invalid_grant_is_tried_once_and_then_needs_reconnect(
    connection: AppConnection, microsoft: Microsoft
) -> None:
    microsoft.fail("token", 400, error(50173, suberror="bad_token"))
    expire()
    failure = refused(connection)
    assert failure.reaction is Reaction.RECONNECT
    assert "Reconnect it" in str(failure)
    assert failure.correlation_id
    for hours in (0, 1, 23, 240):
        with time_machine.travel(timezone.now() + timedelta(hours=hours)):
            assert refused(connection).problem == "grant_revoked"
            assert upkeep.refresh_one(connection.pk) == "skipped"
    assert microsoft.count("token") == 1
    assert connection.status == "needs-reconnect"
    assert connection.is_broken


@pytest.mark.parametrize(
    "failure",
    [
        (503, "<html>"), (429, error(90055)), (500, ""), (200, "<html>"), (302, ""),
        requests.ReadTimeout(), requests.ConnectionError(),
    ],
)  # fmt: skip
def test_67_passing_fault_keeps_the_token_and_backs_off(
    connection: AppConnection, microsoft: Microsoft, failure: Any
) -> None:
    if isinstance(failure, Exception):
        microsoft.fail("token", body=failure)
    else:
        microsoft.fail("token", *failure)
    expire()
    raised = refused(connection)
    assert raised.reaction is Reaction.RETRY
    assert connection.status == "retrying"
    assert not connection.is_broken
    again = refused(connection)
    assert again.retry_at is not None
    assert microsoft.count("token") == 1
    del microsoft.override["token"]
    with time_machine.travel(timezone.now() + timedelta(seconds=40)):
        assert tokens.get_token(connection).reveal() == "CANARY-second"
    connection.refresh_from_db()
    assert (connection.status, connection.problem) == ("ready", "")


def test_69_late_writer_can_not_overwrite(connection: AppConnection, microsoft: Microsoft) -> None:
    def be_overtaken(claims: dict[str, Any]) -> str:
        fresh = RefreshToken.objects.get()
        fresh.fence += 1
        fresh.secret = "CANARY-newest"
        fresh.save()
        AccessToken.objects.all().delete()
        return microsoft.rs256(claims)

    microsoft.sign = be_overtaken
    expire()
    # Somebody else has the connection in hand, so it needs no reconnect.
    assert refused(connection).reaction is Reaction.RETRY
    assert RefreshToken.objects.get().secret.reveal() == "CANARY-newest"
    assert not AccessToken.objects.exists()


def test_70_refresh_token_goes_to_its_own_tenants_endpoint_only(
    connection: AppConnection, microsoft: Microsoft
) -> None:
    expire()
    tokens.get_token(connection)
    (request,) = [request for _, request in microsoft.requests]
    tenant = connection.tenant_id
    assert request.url == f"https://login.microsoftonline.com/{tenant}/oauth2/v2.0/token"


# Fault rows


def test_27_failure_with_a_valid_token_left_does_not_reach_callers(
    connection: AppConnection, microsoft: Microsoft
) -> None:
    microsoft.fail("token", 503, "<html>")
    age()
    assert tokens.get_token(connection).reveal() == ACCESS_TOKEN
    assert tokens.get_token(connection).reveal() == ACCESS_TOKEN
    assert microsoft.count("token") == 1
    connection.refresh_from_db()
    assert connection.status == "retrying"


def test_27_token_is_used_to_its_end_when_no_other_is_to_be_had(
    connection: AppConnection, microsoft: Microsoft
) -> None:
    microsoft.fail("token", 503, "<html>")
    expire(minutes=-2)
    assert tokens.get_token(connection).reveal() == ACCESS_TOKEN
    assert microsoft.count("token") == 1


def test_25_ten_days_of_503_recover_alone(connection: AppConnection, microsoft: Microsoft) -> None:
    microsoft.fail("token", 503, "<html>")
    expire()
    start = timezone.now()
    for hour in range(0, 240, 2):
        with time_machine.travel(start + timedelta(hours=hour)):
            assert refused(connection).reaction is Reaction.RETRY
    assert 60 <= microsoft.count("token") <= 120
    del microsoft.override["token"]
    with time_machine.travel(start + timedelta(hours=241)):
        assert tokens.get_token(connection).reveal() == "CANARY-second"
    connection.refresh_from_db()
    assert connection.status == "ready"


@pytest.mark.parametrize("minutes", [-10, 10])
def test_28_clock_that_is_off_makes_no_loop(
    connection: AppConnection, microsoft: Microsoft, minutes: int
) -> None:
    with time_machine.travel(timezone.now() + timedelta(minutes=minutes)):
        expire()
        for _ in range(5):
            assert tokens.get_token(connection).reveal() == "CANARY-second"
    assert microsoft.count("token") == 1
    for _ in range(5):
        assert tokens.get_token(connection).reveal() == "CANARY-second"
    assert microsoft.count("token") <= 2


def test_29_disconnect_during_a_refresh_wins(
    connection: AppConnection, microsoft: Microsoft
) -> None:
    def disconnect(claims: dict[str, Any]) -> str:
        AppConnection.objects.all().delete()
        return microsoft.rs256(claims)

    microsoft.sign = disconnect
    expire()
    with pytest.raises(TokenUnavailableError):
        tokens.get_token(connection)
    assert not RefreshToken.objects.exists()
    assert not AccessToken.objects.exists()


def test_30_reconnect_during_a_refresh_wins(
    connection: AppConnection, browser: Browser, microsoft: Microsoft
) -> None:
    sent = browser.post(
        browser.url("connection_reconnect", connection.pk), {"tenant": str(connection.tenant_id)}
    ).context["authorization_url"]
    state = dict(part.split("=") for part in sent.split("?")[1].split("&"))

    def reconnect(claims: dict[str, Any]) -> str:
        microsoft.sign = microsoft.rs256
        microsoft.nonce = state["nonce"]
        microsoft.token = {"access_token": "CANARY-newest", "refresh_token": "CANARY-newest-rt"}
        browser.come_back(state)
        return microsoft.rs256(claims)

    microsoft.sign = reconnect
    expire()
    assert tokens.get_token(connection).reveal() == "CANARY-newest"
    assert RefreshToken.objects.get().secret.reveal() == "CANARY-newest-rt"
    assert AccessToken.objects.get().secret.reveal() == "CANARY-newest"


def test_32_claims_that_microsoft_wants_mean_reconnect_with_them(
    browser: Browser, connection: AppConnection, microsoft: Microsoft
) -> None:
    claims = '{"access_token": {"polids": {"essential": true, "values": ["one"]}}}'
    microsoft.fail(
        "token", 400, error(50076, "interaction_required", suberror="basic_action", claims=claims)
    )
    expire()
    assert refused(connection).problem == "sign_in_needed"
    assert connection.status == "needs-reconnect"
    del microsoft.override["token"]
    url = browser.url("connection_reconnect", connection.pk)
    location = browser.post(url, {"tenant": TENANT}).context["authorization_url"]
    sent = {name: values[0] for name, values in parse_qs(urlsplit(location).query).items()}
    assert sent["claims"] == claims
    microsoft.nonce = sent["nonce"]
    browser.come_back(sent)
    connection.refresh_from_db()
    assert (connection.status, connection.claims) == ("ready", "")


# Who must act


@pytest.mark.parametrize(
    ("status", "body", "expected", "problem"),
    [
        (400, error(700082), "needs-reconnect", "grant_expired"),
        (400, error(50133), "needs-reconnect", "password_changed"),
        (400, error(70043), "needs-reconnect", "sign_in_needed"),
        (400, error(99999), "needs-reconnect", "grant_revoked"),
        (400, error(65001, suberror="consent_required"), "needs-admin-approval", "consent_missing"),
        (400, error(53003, suberror="message_only"), "needs-admin-approval", "blocked_by_policy"),
        (401, error(7000215, "invalid_client"), "operator-must-act", "client_secret_wrong"),
        (401, error(7000222, "invalid_client"), "operator-must-act", "client_secret_expired"),
        (400, error(700016, "unauthorized_client"), "operator-must-act", "application_missing"),
        (400, error(90002, "invalid_request"), "operator-must-act", "operator_setup"),
    ],
)
def test_status_says_in_whose_hands_it_is(
    connection: AppConnection,
    microsoft: Microsoft,
    status: int,
    body: Any,
    expected: str,
    problem: str,
) -> None:
    microsoft.fail("token", status, body)
    expire()
    assert refused(connection).problem == problem
    assert (connection.status, connection.problem) == (expected, problem)
    assert str(health.reason_of(connection))
    assert health.advice_for(connection).actor is not None
    assert timezone.now() - connection.status_since < timedelta(minutes=1)


def test_operators_fault_recovers_by_itself(
    connection: AppConnection, microsoft: Microsoft, django_capture_on_commit_callbacks: Any
) -> None:
    broken, recovered = listen(connection_broken), listen(connection_recovered)
    microsoft.fail("token", 401, error(7000222, "invalid_client"))
    expire()
    with django_capture_on_commit_callbacks(execute=True):
        for minutes in (0, 10, 20):
            with later(minutes=minutes):
                assert refused(connection).reaction is Reaction.OPERATOR
    assert microsoft.count("token") == 3
    assert (len(broken), recovered) == (1, [])
    del microsoft.override["token"]
    with later(minutes=30), django_capture_on_commit_callbacks(execute=True):
        tokens.get_token(connection)
    connection.refresh_from_db()
    assert connection.status == "ready"
    assert (len(broken), len(recovered)) == (1, 1)


def test_consent_missing_for_one_resource_leaves_the_others(
    connection: AppConnection, microsoft: Microsoft
) -> None:
    microsoft.fail("token", 400, error(65001, suberror="consent_required"))
    failure = refused(connection, Resource.KEY_VAULT)
    assert failure.problem == "consent_missing"
    assert tokens.get_token(connection).reveal() == ACCESS_TOKEN
    assert connection.status == "permission-missing"
    assert RefreshToken.objects.get().revoked_at is None


def test_resource_that_the_directory_does_not_know_leaves_the_others(
    connection: AppConnection, microsoft: Microsoft, django_capture_on_commit_callbacks: Any
) -> None:
    heard = listen(connection_broken)
    microsoft.fail("token", 400, error(500011, "invalid_resource"))
    with django_capture_on_commit_callbacks(execute=True):
        failure = refused(connection, Resource.APP_CONFIGURATION)
    assert (failure.problem, failure.reaction) == ("resource_unknown", Reaction.OPERATOR)
    assert (connection.status, heard) == ("ready", [])
    # It is left alone for a while, and only it.
    assert refused(connection, Resource.APP_CONFIGURATION).retry_at is not None
    assert microsoft.count("token") == 1
    del microsoft.override["token"]
    expire()
    assert tokens.get_token(connection).reveal() == "CANARY-second"
    assert refused(connection, Resource.APP_CONFIGURATION).problem == "resource_unknown"


def test_connection_stays_broken_while_another_resource_works(
    connection: AppConnection, microsoft: Microsoft, django_capture_on_commit_callbacks: Any
) -> None:
    broken, recovered = listen(connection_broken), listen(connection_recovered)
    with django_capture_on_commit_callbacks(execute=True):
        tokens.get_token(connection, Resource.KEY_VAULT)
        for minutes in range(10, 70, 10):
            with later(minutes=minutes):
                expire()
                microsoft.fail("token", 400, error(65001, suberror="consent_required"))
                assert refused(connection).problem == "consent_missing"
                since = connection.status_since
                del microsoft.override["token"]
                tokens.get_token(connection, Resource.KEY_VAULT)
                connection.refresh_from_db()
                found = connection.status, connection.problem, connection.status_since
                assert found == ("needs-admin-approval", "consent_missing", since)
    assert (len(broken), recovered) == (1, [])
    with later(hours=2), django_capture_on_commit_callbacks(execute=True):
        tokens.get_token(connection)
    connection.refresh_from_db()
    assert (connection.status, len(recovered)) == ("ready", 1)
    assert RefreshToken.objects.get().refused == {}


def test_background_asks_again_for_graph_where_it_was_refused(
    connection: AppConnection, microsoft: Microsoft
) -> None:
    tokens.get_token(connection, Resource.KEY_VAULT)
    expire()
    RefreshToken.objects.update(due_at=timezone.now())
    microsoft.fail("token", 400, error(65001, suberror="consent_required"))
    refused(connection)
    assert not RefreshToken.objects.due(timezone.now()).exists()
    del microsoft.override["token"]
    with later(minutes=6):
        (row,) = RefreshToken.objects.due(timezone.now()).to_refresh()
        assert tokens.refresh(row)
    connection.refresh_from_db()
    assert connection.status == "ready"
    (*_, (_kind, request)) = [one for one in microsoft.requests if one[0] == "token"]
    assert "graph.microsoft.com" in unquote(request.body)


def test_consent_that_was_taken_back_shows_the_approval_link(
    browser: Browser, connection: AppConnection, microsoft: Microsoft
) -> None:
    microsoft.fail("token", 400, error(65001, suberror="consent_required"))
    expire()
    refused(connection)
    page = browser.get(browser.url("connection_detail", connection.pk)).content.decode()
    assert "Approval link for an administrator" in page
    assert "/v2.0/adminconsent?" in page


@pytest.mark.parametrize(("minutes", "is_said"), [(-2, True), (2, False)])
def test_time_until_which_a_connection_works_is_to_come(
    browser: Browser,
    connection: AppConnection,
    microsoft: Microsoft,
    minutes: int,
    is_said: bool,
) -> None:
    microsoft.fail("token", 503, {})
    expire(minutes=minutes)
    with nullcontext() if is_said else pytest.raises(TokenUnavailableError):
        tokens.get_token(connection)
    page = browser.get(browser.url("connection_list")).content.decode()
    assert "Refreshing fails" in page
    assert ("works until" in page) == is_said


def test_refused_resource_is_not_refreshed_early(
    connection: AppConnection, microsoft: Microsoft
) -> None:
    microsoft.fail("token", 400, error(65001, suberror="consent_required"))
    age()
    for _ in range(3):
        assert tokens.get_token(connection).reveal() == ACCESS_TOKEN
    assert microsoft.count("token") == 1


def test_refusal_that_nobody_asked_about_for_a_day_is_forgotten(
    connection: AppConnection, microsoft: Microsoft
) -> None:
    microsoft.fail("token", 400, error(65001, suberror="consent_required"))
    refused(connection, Resource.KEY_VAULT)
    del microsoft.override["token"]
    with later(hours=25):
        tokens.get_token(connection)
    connection.refresh_from_db()
    assert connection.status == "ready"


def test_answer_of_a_proxy_says_nothing_of_the_grant(
    connection: AppConnection, microsoft: Microsoft
) -> None:
    microsoft.fail("token", 403, {"error": "blocked_by_proxy"})
    expire()
    assert refused(connection).reaction is Reaction.RETRY
    assert (connection.status, connection.problem) == ("retrying", "microsoft_unavailable")
    assert RefreshToken.objects.get().revoked_at is None


def test_connection_without_refresh_token_says_so_at_its_end(
    browser: Browser, microsoft: Microsoft
) -> None:
    microsoft.omit = {"refresh_token"}
    browser.connect()
    connection = AppConnection.objects.get()
    assert tokens.get_token(connection).reveal() == ACCESS_TOKEN
    expire()
    assert refused(connection).problem == "offline_access_missing"


def test_wrong_key_is_the_operators_to_mend(
    connection: AppConnection, microsoft: Microsoft, settings: Any
) -> None:
    expire()
    right, settings.FERNET_KEYS = settings.FERNET_KEYS, ["another-key-0123456789-0123456789-01"]
    assert refused(connection).problem == "decryption_failed"
    assert connection.status == "operator-must-act"
    assert microsoft.requests == []
    settings.FERNET_KEYS = right
    with time_machine.travel(timezone.now() + timedelta(minutes=7)):
        assert tokens.get_token(connection).reveal() == "CANARY-second"


def test_stale_lease_is_waited_out(connection: AppConnection, microsoft: Microsoft) -> None:
    expire()
    until = timezone.now() + timedelta(seconds=0.3)
    RefreshToken.objects.update(lease_until=until, fence=7)
    assert tokens.get_token(connection).reveal() == "CANARY-second"
    assert timezone.now() >= until
    assert RefreshToken.objects.get().fence == 8


def test_waiting_ends(connection: AppConnection, settings: Any) -> None:
    settings.INFISICAL_AZURE = {**settings.INFISICAL_AZURE, "TOTAL_TIMEOUT": -4.9}
    expire()
    RefreshToken.objects.update(lease_until=timezone.now() + timedelta(hours=1))
    assert refused(connection).reaction is Reaction.RETRY


# Between two steps


def test_reply_without_id_token_is_taken(connection: AppConnection, microsoft: Microsoft) -> None:
    microsoft.omit = {"id_token"}
    expire()
    assert tokens.get_token(connection).reveal() == "CANARY-second"


def renew() -> None:
    """Do what another process does: refresh, with a newer fence."""
    row = RefreshToken.objects.get()
    row.fence += 1
    row.save(update_fields=["fence"])
    held = AccessToken.objects.get()
    held.secret = "CANARY-newest"
    held.issued_at = timezone.now()
    held.refresh_at = held.expires_at = timezone.now() + timedelta(hours=1)
    held.save()


@pytest.mark.parametrize("fails", [True, False], ids=["refused", "someone else"])
def test_20_overtaken_holder_whose_own_attempt_failed_gives_the_newer_token(
    connection: AppConnection, microsoft: Microsoft, fails: bool
) -> None:
    microsoft.before["token"] = renew
    if fails:
        microsoft.fail("token", 400, error(50173))
    else:
        microsoft.claims = {"oid": OTHER_TENANT}
    expire()
    assert tokens.get_token(connection).reveal() == "CANARY-newest"
    connection.refresh_from_db()
    assert connection.status == "ready"
    assert RefreshToken.objects.get().revoked_at is None


def test_20_overtaken_holder_gives_no_old_token(
    connection: AppConnection, microsoft: Microsoft
) -> None:
    microsoft.before["token"] = lambda: RefreshToken.objects.update(fence=99)
    expire()
    assert refused(connection).reaction is Reaction.RETRY
    assert RefreshToken.objects.get().secret.reveal() == REFRESH_TOKEN


@pytest.mark.parametrize("before", ["SELECT", "UPDATE"])
def test_refresh_that_ended_before_the_claim_is_not_repeated(
    connection: AppConnection, microsoft: Microsoft, before: str
) -> None:
    """Whether it ended before the row was read, or between that and the claim."""
    expire()
    with meanwhile(f'{before} "infisical_azure_refreshtoken"', renew):
        assert tokens.get_token(connection).reveal() == "CANARY-newest"
    assert microsoft.requests == []
    assert RefreshToken.objects.get().lease_until is None


def test_token_that_another_got_at_this_moment_is_new_enough_for_a_live_test(
    connection: AppConnection, microsoft: Microsoft
) -> None:
    expire()
    with (
        time_machine.travel(timezone.now(), tick=False),
        meanwhile('SELECT "infisical_azure_refreshtoken"', renew),
    ):
        assert tokens.get_token(connection, is_live=True).reveal() == "CANARY-newest"
    assert microsoft.requests == []


def test_refresh_token_that_was_replaced_before_the_claim_is_not_sent(
    connection: AppConnection, microsoft: Microsoft
) -> None:
    """The row was read while another had the lease, and is claimed once that one has saved."""
    expire()
    refusal = Refusal(
        problem="consent_missing", reaction=Reaction.TENANT_ADMIN, status="ready",
        correlation_id="", failures=0, until=timezone.now() + timedelta(minutes=5),
    )  # fmt: skip

    def save_as_another() -> None:
        row = RefreshToken.objects.get()
        row.secret, row.refused = "CANARY-replacement", {VAULT: refusal.written()}
        row.save(update_fields=["secret", "refused"])

    with meanwhile(CLAIM, save_as_another):
        tokens.get_token(connection)
    assert [form["refresh_token"] for form in microsoft.forms()] == ["CANARY-replacement"]
    assert set(RefreshToken.objects.get().refused) == {VAULT}


def test_what_was_refused_before_the_claim_is_not_asked_for_again(
    connection: AppConnection, microsoft: Microsoft
) -> None:
    refusal = Refusal(
        problem="consent_missing", reaction=Reaction.TENANT_ADMIN, status="ready",
        correlation_id="", failures=0, until=timezone.now() + timedelta(minutes=5),
    )  # fmt: skip
    rows = RefreshToken.objects.all()
    with meanwhile(CLAIM, lambda: rows.update(refused={VAULT: refusal.written()})):
        assert refused(connection, Resource.KEY_VAULT).problem == "consent_missing"
    assert microsoft.requests == []
    assert RefreshToken.objects.get().lease_until is None


def test_refresh_in_the_background_that_has_just_been_done_is_not_repeated(
    connection: AppConnection, microsoft: Microsoft
) -> None:
    rows, now = RefreshToken.objects.all(), timezone.now()
    for later_due in (now + timedelta(hours=1), None):
        rows.update(due_at=now - timedelta(minutes=1), lease_until=now - timedelta(minutes=1))
        done = {"due_at": later_due, "lease_until": None}  # By a process slower than its lease.
        with meanwhile(CLAIM, lambda done=done: rows.update(**done)):
            assert upkeep.refresh_one(connection.pk) == "skipped"
    assert microsoft.requests == []
    assert RefreshToken.objects.get().lease_until is None


@pytest.mark.django_db(transaction=True)
def test_database_that_fails_before_anything_is_saved_leaves_no_lease(
    connection: AppConnection, microsoft: Microsoft
) -> None:
    def fail(execute: Any, sql: str, *args: Any) -> Any:
        if sql.startswith('UPDATE "infisical_azure_refreshtoken"') and '"secret" =' in sql:
            raise OperationalError
        return execute(sql, *args)

    expire()
    with database.execute_wrapper(fail), pytest.raises(OperationalError):
        tokens.get_token(connection)
    assert RefreshToken.objects.get().lease_until is None


def test_connection_whose_refresh_token_is_lost_says_so(connection: AppConnection) -> None:
    expire()
    RefreshToken.objects.all().delete()
    assert refused(connection).problem == "offline_access_missing"


def test_cloud_that_was_disabled_leaves_no_lease(connection: AppConnection, settings: Any) -> None:
    RefreshToken.objects.update(due_at=timezone.now())
    settings.INFISICAL_AZURE = {**settings.INFISICAL_AZURE, "CLOUDS": ["china"]}
    assert upkeep.refresh_one(connection.pk) == "failed"
    assert RefreshToken.objects.get().lease_until is None


def test_early_refresh_leaves_a_token_that_another_is_at_alone(
    connection: AppConnection, microsoft: Microsoft
) -> None:
    age()
    RefreshToken.objects.update(lease_until=timezone.now() + timedelta(minutes=1))
    assert tokens.get_token(connection).reveal() == ACCESS_TOKEN
    assert microsoft.requests == []


def test_database_that_fails_at_the_save_keeps_the_new_refresh_token_and_no_lease(
    connection: AppConnection, microsoft: Microsoft
) -> None:
    def fail(execute: Any, sql: str, *args: Any) -> Any:
        if sql.startswith('UPDATE "infisical_azure_accesstoken"'):
            raise OperationalError
        return execute(sql, *args)

    expire()
    with database.execute_wrapper(fail), pytest.raises(OperationalError):
        tokens.get_token(connection)
    row = RefreshToken.objects.get()
    assert row.lease_until is None
    assert row.secret.reveal() == "CANARY-newer"
    assert tokens.get_token(connection).reveal() == "CANARY-second"


def test_waiting_threads_share_what_one_of_them_got(
    committed: None, browser: Browser, microsoft: Microsoft
) -> None:
    browser.connect()
    connection = AppConnection.objects.get()
    microsoft.requests.clear()
    microsoft.before["token"] = lambda: time.sleep(0.2)
    expire()
    barrier = threading.Barrier(8)

    def fetch(_: int) -> str:
        barrier.wait()
        try:
            return tokens.get_token(connection).reveal()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(fetch, range(8))) == [ACCESS_TOKEN] * 8
    assert microsoft.count("token") == 1


def test_disabled_cloud_says_what_to_do(connection: AppConnection, settings: Any) -> None:
    settings.INFISICAL_AZURE = {**settings.INFISICAL_AZURE, "CLOUDS": ["china"]}
    with pytest.raises(ImproperlyConfigured, match="CLOUDS"):
        tokens.get_token(connection)
