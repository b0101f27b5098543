"""The settings pages: who sees what, and what they offer."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError
from django.db import connection as database
from django.db.models import Model
from django.test import Client
from django.urls import reverse

from infisical_azure.models import AppConnection, Authorization, HistoryEntry, RefreshToken
from infisical_azure.signals import connection_removed

from .conftest import Browser
from .database import meanwhile
from .hostapp.host import add_member
from .microsoft import OTHER_TENANT, TENANT

pytestmark = pytest.mark.django_db
LOOKS_FOR_NAME = 'SELECT %s AS "a" FROM "infisical_azure_appconnection"'


@pytest.fixture
def connection(organization: Model) -> AppConnection:
    return AppConnection.objects.create(
        organization=organization,
        name="production",
        description="For the toys",
        cloud="public",
        status="ready",
        tenant_id=TENANT,
        tenant_name="Contoso",
        account_object_id=TENANT,
    )


# Who may


@pytest.mark.parametrize("key", ["0", "x", "ffffffff-ffff-ffff-ffff-ffffffffffff"])
def test_organization_that_does_not_exist_is_not_found(browser: Browser, key: str) -> None:
    url = reverse("infisical_azure:connection_list", args=[key])
    assert browser.get(url).status_code == 404


def test_tab_is_shown_to_those_who_may_view(organization: Model) -> None:
    client = Client()
    for name, actions, shown in (("max", "add", False), ("vera", "view", True)):
        person = User.objects.create_user(name)
        add_member(organization, person, actions)
        client.force_login(person)
        page = client.get(f"/bar/{organization.pk}/").content.decode()
        assert ("App Connections" in page) is shown
        assert "aria-current" not in page


def test_pages_must_not_be_cached(browser: Browser) -> None:
    assert "no-store" in browser.get(browser.url("connection_list"))["Cache-Control"]


# The list


def test_empty_list_says_what_a_connection_is_for(browser: Browser) -> None:
    page = browser.get(browser.url("connection_list")).content.decode()
    assert "No connections yet" in page
    assert "issue, watch and rotate their client secrets" in page
    assert page.count("Add connection") == 1


def test_empty_list_says_who_can_begin(organization: Model) -> None:
    viewer = User.objects.create_user("vera")
    add_member(organization, viewer, "view")
    browser = Browser(viewer, organization)
    page = browser.get(browser.url("connection_list")).content.decode()
    assert "right to add connections" in page


def test_list_shows_what_matters_of_each_connection(browser: Browser) -> None:
    browser.connect(description="For the <toys>")
    page = browser.get(browser.url("connection_list")).content.decode()
    for text in (
        "production", "For the &lt;toys&gt;", "Contoso", "contoso.com", "Ada Admin",
        "ada@contoso.com", "by ada", "Ready",
    ):  # fmt: skip
        assert text in page
    assert "infisical-azure-new" not in page


def test_list_falls_back_to_ids(browser: Browser, connection: AppConnection) -> None:
    AppConnection.objects.update(tenant_name="", connected_by=None)
    page = browser.get(browser.url("connection_list")).content.decode()
    assert page.count(TENANT) == 2


def test_cloud_is_shown_when_there_are_several(
    browser: Browser, connection: AppConnection, settings: Any
) -> None:
    settings.INFISICAL_AZURE = {
        **settings.INFISICAL_AZURE,
        "CLOUDS": ["public", "china"],
    }
    AppConnection.objects.update(cloud="china")
    for name, args in (("connection_list", []), ("connection_detail", [connection.pk])):
        assert "Azure China (21Vianet)" in browser.get(browser.url(name, *args)).content.decode()
    AppConnection.objects.update(cloud="closed-down")
    assert "closed-down" in browser.get(browser.url("connection_list")).content.decode()


def test_long_list_has_pages(browser: Browser) -> None:
    AppConnection.objects.bulk_create(
        AppConnection(
            organization=browser.organization,
            name=f"c-{number:03}",
            tenant_id=TENANT,
            account_object_id=TENANT,
        )
        for number in range(101)
    )
    url = browser.url("connection_list")
    first, second, third = (browser.get(url, {"page": n}).content.decode() for n in (1, 2, 3))
    assert "c-000" in first
    assert "c-050" not in first
    assert "Previous page" not in first
    assert 'href="?page=2"' in first
    assert "c-050" in second
    assert 'href="?page=1"' in second
    assert "c-100" in third
    assert "Next page" not in third
    assert browser.get(url, {"page": 4}).status_code == 404
    for nonsense in ("0", "-1", "x", "9" * 50, "²"):
        assert "c-000" in browser.get(url, {"page": nonsense}).content.decode()


# Adding


def test_options_lead_to_the_azure_form(browser: Browser) -> None:
    page = browser.get(browser.url("connection_options")).content.decode()
    assert "Azure Client Secrets" in page
    assert f'href="{browser.url("azure_connection_add")}"' in page


def test_form_with_errors_is_shown_again_with_what_was_typed(browser: Browser) -> None:
    response = browser.begin(name="Not A Slug", description="kept")
    page = response.content.decode()
    assert response.status_code == 200
    assert "Please correct this first" in page
    assert 'value="Not A Slug"' in page
    assert "kept" in page
    assert not Authorization.objects.exists()


def test_form_is_answered_with_a_page_that_goes_on_by_itself(browser: Browser) -> None:
    response = browser.begin()
    page = response.content.decode()
    escaped = response.location.replace("&", "&amp;")
    assert f'<meta http-equiv="refresh" content="0; url={escaped}">' in page
    assert f'href="{escaped}"' in page
    assert response.status_code == 200


@pytest.mark.parametrize(
    "name",
    ["INF_APP_CONNECTION_AZURE_CLIENT_ID", "INF_APP_CONNECTION_AZURE_CLIENT_SECRET", "SITE_URL",
     "FERNET_KEYS"],
)  # fmt: skip
def test_form_says_what_the_operator_must_set_and_can_not_be_sent(
    browser: Browser, settings: Any, name: str
) -> None:
    setattr(settings, name, [] if name == "FERNET_KEYS" else "")
    page = browser.get(browser.url("azure_connection_add")).content.decode()
    assert f"<code>{name}</code>" in page
    assert " disabled>Connect to Azure" in page
    assert browser.begin().location == ""
    assert not Authorization.objects.exists()
    assert browser.get(browser.url("connection_list")).status_code == 200


def test_redirect_uri_is_the_settings_whatever_the_host_header_says(browser: Browser) -> None:
    form = {"name": "production", "tenant": TENANT, "method": "oauth"}
    response = browser.post(
        browser.url("azure_connection_add"),
        form,
        headers={"host": "localhost", "x-forwarded-host": "evil.example"},
    )
    assert "redirect_uri=https%3A%2F%2Fsite.example%2Forg" in response.content.decode()
    assert "evil.example" not in response.content.decode()


def test_no_request_parameter_reaches_the_authorize_url(browser: Browser) -> None:
    plain = set(browser.begin().sent)
    crowded = browser.begin(
        name="other", prompt="none", scope="everything", redirect_uri="https://evil.example"
    )
    assert set(crowded.sent) == plain
    assert crowded.sent["prompt"] == "select_account"
    assert "evil" not in crowded.location


# Changing and removing


def test_name_and_description_can_be_changed(browser: Browser, connection: AppConnection) -> None:
    url = browser.url("connection_edit", connection.pk)
    assert 'value="production"' in browser.get(url).content.decode()
    response = browser.post(url, {"name": "renamed", "description": ""}, follow=True)
    page = response.content.decode()
    assert "<h1>renamed</h1>" in page
    assert "The changes to renamed are saved." in page
    connection.refresh_from_db()
    assert (connection.name, connection.description) == ("renamed", "")
    assert connection.tenant_id == uuid.UUID(TENANT)


def test_change_with_errors_keeps_the_saved_name_in_the_heading(
    browser: Browser, connection: AppConnection
) -> None:
    url = browser.url("connection_edit", connection.pk)
    page = browser.post(url, {"name": "Not A Slug"}).content.decode()
    assert "Edit production" in page
    assert 'value="Not A Slug"' in page
    connection.refresh_from_db()
    assert connection.name == "production"


def test_name_taken_since_the_form_looked(browser: Browser, connection: AppConnection) -> None:
    def take(execute: Any, sql: str, *args: Any) -> Any:
        if sql.startswith('UPDATE "infisical_azure_appconnection"'):
            raise IntegrityError
        return execute(sql, *args)

    url = browser.url("connection_edit", connection.pk)
    with database.execute_wrapper(take):
        page = browser.post(url, {"name": "renamed"}).content.decode()
    assert "already has a connection named “renamed”" in page


def test_edit_keeps_what_a_reconnect_has_saved_meanwhile(
    browser: Browser, connection: AppConnection
) -> None:
    def reconnect() -> None:
        AppConnection.objects.update(tenant_id=OTHER_TENANT, status="needs-reconnect", claims="{}")

    url = browser.url("connection_edit", connection.pk)
    with meanwhile(LOOKS_FOR_NAME, reconnect):
        assert browser.post(url, {"name": "renamed"}).status_code == 302
    connection.refresh_from_db()
    assert connection.name == "renamed"
    assert (str(connection.tenant_id), connection.status, connection.claims) == (
        OTHER_TENANT, "needs-reconnect", "{}",
    )  # fmt: skip


def test_edit_does_not_bring_a_removed_connection_back(
    browser: Browser, connection: AppConnection
) -> None:
    url = browser.url("connection_edit", connection.pk)
    with meanwhile(LOOKS_FOR_NAME, AppConnection.objects.all().delete):
        assert browser.post(url, {"name": "renamed"}).status_code == 404
    assert not AppConnection.objects.exists()
    assert not HistoryEntry.objects.filter(act="connection-edited").exists()


def test_removing_asks_for_the_name(browser: Browser, connection: AppConnection) -> None:
    url = browser.url("connection_remove", connection.pk)
    assert "Remove production?" in browser.get(url).content.decode()
    page = browser.post(url, {"name": "productive"}).content.decode()
    assert "That is not the name. Type production." in page
    assert AppConnection.objects.exists()


def test_removing_deletes_every_token_and_tells(
    browser: Browser, django_capture_on_commit_callbacks: Any
) -> None:
    browser.connect()
    connection = AppConnection.objects.get()
    heard = []

    def hear(sender: type, **news: Any) -> None:
        heard.append((news["connection"].pk, news["connection"].name))

    connection_removed.connect(hear)
    try:
        with django_capture_on_commit_callbacks(execute=True):
            response = browser.post(
                browser.url("connection_remove", connection.pk), {"name": " production "}
            )
    finally:
        connection_removed.disconnect(hear)
    assert heard == [(connection.pk, "production")]
    page = browser.get(response["Location"]).content.decode()
    assert "The connection production is removed." in page
    assert not AppConnection.objects.exists()
    assert not connection.access_tokens.exists()
    assert not RefreshToken.objects.exists()


def test_deleting_an_organization_deletes_its_connections(browser: Browser) -> None:
    browser.connect()
    browser.begin(name="pending")
    browser.organization.delete()
    assert not AppConnection.objects.exists()
    assert not Authorization.objects.exists()


def test_connection_outlives_the_person_who_made_it(browser: Browser) -> None:
    browser.connect()
    browser.user.delete()
    assert AppConnection.objects.get().connected_by is None
