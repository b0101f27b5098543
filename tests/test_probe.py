"""Testing a connection calls everything that it has."""

from __future__ import annotations

import pytest

from infisical_azure import tokens
from infisical_azure.models import AppConnection
from infisical_azure.resources import Resource

from .conftest import Browser
from .held_tokens import expire
from .microsoft import CORRELATION, TENANT, Microsoft, error

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
