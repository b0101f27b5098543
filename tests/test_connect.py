"""The round trip when all goes well."""

from __future__ import annotations

import base64
import hashlib
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.utils import timezone

from infisical_azure.models import AccessToken, AppConnection, Authorization, RefreshToken
from infisical_azure.signals import connection_added

from .conftest import Browser
from .microsoft import ACCESS_TOKEN, ACCOUNT, CODE, REFRESH_TOKEN, TENANT, Microsoft
from .rotations import listen

pytestmark = pytest.mark.django_db


def test_person_is_sent_to_the_typed_tenant_with_everything_that_binds_the_answer(
    browser: Browser,
) -> None:
    begun = browser.begin()
    assert begun.location.startswith(
        f"https://login.microsoftonline.com/{TENANT}/oauth2/v2.0/authorize?"
    )
    sent = begun.sent
    assert sent["response_type"] == "code"
    assert sent["client_id"] == "11111111-2222-3333-4444-555555555555"
    assert sent["redirect_uri"] == (
        "https://site.example/organization/app-connections/azure/oauth/callback"
    )
    assert sent["scope"] == "https://graph.microsoft.com/.default openid profile offline_access"
    assert sent["code_challenge_method"] == "S256"
    assert len(sent["state"]) >= 43
    assert len(sent["nonce"]) >= 43
    assert sent.keys() == {
        "response_type", "client_id", "redirect_uri", "scope", "state", "nonce",
        "code_challenge", "code_challenge_method", "response_mode", "prompt",
    }  # fmt: skip


def test_round_trip_makes_a_connection(browser: Browser, microsoft: Microsoft) -> None:
    begun = browser.begin(description="For the toys")
    response = browser.come_back(begun.sent)

    connection = AppConnection.objects.get()
    assert response.status_code == 303
    assert response["Location"] == f"{browser.url('connection_list')}?connected={connection.pk}"
    assert connection.organization == browser.organization
    assert (connection.name, connection.description) == ("production", "For the toys")
    assert connection.tenant_id == UUID(TENANT)
    assert (connection.tenant_name, connection.tenant_domain) == ("Contoso", "contoso.com")
    assert connection.account_object_id == UUID(ACCOUNT)
    assert connection.account_name == "Ada Admin"
    assert connection.account_username == "ada@contoso.com"
    assert connection.connected_by == browser.user
    assert connection.status == AppConnection.Status.READY
    assert connection.granted_scopes == [
        "Application.ReadWrite.All", "Directory.ReadWrite.All", "User.Read", "email",
        "offline_access", "openid", "profile",
    ]  # fmt: skip

    access = AccessToken.objects.get()
    assert access.secret.reveal() == ACCESS_TOKEN
    assert access.resource == "https://graph.microsoft.com"
    lifetime = access.expires_at - timezone.now()
    assert timedelta(seconds=4400) < lifetime <= timedelta(seconds=4432)
    assert RefreshToken.objects.get().secret.reveal() == REFRESH_TOKEN


def test_token_request_redeems_the_code_with_verifier_and_secret_in_the_body(
    browser: Browser, microsoft: Microsoft
) -> None:
    sent = browser.begin().sent
    browser.come_back(sent)
    form = microsoft.form()
    challenge = hashlib.sha256(form.pop("code_verifier").encode()).digest()
    assert base64.urlsafe_b64encode(challenge).decode().rstrip("=") == sent["code_challenge"]
    assert form == {
        "grant_type": "authorization_code",
        "client_id": "11111111-2222-3333-4444-555555555555",
        "client_secret": "CANARY~client.secret-8Q",
        "code": CODE,
        "redirect_uri": sent["redirect_uri"],
        "scope": sent["scope"],
    }
    (request,) = [request for kind, request in microsoft.requests if kind == "token"]
    assert "?" not in request.url
    assert "Authorization" not in request.headers


def test_list_welcomes_the_new_connection_and_marks_its_row(browser: Browser) -> None:
    browser.connect(name="older")
    page = browser.get(browser.connect()["Location"]).content.decode()
    assert "Azure connection production is ready." in page
    assert page.count('class="infisical-azure-new"') == 1
    row = page.split('class="infisical-azure-new"')[1].split("</tr>")[0]
    assert "production" in row
    assert "older" not in row


def test_connection_added_is_sent_after_the_commit(
    browser: Browser, django_capture_on_commit_callbacks: object
) -> None:
    heard = []

    def hear(sender: type, **news: object) -> None:
        heard.append((sender, news["connection"], news["user"]))

    connection_added.connect(hear)
    try:
        with django_capture_on_commit_callbacks(execute=True):  # type: ignore[operator]
            browser.connect()
    finally:
        connection_added.disconnect(hear)
    assert heard == [(AppConnection, AppConnection.objects.get(), browser.user)]


def test_connection_added_is_not_sent_before_the_commit(
    browser: Browser, django_capture_on_commit_callbacks: Any
) -> None:
    heard = listen(connection_added)
    with django_capture_on_commit_callbacks():
        browser.connect()
    assert heard == []


def test_twenty_tabs_started_at_once_each_finish_their_own(
    browser: Browser, microsoft: Microsoft
) -> None:
    tabs = [browser.begin(name=f"tab-{number}").sent for number in range(20)]
    for sent in reversed(tabs):
        microsoft.nonce = sent["nonce"]
        assert browser.come_back(sent).status_code == 303
    assert sorted(AppConnection.objects.values_list("name", flat=True)) == sorted(
        f"tab-{number}" for number in range(20)
    )


def test_pending_authorizations_are_bounded_and_the_oldest_forgotten(
    browser: Browser, settings: object
) -> None:
    settings.INFISICAL_AZURE = {**settings.INFISICAL_AZURE, "MAX_PENDING_AUTHORIZATIONS": 3}  # type: ignore[attr-defined]
    begun = [browser.begin(name=f"tab-{number}").sent for number in range(5)]
    assert Authorization.objects.count() == 3
    assert browser.problem(browser.come_back(begun[0])) == "state_unrecognised"
