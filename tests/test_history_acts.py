"""Which acts the history tells of, by whom, and how they went."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, OperationalError
from django.db import connection as database
from django.test import Client
from django.urls import reverse

from infisical_azure import tokens
from infisical_azure.exceptions import TokenUnavailableError
from infisical_azure.models import AppConnection, HistoryEntry, RefreshToken

from .conftest import Browser
from .microsoft import CORRELATION, Microsoft, error
from .test_reconnect import reconnect

pytestmark = pytest.mark.django_db


def told(*names: str, **facts: Any) -> list[tuple[str, ...]]:
    """Return act, outcome, person and these columns of each entry, the oldest first."""
    columns = ("act", "outcome", "actor", *names)
    return list(HistoryEntry.objects.filter(**facts).order_by("pk").values_list(*columns))


@contextmanager
def failing(beginning: str, failure: Exception) -> Iterator[None]:
    """Let the database refuse a statement that begins so."""

    def refuse(execute: Any, sql: str, *args: Any) -> Any:
        if sql.startswith(beginning):
            raise failure
        return execute(sql, *args)

    with database.execute_wrapper(refuse):
        yield


# Connections


def test_connection_is_added_edited_reconnected_tested_and_removed(
    browser: Browser, microsoft: Microsoft
) -> None:
    browser.connect()
    made = AppConnection.objects.get()
    url = browser.url("connection_edit", made.pk)
    browser.post(url, {"name": "production", "description": ""})
    browser.post(url, {"name": "renamed", "description": ""})
    browser.post(url, {"name": "renamed", "description": "For the toys"})
    reconnect(browser, made)
    browser.post(browser.url("connection_test", made.pk))
    microsoft.fail("me", 503, {}, **{"request-id": CORRELATION})
    browser.post(browser.url("connection_test", made.pk))
    browser.post(browser.url("connection_remove", made.pk), {"name": "renamed"})
    assert not AppConnection.objects.exists()
    assert told("connection_name", "name", "correlation_id", connection_id=made.pk) == [
        ("connection-added", "done", "ada", "production", "", ""),
        ("connection-edited", "done", "ada", "renamed", "production", ""),
        ("connection-edited", "done", "ada", "renamed", "", ""),
        ("connection-reconnected", "done", "ada", "renamed", "", ""),
        ("connection-tested", "done", "ada", "renamed", "", ""),
        ("connection-tested", "failed", "ada", "renamed", "", CORRELATION),
        ("connection-removed", "done", "ada", "renamed", "", ""),
    ]


def test_connection_that_could_not_be_saved_was_not_added(browser: Browser) -> None:
    sent = browser.begin().sent
    with failing('INSERT INTO "infisical_azure_refreshtoken"', OperationalError()):
        browser.come_back(sent)
    assert told("problem", "connection_name") == [
        ("signed-in", "failed", "ada", "storage_failed", "production")
    ]


def test_edit_that_could_not_be_saved_is_not_told_of(
    browser: Browser, connection: AppConnection
) -> None:
    with failing('UPDATE "infisical_azure_appconnection"', IntegrityError()):
        browser.post(browser.url("connection_edit", connection.pk), {"name": "renamed"})
    assert told() == [("connection-added", "done", "ada")]


def test_sign_in_that_failed(browser: Browser, microsoft: Microsoft) -> None:
    browser.come_back(browser.begin().sent, error="access_denied", error_subcode="cancel")
    microsoft.fail("token", 400, error(65001, suberror="consent_required"))
    browser.connect(name="second")
    organization_id = str(browser.organization.pk)
    expected = [
        ("signed-in", "failed", "ada", "cancelled", "", "production"),
        ("signed-in", "failed", "ada", "admin_approval_needed", CORRELATION, "second"),
    ]
    columns = ("problem", "correlation_id", "connection_name")
    assert told(*columns, organization_id=organization_id) == expected


def test_answer_that_belongs_to_nobody_is_not_told_of(browser: Browser) -> None:
    browser.come_back({"state": "made up"})
    assert told() == []


def test_sign_in_again_that_failed_is_told_of_at_the_connection(
    browser: Browser, connection: AppConnection, microsoft: Microsoft
) -> None:
    microsoft.fail("token", 400, error(54005))
    reconnect(browser, connection)
    assert told("problem", connection_id=connection.pk)[1:] == [
        ("signed-in", "failed", "ada", "code_rejected")
    ]


def test_connection_breaks_once_and_works_again(
    connection: AppConnection, microsoft: Microsoft
) -> None:
    def ask() -> None:
        RefreshToken.objects.update(revoked_at=None, next_try_at=None)
        connection.access_tokens.all().delete()
        tokens.get_token(connection)

    for number, name in ((50173, "invalid_grant"), (50173, "invalid_grant"),
                         (50133, "invalid_grant"), (7000222, "invalid_client")):  # fmt: skip
        microsoft.fail("token", 400, error(number, name))
        with pytest.raises(TokenUnavailableError):
            ask()
    del microsoft.override["token"]
    ask()
    assert told("problem", "correlation_id", connection_id=connection.pk)[1:] == [
        ("connection-broken", "failed", "", "grant_revoked", CORRELATION),
        ("connection-broken", "failed", "", "password_changed", CORRELATION),
        ("connection-broken", "failed", "", "client_secret_expired", CORRELATION),
        ("connection-recovered", "done", "", "", ""),
    ]


# Whoever deletes it


@pytest.fixture
def staff(connection: AppConnection) -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    return client


def test_staff_that_edits_in_the_admin(staff: Client, connection: AppConnection) -> None:
    url = reverse("admin:infisical_azure_appconnection_change", args=[connection.pk])
    none = {"rotations-TOTAL_FORMS": 0, "rotations-INITIAL_FORMS": 0}
    staff.post(url, {"name": "production", "description": "", **none})
    staff.post(url, {"name": "production", "description": "For the toys", **none})
    staff.post(url, {"name": "renamed", "description": "For the toys", **none})
    assert told("name")[1:] == [
        ("connection-edited", "done", "root", ""),
        ("connection-edited", "done", "root", "production"),
    ]


@pytest.mark.parametrize("how", ["page", "action"])
def test_staff_that_deletes_in_the_admin(
    staff: Client, connection: AppConnection, how: str
) -> None:
    if how == "page":
        delete = reverse("admin:infisical_azure_appconnection_delete", args=[connection.pk])
        staff.post(delete, {"post": "yes"})
    else:
        chosen = {
            "_selected_action": [str(connection.pk)], "action": "delete_selected", "post": "yes",
        }  # fmt: skip
        staff.post(reverse("admin:infisical_azure_appconnection_changelist"), chosen)
    assert told(connection_id=connection.pk)[1:] == [("connection-removed", "done", "root")]


def test_connection_that_goes_with_its_organization(
    browser: Browser, connection: AppConnection
) -> None:
    browser.organization.delete()
    assert told(connection_id=connection.pk)[1:] == [("connection-removed", "done", "")]


# Calendar links


def test_calendar_link_is_made_and_removed_once(browser: Browser) -> None:
    browser.post(browser.url("feed_add"))
    browser.post(browser.url("feed_remove"))
    browser.post(browser.url("feed_remove"))
    assert told(organization_id=str(browser.organization.pk)) == [
        ("feed-added", "done", "ada"),
        ("feed-removed", "done", "ada"),
    ]
