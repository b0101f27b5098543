"""Testing a connection calls everything that it has."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.contrib.auth.models import User
from django.db import connection as database
from django.db import connections
from django.utils import timezone

from infisical_azure import tokens
from infisical_azure.exceptions import Reaction, RemoteError, TokenUnavailableError
from infisical_azure.models import AccessToken, AppConnection, RefreshToken
from infisical_azure.on_behalf import on_behalf_of
from infisical_azure.probe import probe
from infisical_azure.resources import Resource

from .conftest import Browser
from .held_tokens import expire
from .hostapp.host import add_member
from .microsoft import CORRELATION, TENANT, Microsoft, error
from .rotations import later

pytestmark = pytest.mark.django_db


@pytest.fixture
def connection(browser: Browser, microsoft: Microsoft) -> AppConnection:
    browser.connect()
    connection = AppConnection.objects.get()
    tokens.get_token(connection, Resource.KEY_VAULT)
    microsoft.requests.clear()
    return connection


def press(browser: Browser, connection: AppConnection) -> str:
    return browser.post(browser.url("connection_test", connection.pk)).content.decode()


def test_every_resource_is_called_live(
    browser: Browser, connection: AppConnection, microsoft: Microsoft
) -> None:
    page = press(browser, connection)
    assert page.count("Works") == 2
    assert page.index("Microsoft Graph") < page.index("Azure Key Vault")
    assert microsoft.count("me") == 1
    assert microsoft.count("token") == 1


def test_connection_that_is_removed_meanwhile_is_not_found(
    browser: Browser, connection: AppConnection, microsoft: Microsoft
) -> None:
    microsoft.before["me"] = AppConnection.objects.all().delete
    url = browser.url("connection_test", connection.pk)
    assert browser.post(url).status_code == 404


def test_nothing_is_locked_while_microsoft_is_asked(
    browser: Browser,
    connection: AppConnection,
    microsoft: Microsoft,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(database.settings_dict, "ATOMIC_REQUESTS", value=True)
    open_before, open_then = list(database.savepoint_ids), []
    microsoft.before["me"] = lambda: open_then.append(list(database.savepoint_ids))
    press(browser, connection)
    assert open_then == [open_before]


def test_cloud_that_is_disabled_is_named(
    browser: Browser, connection: AppConnection, microsoft: Microsoft
) -> None:
    AppConnection.objects.update(cloud="china")
    page = press(browser, connection)
    assert ("Works" in page, "no longer enabled on this site" in page) == (False, True)
    url = browser.url("connection_reconnect", connection.pk)
    response = browser.post(url, {"tenant": TENANT})
    assert "no longer enabled on this site" in response.content.decode()


def test_each_failure_is_shown_with_its_reason(
    browser: Browser, connection: AppConnection, microsoft: Microsoft
) -> None:
    microsoft.fail("me", 403, {"error": {"code": "Authorization_RequestDenied"}})
    microsoft.fail("token", 400, error(65001, suberror="consent_required"))
    page = press(browser, connection)
    assert page.count("Failed") == 2
    assert "Microsoft Graph refused the access" in page
    assert "A permission was never granted" in page
    assert CORRELATION in page


def test_token_that_graph_no_longer_takes_is_replaced_once(
    browser: Browser, connection: AppConnection, microsoft: Microsoft
) -> None:
    microsoft.fail("me", 401, {"error": {"code": "InvalidAuthenticationToken"}})
    assert press(browser, connection).count("Failed") == 1
    assert microsoft.count("me") == 2
    assert microsoft.count("token") == 2


def test_broken_connection_is_shown_as_such(
    browser: Browser, connection: AppConnection, microsoft: Microsoft
) -> None:
    microsoft.fail("token", 400, error(50173))
    expire()
    page = press(browser, connection)
    assert "The access was revoked at Microsoft." in page


def test_testing_is_no_get(browser: Browser, connection: AppConnection) -> None:
    assert browser.get(browser.url("connection_test", connection.pk)).status_code == 405


# Once in half a minute, shared by all


@pytest.fixture
def colleague(browser: Browser, microsoft: Microsoft) -> Browser:
    """Another person of the same organization."""
    user = User.objects.create_user("max")
    add_member(browser.organization, user)
    return Browser(user, browser.organization, microsoft)


def test_pressed_by_many_it_is_one_test_in_half_a_minute(
    browser: Browser, colleague: Browser, connection: AppConnection, microsoft: Microsoft
) -> None:
    now = timezone.now()
    with time_machine.travel(now, tick=False):
        pages = [press(person, connection) for person in [browser, colleague] * 8]
    assert all(page.count("Works") == 2 for page in pages)
    assert (microsoft.count("me"), microsoft.count("token")) == (1, 1)
    with time_machine.travel(now + timedelta(seconds=31)):
        press(colleague, connection)
    assert (microsoft.count("me"), microsoft.count("token")) == (2, 2)


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (429, error(90055), "asks to wait"),
        (503, "<html>", "does not answer"),
        (400, error(65001, suberror="consent_required"), "A permission was never granted"),
        (400, error(50173, suberror="bad_token"), "The access was revoked"),
    ],
)
def test_failure_is_shared_as_well(
    browser: Browser,
    colleague: Browser,
    connection: AppConnection,
    microsoft: Microsoft,
    status: int,
    body: Any,
    words: str,
) -> None:
    microsoft.fail("token", status, body, **{"Retry-After": "1"})
    now = timezone.now()
    for seconds in (0, 1, 5, 29):
        with time_machine.travel(now + timedelta(seconds=seconds), tick=False):
            for person in (browser, colleague):
                page = press(person, connection)
                assert (page.count("Works"), page.count("Failed")) == (1, 1)
                assert words in page
    assert (microsoft.count("me"), microsoft.count("token")) == (1, 1)


def test_result_of_a_test_that_runs_in_another_process_is_waited_for(
    connection: AppConnection, microsoft: Microsoft
) -> None:
    rows = AccessToken.objects.filter(connection=connection)
    rows.update(tested_at=timezone.now(), test_problem="running")
    seen: list[str] = []

    def end_the_test(execute: Any, sql: str, *rest: Any) -> Any:
        if sql.startswith("SELECT") and '"test_problem"' in sql:
            seen.append(sql)
            if len(seen) == 2:
                rows.update(test_problem="graph_refused", test_correlation_id=CORRELATION)
        return execute(sql, *rest)

    with database.execute_wrapper(end_the_test):
        results = probe(connection)
    assert {result.reason for result in results} == {"Microsoft Graph refused the access"}
    assert {result.correlation_id for result in results} == {CORRELATION}
    assert microsoft.requests == []


def test_result_of_a_process_that_died_is_not_waited_for_long(
    connection: AppConnection, microsoft: Microsoft, settings: Any
) -> None:
    settings.INFISICAL_AZURE = {**settings.INFISICAL_AZURE, "TOTAL_TIMEOUT": 0.1}
    AccessToken.objects.update(tested_at=timezone.now(), test_problem="running")
    microsoft.override["me"] = (200, {}, {"id": "x"})
    assert [result.reason for result in probe(connection)] == ["", ""]


def test_connection_that_holds_no_token_is_tested_all_the_same(
    connection: AppConnection, microsoft: Microsoft
) -> None:
    AccessToken.objects.all().delete()
    assert [result.reason for result in probe(connection)] == [""]
    assert (microsoft.count("token"), microsoft.count("me")) == (1, 1)


def test_threads_that_test_at_once_make_one_test(
    committed: None, browser: Browser, microsoft: Microsoft
) -> None:
    browser.connect()
    connection = AppConnection.objects.get()
    tokens.get_token(connection, Resource.KEY_VAULT)
    microsoft.requests.clear()

    def test(_: int) -> list[str]:
        try:
            return [result.reason for result in probe(connection)]
        finally:
            connections.close_all()

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(test, range(12))) == [["", ""]] * 12
    assert (microsoft.count("me"), microsoft.count("token")) == (1, 1)


# A loop


def test_api_that_rejects_every_token_makes_no_loop_of_refreshes(
    connection: AppConnection, microsoft: Microsoft
) -> None:
    microsoft.fail("me", 401, {"error": {"code": "InvalidAuthenticationToken"}})
    now = timezone.now()
    with time_machine.travel(now, tick=False):
        for _ in range(15):
            with pytest.raises(RemoteError):
                on_behalf_of(connection, lambda graph: graph.me())
    assert microsoft.count("token") == 1
    with time_machine.travel(now + timedelta(seconds=31)), pytest.raises(RemoteError):
        on_behalf_of(connection, lambda graph: graph.me())
    assert microsoft.count("token") == 2


@pytest.mark.parametrize("name", ["invalid_grant", "temporarily_unavailable"])
@pytest.mark.parametrize("resource", list(Resource))
def test_loop_that_entra_sees_is_a_throttle_that_passes_by_itself(
    connection: AppConnection, microsoft: Microsoft, resource: str, name: str
) -> None:
    microsoft.fail("token", 400, error(50196, name))
    expire()
    with pytest.raises(TokenUnavailableError) as caught:
        tokens.get_token(connection, resource)
    assert (caught.value.reaction, caught.value.problem) == (Reaction.RETRY, "throttled")
    connection.refresh_from_db()
    assert not connection.is_broken
    assert RefreshToken.objects.get().revoked_at is None
    with later(minutes=4), pytest.raises(TokenUnavailableError):
        tokens.get_token(connection, resource)
    assert microsoft.count("token") == 1
    del microsoft.override["token"]
    with later(minutes=6):
        assert tokens.get_token(connection, resource).reveal()
    connection.refresh_from_db()
    assert connection.status == "ready"


def test_loop_in_the_answer_of_a_sign_in_is_a_throttle(
    browser: Browser, microsoft: Microsoft
) -> None:
    answer = {"error": "invalid_grant", "error_description": "AADSTS50196: A client loop."}
    assert browser.problem(browser.come_back(browser.begin().sent, **answer)) == "throttled"
