"""What Microsoft refuses for one API touches no other; claims wait for the next reconnect."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.utils import timezone

from infisical_azure import data_planes, health, tokens, upkeep, watch
from infisical_azure.claims import challenge_in, merged
from infisical_azure.exceptions import Reaction, RemoteError, TokenUnavailableError
from infisical_azure.models import AccessToken, AppConnection, RefreshToken, Rotation
from infisical_azure.on_behalf import on_behalf_of, with_token
from infisical_azure.resources import Resource
from infisical_azure.signals import connection_broken

from .conftest import Browser
from .held_tokens import expire
from .microsoft import CORRELATION, OTHER_TENANT, TENANT, Microsoft, error
from .rotations import Azure, advance, later, listen, states

pytestmark = pytest.mark.django_db

POLICY = '{"access_token": {"capolids": {"essential": true, "values": ["one"]}}}'
OTHER_POLICY = '{"access_token": {"capolids": {"essential": true, "values": ["two"]}}}'
APIS = {
    Resource.KEY_VAULT: "https://vault.azure.net",
    Resource.APP_CONFIGURATION: "https://appconfig.azure.com",
    "https://management.azure.com/.default": "https://management.azure.com",
}
MFA = {"suberror": "basic_action", "claims": POLICY}
#: What real directories answer for one API: status, body, then what it means.
REFUSALS = [
    (401, error(650057, "invalid_client"), "api_not_registered", Reaction.OPERATOR),
    (400, error(50076, **MFA), "sign_in_needed", Reaction.RECONNECT),
    (400, error(53003, suberror="message_only"), "blocked_by_policy", Reaction.TENANT_ADMIN),
    (400, error(530003), "blocked_by_policy", Reaction.TENANT_ADMIN),
    (400, error(50079), "sign_in_needed", Reaction.RECONNECT),
    (400, error(50105), "account_not_assigned", Reaction.TENANT_ADMIN),
]
MORE_REFUSALS = [
    (400, error(650057), "api_not_registered", Reaction.OPERATOR),
    (401, error(650052, "invalid_client"), "resource_unknown", Reaction.OPERATOR),
    (400, error(70011, "invalid_scope"), "resource_unknown", Reaction.OPERATOR),
    (400, error(50076, "interaction_required", **MFA), "sign_in_needed", Reaction.RECONNECT),
    (400, error(53003, claims=POLICY), "blocked_by_policy", Reaction.TENANT_ADMIN),
    (400, error(53003, "access_denied"), "blocked_by_policy", Reaction.TENANT_ADMIN),
    (400, error(50079, "access_denied"), "sign_in_needed", Reaction.RECONNECT),
    (400, error(50079, "interaction_required"), "sign_in_needed", Reaction.RECONNECT),
    (400, error(50105, "interaction_required"), "account_not_assigned", Reaction.TENANT_ADMIN),
    (400, error(70043, claims=POLICY), "sign_in_needed", Reaction.RECONNECT),
    # Numbers that nobody knows: the other API's alone, and not said to be known.
    (400, error(99999999), "api_refused", Reaction.RECONNECT),
    (400, error(99999999, "interaction_required"), "sign_in_needed", Reaction.RECONNECT),
    (400, error(1, suberror="additional_action"), "blocked_by_policy", Reaction.TENANT_ADMIN),
    (401, error(99999999, "invalid_client"), "api_refused", Reaction.OPERATOR),
    (400, error(99999999, "invalid_request"), "api_refused", Reaction.OPERATOR),
    (400, error(99999999, "brand_new_error"), "api_refused", Reaction.RETRY),
]
CASES = [(api, *refusal) for refusal in REFUSALS for api in APIS]
CASES += [(Resource.KEY_VAULT, *refusal) for refusal in MORE_REFUSALS]


@pytest.fixture
def connection(browser: Browser, microsoft: Microsoft) -> AppConnection:
    browser.connect()
    microsoft.requests.clear()
    microsoft.token = {"access_token": "CANARY-second", "refresh_token": "CANARY-newer"}
    return AppConnection.objects.get()


def refuse(microsoft: Microsoft, audience: str, status: int, body: Any) -> None:
    """Let the token endpoint refuse this API, and answer for the others."""

    def choose() -> None:
        asked = parse_qs(microsoft.requests[-1][1].body)["scope"][0]
        microsoft.override.pop("token", None)
        if asked.startswith(f"{audience}/"):
            microsoft.fail("token", status, body)

    microsoft.before["token"] = choose


def refused(connection: AppConnection, resource: str) -> TokenUnavailableError:
    with pytest.raises(TokenUnavailableError) as caught:
        tokens.get_token(connection, resource)
    connection.refresh_from_db()
    return caught.value


def claims_sent(browser: Browser, connection: AppConnection, **form: str) -> dict[str, str]:
    """Begin a reconnect; return what is sent to Microsoft."""
    url = browser.url("connection_reconnect", connection.pk)
    location = browser.post(url, {"tenant": TENANT, **form}).context["authorization_url"]
    return {name: values[0] for name, values in parse_qs(urlsplit(location).query).items()}


# One API, and no other


@pytest.mark.parametrize(("resource", "status", "body", "problem", "reaction"), CASES)
def test_refusal_of_one_api_leaves_graph_alone(
    browser: Browser,
    connection: AppConnection,
    microsoft: Microsoft,
    django_capture_on_commit_callbacks: Any,
    resource: str,
    status: int,
    body: Any,
    problem: str,
    reaction: Reaction,
) -> None:
    broken = listen(connection_broken)
    refuse(microsoft, APIS[resource], status, body)
    with django_capture_on_commit_callbacks(execute=True):
        failure = refused(connection, resource)
    assert (failure.problem, failure.reaction) == (problem, reaction)
    assert (connection.status, connection.problem, broken) == ("ready", "", [])
    row = RefreshToken.objects.get()
    assert (row.revoked_at, row.next_try_at, row.failures) == (None, None, 0)
    expire()
    assert tokens.get_token(connection).reveal() == "CANARY-second"
    assert connection.claims == (POLICY if "claims" in body else "")
    page = browser.get(browser.url("connection_detail", connection.pk)).content.decode()
    assert str(health.REASONS[problem]).replace("'", "&#x27;") in page
    assert str(health.advice_on(reaction).next_step) in page
    assert CORRELATION in page
    # It is left alone for half a minute, and asked again after that.
    assert refused(connection, resource).retry_at is not None
    assert microsoft.count("token") == 2
    microsoft.before.clear()
    microsoft.override.pop("token", None)
    with later(minutes=1):
        assert tokens.get_token(connection, resource).reveal() == "CANARY-second"
    page = browser.get(browser.url("connection_detail", connection.pk)).content.decode()
    assert "Only this service is refused" not in page


def test_test_tells_of_an_api_that_was_refused_from_the_first(
    browser: Browser, connection: AppConnection, microsoft: Microsoft
) -> None:
    microsoft.fail("token", 400, error(50105))
    refused(connection, Resource.KEY_VAULT)
    for _ in range(3):
        page = browser.post(browser.url("connection_test", connection.pk)).content.decode()
        assert (page.count("Works"), page.count("Failed")) == (1, 1)
        assert "is not assigned to an application" in page
    assert microsoft.count("token") == 1


@pytest.mark.parametrize(
    "body",
    [error(50076, **MFA), error(53003, suberror="message_only"), error(650057, "invalid_client")],
)
def test_background_goes_on_for_graph(
    connection: AppConnection, microsoft: Microsoft, body: Any
) -> None:
    tokens.get_token(connection, Resource.KEY_VAULT)
    refuse(microsoft, APIS[Resource.KEY_VAULT], 400, body)
    expire()
    for minutes in (1, 3, 9, 60, 6000):
        with later(minutes=minutes):
            RefreshToken.objects.update(due_at=timezone.now())
            refused(connection, Resource.KEY_VAULT)
    with later(minutes=6002):
        RefreshToken.objects.update(due_at=timezone.now())
        assert upkeep.refresh_one(connection.pk) == "refreshed"
        assert tokens.get_token(connection).reveal() == "CANARY-second"
    assert connection.status == "ready"


def test_watch_reads_on(connection: AppConnection, microsoft: Microsoft) -> None:
    refuse(microsoft, APIS[Resource.KEY_VAULT], 400, error(50076, **MFA))
    refused(connection, Resource.KEY_VAULT)
    expire()
    assert watch.watch_one(connection.pk).watched == 1


def test_rotation_that_delivers_elsewhere_goes_on(
    rotation: Rotation, azure: Azure, microsoft: Microsoft
) -> None:
    connection = rotation.connection
    refuse(microsoft, APIS[Resource.APP_CONFIGURATION], 400, error(53003, suberror="message_only"))
    refused(connection, Resource.APP_CONFIGURATION)
    expire()
    advance(rotation)
    assert states(rotation) == ["current"]


# What concerns all


@pytest.mark.parametrize(
    ("status", "body", "problem", "status_of_connection"),
    [
        (400, error(50173, suberror="bad_token"), "grant_revoked", "needs-reconnect"),
        (400, error(1, suberror="token_expired"), "grant_revoked", "needs-reconnect"),
        (400, error(700082), "grant_expired", "needs-reconnect"),
        (400, error(70008), "grant_expired", "needs-reconnect"),
        (400, error(50133), "password_changed", "needs-reconnect"),
        (400, error(70043), "sign_in_needed", "needs-reconnect"),
        (401, error(7000215, "invalid_client"), "client_secret_wrong", "operator-must-act"),
        (401, error(7000222, "invalid_client"), "client_secret_expired", "operator-must-act"),
        (401, {"error": "invalid_client"}, "client_secret_wrong", "operator-must-act"),
        (400, error(700016, "unauthorized_client"), "application_missing", "operator-must-act"),
        (503, "<html>", "microsoft_unavailable", "retrying"),
    ],
)
@pytest.mark.parametrize("resource", [Resource.GRAPH, Resource.KEY_VAULT])
def test_end_of_the_grant_and_faults_of_the_site_concern_all(
    connection: AppConnection,
    microsoft: Microsoft,
    resource: str,
    status: int,
    body: Any,
    problem: str,
    status_of_connection: str,
) -> None:
    microsoft.fail("token", status, body)
    expire()
    assert refused(connection, resource).problem == problem
    assert (connection.status, connection.problem) == (status_of_connection, problem)
    other = Resource.KEY_VAULT if resource is Resource.GRAPH else Resource.GRAPH
    assert refused(connection, other).problem == problem
    assert microsoft.count("token") == 1


# Graph itself


@pytest.mark.parametrize(
    ("body", "problem", "status"),
    [
        (error(50076, **MFA), "sign_in_needed", "needs-reconnect"),
        (error(50079), "sign_in_needed", "needs-reconnect"),
        (error(53003, suberror="message_only"), "blocked_by_policy", "needs-admin-approval"),
        (error(530003), "blocked_by_policy", "needs-admin-approval"),
        (error(50105), "account_not_assigned", "needs-admin-approval"),
        (error(65001), "consent_missing", "needs-admin-approval"),
        (error(650057, "invalid_client"), "api_not_registered", "operator-must-act"),
    ],
)
def test_policy_that_refuses_graph_breaks_the_connection_and_no_other_api(
    connection: AppConnection,
    microsoft: Microsoft,
    django_capture_on_commit_callbacks: Any,
    body: Any,
    problem: str,
    status: str,
) -> None:
    broken = listen(connection_broken)
    refuse(microsoft, "https://graph.microsoft.com", 400, body)
    expire()
    with django_capture_on_commit_callbacks(execute=True):
        assert refused(connection, Resource.GRAPH).problem == problem
    assert (connection.status, connection.problem, len(broken)) == (status, problem, 1)
    assert tokens.get_token(connection, Resource.KEY_VAULT).reveal() == "CANARY-second"
    with later(days=3):  # However long ago that was.
        expire()
        tokens.get_token(connection, Resource.KEY_VAULT)
    connection.refresh_from_db()
    assert (connection.status, connection.problem) == (status, problem)
    assert RefreshToken.objects.get().revoked_at is None


def test_grant_of_unknown_fate_is_over_for_graph(
    connection: AppConnection, microsoft: Microsoft
) -> None:
    microsoft.fail("token", 400, error(99999999))
    expire()
    assert refused(connection, Resource.GRAPH).problem == "grant_revoked"
    assert RefreshToken.objects.get().revoked_at is not None


def test_api_that_needs_a_sign_in_is_asked_ever_less_often(
    connection: AppConnection, microsoft: Microsoft
) -> None:
    microsoft.fail("token", 400, error(50076, **MFA))
    for minutes in range(0, 600, 10):
        with later(minutes=minutes):
            refused(connection, Resource.KEY_VAULT)
    assert microsoft.count("token") < 30


# Claims


def test_claims_of_several_apis_go_with_the_next_reconnect_which_ends_them(
    browser: Browser, connection: AppConnection, microsoft: Microsoft
) -> None:
    both = '{"access_token": {"capolids": {"essential": true, "values": ["one", "two"]}}}'
    refuse(microsoft, APIS[Resource.KEY_VAULT], 400, error(50076, **MFA))
    refused(connection, Resource.KEY_VAULT)
    policy = error(53003, suberror="message_only", claims=OTHER_POLICY)
    refuse(microsoft, APIS[Resource.APP_CONFIGURATION], 400, policy)
    refused(connection, Resource.APP_CONFIGURATION)
    microsoft.before.clear()
    microsoft.override.pop("token", None)
    expire()
    tokens.get_token(connection)  # What goes well for Graph proves nothing to the others.
    with later(minutes=5):
        microsoft.fail("token", 503, {})
        expire()
        refused(connection, Resource.GRAPH)
    assert connection.claims == both
    del microsoft.override["token"]
    sent = claims_sent(browser, connection)
    assert sent["claims"] == both
    microsoft.nonce = sent["nonce"]
    browser.come_back(sent)
    connection.refresh_from_db()
    assert (connection.status, connection.claims) == ("ready", "")
    assert tokens.get_token(connection, Resource.KEY_VAULT).reveal() == "CANARY-second"


def test_claims_of_one_directory_are_not_sent_to_another(
    browser: Browser, connection: AppConnection
) -> None:
    connection.keep_claims(POLICY)
    sent = claims_sent(browser, connection, tenant=OTHER_TENANT, may_switch="on")
    assert "claims" not in sent


def challenged(claims: str) -> dict[str, str]:
    """Return the header with which an API asks for claims, as recorded of Graph."""
    encoded = base64.b64encode(claims.encode()).decode()
    return {
        "WWW-Authenticate": 'Bearer realm="", authorization_uri="https://login.example/", '
        f'client_id="00000003", error="insufficient_claims", claims="{encoded}"'
    }


def _call(connection: AppConnection, kind: str) -> Callable[[], object]:
    if kind == "me":
        return lambda: on_behalf_of(connection, lambda graph: graph.me())
    vault = "https://team.vault.azure.net"
    return lambda: with_token(
        connection,
        Resource.KEY_VAULT,
        lambda token: data_planes.vault_secret_tags(vault, "hr", token=token),
    )


@pytest.mark.parametrize("kind", ["me", "vault"])
def test_challenge_of_an_api_is_answered_and_kept_if_that_is_not_enough(
    connection: AppConnection, microsoft: Microsoft, kind: str
) -> None:
    call = _call(connection, kind)
    microsoft.fail(
        kind, 401, {"error": {"code": "InvalidAuthenticationToken"}}, **challenged(POLICY)
    )
    with pytest.raises(RemoteError):
        call()
    assert microsoft.forms()[-1]["claims"] == POLICY
    connection.refresh_from_db()
    assert (connection.claims, connection.status) == (POLICY, "ready")
    count = microsoft.count("token")
    with pytest.raises(RemoteError):
        call()
    assert microsoft.count("token") == count


def test_challenge_that_only_a_sign_in_answers_is_kept(
    connection: AppConnection, microsoft: Microsoft
) -> None:
    microsoft.fail("me", 401, {}, **challenged(OTHER_POLICY))
    microsoft.fail("token", 400, error(50076, "interaction_required"))
    with pytest.raises(TokenUnavailableError):
        on_behalf_of(connection, lambda graph: graph.me())
    connection.refresh_from_db()
    assert (connection.claims, connection.status) == (OTHER_POLICY, "needs-reconnect")


def test_same_challenge_makes_no_loop_of_refreshes(
    connection: AppConnection, microsoft: Microsoft
) -> None:
    for challenge in [POLICY] * 5 + [OTHER_POLICY] * 5:
        tokens.get_token(connection, claims=challenge)
    assert [form["claims"] for form in microsoft.forms()] == [POLICY, OTHER_POLICY]
    assert AccessToken.objects.get().forced_claims == OTHER_POLICY


@pytest.mark.parametrize(
    ("challenges", "together"),
    [
        ([], ""),
        (["", "no json", "[1]", "7", '{"a": '], ""),
        (['{"a": 1}', "junk"], '{"a": 1}'),
        (['{"a": {"b": [1]}}', '{"a": {"b": [1, 2], "c": 3}}'], '{"a": {"b": [1, 2], "c": 3}}'),
        (['{"a": {"nbf": "1"}}', '{"a": {"nbf": "2"}}'], '{"a": {"nbf": "2"}}'),
        (['{"a": [1]}', '{"a": {"b": 1}}'], '{"a": {"b": 1}}'),
        (['{"a": ' + "1" * 1500 + "}", '{"b": ' + "2" * 900 + "}"], '{"b": ' + "2" * 900 + "}"),
        (['{"a": ' + "1" * 3000 + "}", '{"b": 1}'], '{"b": 1}'),
        (['{"a": ' + "[" * 900 + "]" * 900 + "}", '{"b": 1}'], '{"b": 1}'),
    ],
)
def test_challenges_are_merged(challenges: list[str], together: str) -> None:
    assert merged(*challenges) == together


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("", ""),
        ('Bearer error="invalid_token"', ""),
        ('Bearer claims="="', ""),
        ('Bearer claims="/w=="', ""),
        ('Bearer claims="eyJhIjogIsO/w7/DvyJ9"', json.dumps({"a": "ÿÿÿ"})),
        ('Bearer claims="eyJhIjogIsO_w7_DvyJ9"', json.dumps({"a": "ÿÿÿ"})),
        ('Bearer claims="eyJhIjogMX0"', '{"a": 1}'),
        ('Bearer claims="eyJhIjogMX0=", error="insufficient_claims"', '{"a": 1}'),
    ],
)
def test_challenge_is_read_from_a_header(header: str, found: str) -> None:
    assert challenge_in({"WWW-Authenticate": header}) == found
