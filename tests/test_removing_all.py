"""An organization is deleted once all that it has here is ended."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.db import connection as database
from django.db.models import RestrictedError
from django.test import RequestFactory
from django.utils import timezone

from infisical_azure.models import (
    AccessToken,
    AppConnection,
    Authorization,
    Feed,
    HeldSecret,
    HistoryEntry,
    Rotation,
)
from infisical_azure.removal import Report, remove_all

from .conftest import Browser
from .held_tokens import expire
from .hostapp.host import add_member, make_organization
from .microsoft import Microsoft, error
from .rotations import Azure, advance, later

pytestmark = pytest.mark.django_db


def gone() -> bool:
    return not any(
        model._default_manager.exists()
        for model in (AppConnection, AccessToken, Authorization, Feed, HeldSecret, Rotation)
    )


def test_organization_with_a_rotation_is_not_deleted(browser: Browser, rotation: Rotation) -> None:
    for delete in (
        browser.organization.delete,
        type(browser.organization)._default_manager.all().delete,
    ):
        with pytest.raises(RestrictedError, match=r"removal\.remove_all\(organization\)") as caught:
            delete()
        assert caught.value.restricted_objects == {rotation}
    assert AppConnection.objects.exists()
    remove_all(browser.organization)
    browser.organization.delete()
    assert gone()


def test_admin_says_what_keeps_an_organization(browser: Browser, rotation: Rotation) -> None:
    request = RequestFactory().get("/")
    request.user = User.objects.create_superuser("root")
    site = admin.ModelAdmin(type(browser.organization), admin.site)
    *_, protected = site.get_deleted_objects([browser.organization], request)
    assert any("HR" in row for row in protected)


def test_all_that_an_organization_has_is_ended(
    browser: Browser, rotation: Rotation, azure: Azure
) -> None:
    advance(rotation)
    browser.connect(name="second")
    browser.begin(name="pending")
    Feed.objects.make(browser.organization, browser.user)
    elsewhere = make_organization("Elsewhere")
    add_member(elsewhere, browser.user)
    neighbour = Browser(browser.user, elsewhere, browser.microsoft)
    neighbour.connect()
    neighbour.begin(name="pending")
    report = remove_all(browser.organization, user=browser.user)
    assert report.is_done
    assert (report.removed, report.waiting) == (2, ())
    assert [str(secret.key_id) for secret in report.staying] == azure.ours
    assert AppConnection.objects.get().organization == elsewhere
    assert Authorization.objects.filter(name="pending").count() == 1
    entries = HistoryEntry.objects.filter(act="connection-removed")
    assert {entry.actor for entry in entries} == {"ada"}
    assert remove_all(browser.organization) == Report(removed=0, waiting=(), staying=())


def test_what_must_wait_is_told_and_ended_later(
    browser: Browser, rotation: Rotation, azure: Azure, microsoft: Microsoft
) -> None:
    browser.connect(name="second")
    microsoft.proofs = [7000215]
    advance(rotation, "waiting")
    report = remove_all(browser.organization)
    assert not report.is_done
    assert report.removed == 1
    assert report.waiting[0].startswith("production: One of its rotations is being worked on")
    assert report.staying == ()
    with later(minutes=16):
        assert remove_all(browser.organization) == Report(removed=1, waiting=(), staying=())
    assert azure.ours == []
    assert gone()


@pytest.mark.parametrize("is_answered", [True, False])
def test_what_microsoft_refuses_is_left_behind_and_told(
    browser: Browser, rotation: Rotation, azure: Azure, microsoft: Microsoft, is_answered: bool
) -> None:
    azure.loses = int(not is_answered)
    microsoft.proofs = [7000215]
    advance(rotation, "waiting" if is_answered else "failed")
    expire()
    microsoft.fail("token", 400, error(50173))
    with later(minutes=16):
        report = remove_all(browser.organization)
    assert report.is_done
    (secret,) = report.staying
    assert secret.name == azure.secrets[-1]["displayName"]
    assert secret.is_uncertain != is_answered
    assert secret.expires_at > timezone.now() + timedelta(days=80)
    assert gone()


def test_rotation_that_has_begun_nothing_leaves_nothing(
    browser: Browser, rotation: Rotation, microsoft: Microsoft
) -> None:
    rotation.secrets.create(key_id=None)
    Rotation.objects.update(sweep_at=rotation.created_at)
    expire()
    microsoft.fail("token", 400, error(50173))
    assert remove_all(browser.organization) == Report(removed=1, waiting=(), staying=())


def test_removal_that_was_killed_goes_on(
    browser: Browser, rotation: Rotation, azure: Azure
) -> None:
    browser.connect(name="second")

    def die(execute: Any, sql: str, *args: Any) -> Any:
        if sql.startswith('DELETE FROM "infisical_azure_appconnection"'):
            raise KeyboardInterrupt
        return execute(sql, *args)

    with database.execute_wrapper(die), pytest.raises(KeyboardInterrupt):
        remove_all(browser.organization)
    assert AppConnection.objects.count() == 2
    assert remove_all(browser.organization).removed == 2
    assert gone()


def test_connection_that_somebody_else_removes_meanwhile_is_not_counted(
    browser: Browser, connection: AppConnection
) -> None:
    def remove(execute: Any, sql: str, *args: Any) -> Any:
        if sql.startswith('UPDATE "infisical_azure_refreshtoken"') and AppConnection.objects.all():
            AppConnection.objects.all()._raw_delete("default")
        return execute(sql, *args)

    connection.access_tokens.all().delete()
    connection.refresh_token.delete()
    with database.execute_wrapper(remove):
        report = remove_all(browser.organization)
    assert report == Report(removed=0, waiting=(), staying=())
