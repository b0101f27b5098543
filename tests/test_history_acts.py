"""Which acts the history tells of, by whom, and how they went."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, OperationalError
from django.db import connection as database
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from infisical_azure import rotation as engine
from infisical_azure import tokens, watch
from infisical_azure.exceptions import RemoteError, TokenUnavailableError
from infisical_azure.models import AppConnection, HistoryEntry, RefreshToken, Rotation
from infisical_azure.removal import remove_all

from .conftest import Browser
from .held_tokens import expire
from .microsoft import (
    APPLICATION,
    CORRELATION,
    KEY_ID,
    NEW_KEY,
    Microsoft,
    application,
    error,
)
from .rotations import Azure, act, advance, later, refer, url
from .test_reconnect import reconnect
from .test_rotation_pages import FORM

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("hooks")]


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
    with later(minutes=1):
        browser.post(browser.url("connection_test", made.pk))
    browser.post(browser.url("connection_remove", made.pk), {"name": "renamed"})
    assert not AppConnection.objects.exists()
    assert told("connection_name", "name", "problem", connection_id=made.pk) == [
        ("connection-added", "done", "ada", "production", "", ""),
        ("connection-edited", "done", "ada", "renamed", "production", ""),
        ("connection-edited", "done", "ada", "renamed", "", ""),
        ("connection-reconnected", "done", "ada", "renamed", "", ""),
        ("connection-tested", "done", "ada", "renamed", "", ""),
        ("connection-tested", "failed", "ada", "renamed", "", "microsoft_unavailable"),
        ("connection-removed", "done", "ada", "renamed", "", ""),
    ]
    assert HistoryEntry.objects.get(outcome="failed").correlation_id == CORRELATION


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


# Client secrets that people issue and remove


def test_client_secret_is_told_of_before_microsoft_is_asked_and_after(
    browser: Browser, connection: AppConnection, microsoft: Microsoft
) -> None:
    def told_so_far() -> list[str]:
        attempts = HistoryEntry.objects.filter(act="secret-removed").order_by("pk")
        return list(attempts.values_list("outcome", flat=True))

    remove = browser.url("secret_remove", connection.pk, APPLICATION, KEY_ID)
    refused = {"error": {"code": "Authorization_RequestDenied"}}
    microsoft.fail("remove_password", 403, refused, **{"request-id": CORRELATION})
    asked: list[list[str]] = []
    microsoft.before["remove_password"] = lambda: asked.append(told_so_far())
    browser.post(remove, {"name": "ci"})
    microsoft.fail("remove_password", 204, "")
    browser.post(remove, {"name": "ci"})
    assert asked == [["begun"], ["begun", "failed", "begun"]]
    columns = ("name", "application_name", "problem", "correlation_id")
    assert told(*columns, act="secret-removed") == [
        ("secret-removed", "begun", "ada", "ci", "Payroll Export", "", ""),
        ("secret-removed", "failed", "ada", "ci", "Payroll Export", refused["error"]["code"],
         CORRELATION),
        ("secret-removed", "begun", "ada", "ci", "Payroll Export", "", ""),
        ("secret-removed", "done", "ada", "ci", "Payroll Export", "", ""),
    ]  # fmt: skip
    entries = HistoryEntry.objects.filter(act="secret-removed").order_by("pk")
    first, again, second, last = (entry.attempt for entry in entries)
    assert first == again != second == last
    assert {(str(entry.key_id), str(entry.application_id)) for entry in entries} == {
        (KEY_ID, APPLICATION)
    }


def test_client_secret_that_is_issued_has_its_key_once_it_is_known(
    browser: Browser, connection: AppConnection
) -> None:
    form = {"attempt": str(uuid.uuid4()), "name": "build server", "lifetime": "180"}
    browser.post(browser.url("secret_add", connection.pk, APPLICATION), form)
    key = uuid.UUID(NEW_KEY)
    assert told("key_id", "name", act__startswith="secret-") == [
        ("secret-issued", "begun", "ada", None, "build server"),
        ("secret-issued", "done", "ada", key, "build server"),
        ("secret-shown", "done", "ada", key, "build server"),
    ]


# Rotations


def told_of(rotation: Rotation, *names: str) -> list[tuple[Any, ...]]:
    """Return what is told of a rotation since it was set up."""
    return told(*names, rotation_id=rotation.pk)


def test_rotation_with_its_destinations_from_setting_up_to_its_end(
    browser: Browser, connection: AppConnection, azure: Azure
) -> None:
    browser.post(browser.url("rotation_add", connection.pk, APPLICATION), FORM)
    made = Rotation.objects.get()
    for wish in ("pause", "resume"):
        act(browser, made, wish)
    browser.post(url(browser, made, "rotation_edit"), FORM | {"interval": "90"})
    browser.post(url(browser, made, "destination_add"), FORM | {"name": "second"})
    second = made.destinations.get(name="second")
    remove = browser.url("destination_remove", connection.pk, made.pk, second.pk)
    browser.post(remove)
    browser.post(url(browser, made, "rotation_remove"), {"name": str(made)})
    assert not Rotation.objects.exists()
    expected = [
        ("rotation-added", "done", "ada", ""),
        ("destination-added", "done", "ada", "team / hr-secret"),
        ("secret-issued", "done", "ada", "rotation"),
        ("secret-delivered", "done", "", "team / hr-secret"),
        ("secret-rotated", "done", "ada", "rotation"),
        ("rotation-paused", "done", "ada", ""),
        ("rotation-resumed", "done", "ada", ""),
        ("rotation-edited", "done", "ada", ""),
        ("destination-added", "done", "ada", "team / second"),
        ("destination-removed", "done", "ada", "team / second"),
        ("rotation-ended", "done", "ada", ""),
    ]
    found = told("name", rotation_id=made.pk)
    assert [(*rest, name.split(" ", 1)[0] if name.startswith("rotation ") else name)
            for *rest, name in found] == expected  # fmt: skip
    keys = HistoryEntry.objects.filter(act__startswith="secret-").values_list("key_id", flat=True)
    assert {str(key) for key in keys} == {azure.ours[0]}
    ids = HistoryEntry.objects.filter(act__startswith="destination-")
    assert ids.values("destination_id").distinct().count() == 2


def test_second_rotation_of_an_application_was_not_set_up(
    browser: Browser, connection: AppConnection, azure: Azure
) -> None:
    for _ in range(2):
        browser.post(browser.url("rotation_add", connection.pk, APPLICATION), FORM)
    assert len(told(act="rotation-added")) == 1


def test_reference_that_goes_with_what_it_refers_to_is_told_of(
    browser: Browser, rotation: Rotation
) -> None:
    vault = rotation.destinations.get()
    rotation.destinations.create(kind="hook", place="vaulty", name="jobs")
    refer(rotation)
    remove = browser.url("destination_remove", rotation.connection_id, rotation.pk, vault.pk)
    browser.post(remove)
    assert told_of(rotation, "name") == [
        ("destination-removed", "done", "ada", "team / hr-secret"),
        ("destination-removed", "done", "ada", "team-store / hr:secret (production)"),
    ]


def test_destination_is_removed_once(browser: Browser, rotation: Rotation) -> None:
    rotation.destinations.create(kind="hook", place="vaulty", name="jobs")
    clicks = [rotation.destinations.get(kind="hook") for _ in range(2)]
    assert all(engine.remove_destination(row, browser.user) for row in clicks)
    assert told_of(rotation, "name") == [("destination-removed", "done", "ada", "vaulty / jobs")]


def test_last_destination_was_not_removed(browser: Browser, rotation: Rotation) -> None:
    last = rotation.destinations.get()
    browser.post(browser.url("destination_remove", rotation.connection_id, rotation.pk, last.pk))
    assert told_of(rotation) == []


def test_person_is_told_of_who_wanted_it_now_and_nobody_where_the_interval_did(
    browser: Browser, rotation: Rotation, azure: Azure
) -> None:
    advance(rotation)
    (first,) = azure.ours
    act(browser, rotation, "rotate")
    with later(days=3):
        advance(rotation)
    assert told_of(rotation) == [
        ("secret-issued", "done", ""),
        ("secret-delivered", "done", ""),
        ("secret-rotated", "done", ""),
        ("rotation-requested", "done", "ada"),
        ("secret-issued", "done", "ada"),
        ("secret-delivered", "done", ""),
        ("secret-rotated", "done", "ada"),
        ("secret-removed", "done", ""),
    ]
    assert str(HistoryEntry.objects.get(act="secret-removed").key_id) == first


def test_failure_that_lasts_is_told_of_once_until_something_changes(
    browser: Browser, rotation: Rotation, azure: Azure, microsoft: Microsoft
) -> None:
    rotation.destinations.create(kind="hook", place="vaulty", name="broken")
    forbidden = {"error": {"code": "Forbidden", "innererror": {"code": "ForbiddenByRbac"}}}
    microsoft.fail("vault_set", 403, forbidden)
    advance(rotation, "failed")
    issued, *failures = told_of(rotation, "problem", "name")
    assert issued[0] == "secret-issued"
    assert failures == [
        ("secret-delivered", "failed", "", "DeliveryError", "vaulty / broken"),
        ("secret-delivered", "failed", "", "ForbiddenByRbac", "team / hr-secret"),
        ("rotation-failed", "failed", "", "delivery_failed", ""),
    ]
    for hours in (1, 2, 3):
        with later(hours=hours):
            advance(rotation, "failed")
    assert len(told_of(rotation)) == 4
    with later(hours=4):
        act(browser, rotation, "rotate")
    assert told_of(rotation)[4:] == [
        ("rotation-requested", "done", "ada"), *[failure[:3] for failure in failures]
    ]  # fmt: skip
    with later(hours=5):
        microsoft.fail("vault_set", 503, {})
        advance(rotation, "failed")
        assert told_of(rotation, "problem")[8:] == [
            ("secret-delivered", "failed", "", "no_usable_answer"),
        ]
        rotation.destinations.filter(name="broken").update(name="mended")
        advance(rotation, "failed")
        del microsoft.override["vault_set"]
    with later(hours=7):
        advance(rotation)
    assert [entry[:2] for entry in told_of(rotation)[-3:]] == [
        ("secret-delivered", "done"), ("secret-rotated", "done"), ("rotation-recovered", "done")
    ]  # fmt: skip


def test_lost_answer_is_told_of_as_uncertain(
    rotation: Rotation, azure: Azure, microsoft: Microsoft
) -> None:
    microsoft.fail("add_password", 504, {})
    advance(rotation, "failed")
    with later(minutes=5):
        advance(rotation, "failed")
    assert told_of(rotation) == [
        ("secret-issued", "uncertain", ""), ("rotation-failed", "failed", "")
    ]  # fmt: skip
    (marker,) = HistoryEntry.objects.filter(act="secret-issued").values_list("name", flat=True)
    assert marker == rotation.secrets.get().marker


def test_application_that_is_gone_pauses_its_rotation(
    rotation: Rotation, azure: Azure, microsoft: Microsoft
) -> None:
    microsoft.fail("add_password", 404, {"error": {"code": "Request_ResourceNotFound"}})
    advance(rotation, "failed")
    with later(hours=1):
        advance(rotation, "failed")
    assert told_of(rotation, "problem") == [
        ("rotation-failed", "failed", "", "Request_ResourceNotFound"),
        ("rotation-paused", "done", "", ""),
    ]


def test_removing_a_connection_tells_of_its_rotations(
    browser: Browser, rotation: Rotation, azure: Azure, microsoft: Microsoft
) -> None:
    microsoft.proofs = [7000215]
    advance(rotation, "waiting")
    remove = browser.url("connection_remove", rotation.connection_id)
    browser.post(remove, {"name": "production"})
    assert told_of(rotation)[1:] == [("rotation-paused", "done", "ada")]
    with later(minutes=2):
        browser.post(remove, {"name": "production"})
    assert told(connection_id=rotation.connection_id)[3:] == [
        ("secret-removed", "done", ""),
        ("rotation-ended", "done", "ada"),
        ("connection-removed", "done", "ada"),
    ]


def test_rotation_that_is_worked_on_is_paused_by_who_wants_to_end_it(
    browser: Browser, rotation: Rotation
) -> None:
    assert Rotation.objects.claim(rotation, timedelta(minutes=1))
    browser.post(url(browser, rotation, "rotation_remove"), {"name": str(rotation)})
    assert told_of(rotation) == [("rotation-paused", "done", "ada")]


def test_rotation_that_could_not_be_ended_is_told_of(
    browser: Browser, rotation: Rotation, azure: Azure, microsoft: Microsoft
) -> None:
    microsoft.proofs = [7000215]
    advance(rotation, "waiting")
    refused = {"error": {"code": "Authorization_RequestDenied"}}
    microsoft.fail("remove_password", 403, refused, **{"request-id": CORRELATION})
    with later(minutes=2):
        for _ in range(2):
            browser.post(url(browser, rotation, "rotation_remove"), {"name": str(rotation)})
        with pytest.raises(RemoteError):
            engine.end(rotation.pk)
    why = (refused["error"]["code"], CORRELATION)
    assert told_of(rotation, "problem", "correlation_id")[1:] == [
        ("secret-removed", "failed", "", *why),
        ("rotation-ended", "failed", "ada", *why),
        ("rotation-ended", "failed", "", *why),
    ]


@pytest.mark.parametrize(("status", "outcome"), [(403, "failed"), (503, "uncertain")])
def test_client_secret_that_could_not_be_removed_is_told_of_once(
    rotation: Rotation, azure: Azure, microsoft: Microsoft, status: int, outcome: str
) -> None:
    advance(rotation)
    with later(days=30, minutes=1):
        advance(rotation)
    key = uuid.UUID(azure.ours[0])
    microsoft.fail("remove_password", status, {"error": {"code": "Odd"}})
    for hours in (1, 3):
        with later(days=32, hours=hours):
            advance(rotation, "failed")
    microsoft.fail("remove_password", 204, "")
    with later(days=32, hours=5):
        advance(rotation)
    assert told("problem", "key_id", act="secret-removed") == [
        ("secret-removed", outcome, "", "Odd", key), ("secret-removed", "done", "", "", key)
    ]  # fmt: skip


def test_client_secret_that_is_left_behind_is_told_of(
    browser: Browser, rotation: Rotation, azure: Azure, microsoft: Microsoft
) -> None:
    microsoft.proofs = [7000215]
    advance(rotation, "waiting")
    expire()
    microsoft.fail("token", 400, error(50173))
    with later(minutes=2):
        remove = browser.url("connection_remove", rotation.connection_id)
        browser.post(remove, {"name": "production"})
    assert not AppConnection.objects.exists()
    assert told("problem", "key_id", act="secret-removed") == [
        ("secret-removed", "failed", "", "grant_revoked", uuid.UUID(azure.ours[0]))
    ]


def test_rotation_that_is_gone_is_not_told_of(browser: Browser, rotation: Rotation) -> None:
    Rotation.objects.all().delete()
    engine.resume(rotation, browser.user)
    assert told_of(rotation) == []


# What a watch finds


def test_client_secret_that_is_gone_is_told_of_once_if_it_was_issued_here(
    rotation: Rotation, azure: Azure, microsoft: Microsoft
) -> None:
    def read(*secrets: dict[str, Any]) -> None:
        microsoft.applications = {"value": [application("HR", *secrets)]}
        assert watch.watch(rotation.connection).watched

    advance(rotation)
    with later(days=30, minutes=1):
        advance(rotation)
        others, first, second = azure.secrets
        read(others, first, second)
        read(first, second)
        assert told(act="secret-gone") == []
    with later(days=32, minutes=2):
        advance(rotation)
        assert azure.ours == [second["keyId"]]
        read(second)
        assert told(act="secret-gone") == []
        read(others)
        read(second)
        read(others)
    key = uuid.UUID(second["keyId"])
    assert told("key_id", "rotation_id", "application_name", act="secret-gone") == [
        ("secret-gone", "done", "", key, rotation.pk, "HR")
    ]


def test_client_secret_of_another_directory_is_not_gone(
    rotation: Rotation, azure: Azure, microsoft: Microsoft
) -> None:
    advance(rotation)
    connection = rotation.connection
    microsoft.applications = {"value": [application("HR", *azure.secrets)]}
    assert watch.watch(connection).secrets == 2
    with later(minutes=1):
        connection.connected_at = timezone.now()
        microsoft.applications = {"value": []}
        assert watch.watch(connection).watched
    assert not connection.watched_secrets.exists()
    assert told(act="secret-gone") == []


# Calendar links


def test_calendar_link_that_ends_with_all_of_an_organization_is_told_of(
    browser: Browser,
) -> None:
    browser.post(browser.url("feed_add"))
    remove_all(browser.organization, user=browser.user)
    assert told()[1:] == [("feed-removed", "done", "ada")]


def test_calendar_link_is_made_and_removed_once(browser: Browser) -> None:
    browser.post(browser.url("feed_add"))
    browser.post(browser.url("feed_remove"))
    browser.post(browser.url("feed_remove"))
    assert told(organization_id=str(browser.organization.pk)) == [
        ("feed-added", "done", "ada"),
        ("feed-removed", "done", "ada"),
    ]
