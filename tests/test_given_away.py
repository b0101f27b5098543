"""A connection whose row somebody gave to another organization: nothing of it is used."""

from __future__ import annotations

from typing import Any

import pytest
from azure.core.exceptions import ClientAuthenticationError
from django.contrib.auth.models import User

from infisical_azure.models import AccessToken, AppConnection, Authorization, Rotation
from infisical_azure.secret import Secret

from .conftest import Browser
from .hostapp.host import add_member, make_organization
from .microsoft import ACCESS_TOKEN, Microsoft
from .rotations import Azure, advance

pytestmark = pytest.mark.django_db
SCOPE = "https://graph.microsoft.com/.default"


@pytest.fixture
def thief(connection: AppConnection) -> Browser:
    """A person of the organization that has the connection's row now."""
    organization = make_organization("Thieves")
    person = User.objects.create_user("thief")
    add_member(organization, person)
    AppConnection.objects.update(organization=organization)
    return Browser(person, organization)


def test_pages_of_the_other_organization_get_nothing(
    thief: Browser, connection: AppConnection, microsoft: Microsoft
) -> None:
    response = thief.get(thief.url("application_list", connection.pk))
    assert response.status_code == 502
    assert "can&#x27;t be opened" in response.content.decode()
    assert microsoft.requests == []
    connection.refresh_from_db()
    assert (connection.status, connection.problem) == ("operator-must-act", "decryption_failed")


def test_credential_gives_nothing_and_says_why(thief: Browser, microsoft: Microsoft) -> None:
    credential = AppConnection.objects.get().credential()
    with pytest.raises(ClientAuthenticationError, match="another organization") as caught:
        credential.get_token(SCOPE)
    assert caught.value.__context__ is None
    assert microsoft.requests == []


def test_to_connect_again_makes_it_the_other_organizations(
    thief: Browser, connection: AppConnection, microsoft: Microsoft
) -> None:
    thief.microsoft = microsoft
    url = thief.url("connection_reconnect", connection.pk)
    begun: Any = thief.post(url, {"tenant": str(connection.tenant_id)})
    sent = dict(
        pair.split("=", 1) for pair in begun.context["authorization_url"].split("?")[1].split("&")
    )
    microsoft.nonce = sent["nonce"]
    thief.come_back(sent)
    assert AppConnection.objects.get().credential().get_token(SCOPE).token == ACCESS_TOKEN


def test_access_token_alone_that_can_not_be_opened_is_replaced(
    browser: Browser, connection: AppConnection, microsoft: Microsoft
) -> None:
    held = AccessToken.objects.get()
    held.resource, held.secret = "another", Secret("CANARY-moved")
    sealed = held._meta.get_field("secret").pre_save(held, add=False)
    AccessToken.objects.update(secret=sealed)
    microsoft.token = {"access_token": "CANARY-second"}
    assert browser.get(browser.url("application_list", connection.pk)).status_code == 200
    assert microsoft.count("token") == 1
    assert AccessToken.objects.with_secret().get().secret.reveal() == "CANARY-second"


def test_rotation_sends_no_value_of_another_organization(
    rotation: Rotation, azure: Azure, microsoft: Microsoft
) -> None:
    microsoft.proofs = [7000215]
    advance(rotation, "waiting")
    microsoft.requests.clear()
    AppConnection.objects.update(organization=make_organization("Thieves"))
    Rotation.objects.update(wake_at=rotation.created_at)
    advance(rotation, "failed")
    assert rotation.problem == "decryption_failed"
    assert microsoft.requests == []


@pytest.mark.parametrize("fact", ["organization", "cloud"])
def test_sign_in_that_was_given_away_sends_no_verifier(
    browser: Browser, microsoft: Microsoft, settings: Any, fact: str
) -> None:
    settings.INFISICAL_AZURE = {**settings.INFISICAL_AZURE, "CLOUDS": ["public", "china"]}
    begun = browser.begin(cloud_name="public")
    other = make_organization("Thieves")
    add_member(other, browser.user)
    Authorization.objects.update(**{fact: {"organization": other, "cloud": "china"}[fact]})
    microsoft.requests.clear()
    response = browser.come_back(begun.sent)
    assert microsoft.count("token") == 0
    assert not AppConnection.objects.exists()
    assert response.status_code == 303
    assert Authorization.objects.get().problem
