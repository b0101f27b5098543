"""A connection's own credential under Microsoft's own clients, over real HTTPS."""

from __future__ import annotations

import dataclasses
from typing import Any
from urllib.parse import urlsplit

import pytest
from azure.appconfiguration import AzureAppConfigurationClient, ConfigurationSetting
from azure.core.exceptions import ClientAuthenticationError
from azure.core.pipeline.transport import RequestsTransport
from azure.keyvault.secrets import SecretClient
from django.contrib.auth.models import User
from django.db.models import Model

from example_project.standin import directory
from example_project.standin.client import StandIn
from infisical_azure.models import AccessToken, AppConnection

from ..conftest import Browser
from ..faults import cloud
from ..standin.app import REDIRECT_URI

pytestmark = [pytest.mark.sdk, pytest.mark.django_db]


@pytest.fixture
def connection(
    standin: StandIn, admin_user: User, organization: Model, settings: Any, monkeypatch: Any
) -> AppConnection:
    """Return a connection made through the pages, with the account ada@contoso.com."""
    here = dataclasses.replace(cloud.STANDIN, authority=standin.url, graph=f"{standin.url}/graph")
    monkeypatch.setattr(cloud, "STANDIN", here)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(standin.ca_file))
    settings.SITE_URL = REDIRECT_URI.partition("/organization/")[0]
    settings.INF_APP_CONNECTION_AZURE_CLIENT_ID = directory.DEFAULT_CLIENT_ID
    settings.INF_APP_CONNECTION_AZURE_CLIENT_SECRET = directory.DEFAULT_CLIENT_SECRET
    settings.INFISICAL_AZURE = {
        **settings.INFISICAL_AZURE,
        "CLOUDS": ["tests.faults.cloud.STANDIN"],
    }
    person = Browser(admin_user, organization)
    location = urlsplit(standin.authorize(person.begin(tenant="contoso.com").location))
    person.get(f"{location.path}?{location.query}")
    return AppConnection.objects.get()


def test_secret_client_just_works(
    connection: AppConnection, transport: RequestsTransport, standin: StandIn
) -> None:
    client = SecretClient(
        "https://contoso-vault.vault.azure.net", connection.credential(), transport=transport
    )
    client.set_secret("from-a-connection", "value")
    assert client.get_secret("from-a-connection").value == "value"
    names = {found.name for found in client.list_properties_of_secrets()}
    assert {"from-a-connection", "demo-password"} <= names
    resources = set(AccessToken.objects.values_list("resource", flat=True))
    assert resources == {"https://graph.microsoft.com", "https://vault.azure.net"}
    assert len(standin.token_requests()) == 2


def test_configuration_client_just_works(
    connection: AppConnection, transport: RequestsTransport
) -> None:
    client = AzureAppConfigurationClient(
        "https://contoso-config.azconfig.io", connection.credential(), transport=transport
    )
    client.set_configuration_setting(ConfigurationSetting(key="a", value="b"))
    assert client.get_configuration_setting("a").value == "b"
    assert {found.key for found in client.list_configuration_settings()} >= {"a", "demo:greeting"}


def test_broken_connection_is_the_sdks_error_with_the_next_step(
    connection: AppConnection, transport: RequestsTransport, standin: StandIn
) -> None:
    standin.revoke_sessions("ada@contoso.com")
    client = SecretClient(
        "https://contoso-vault.vault.azure.net", connection.credential(), transport=transport
    )
    with pytest.raises(ClientAuthenticationError, match="Reconnect it"):
        client.get_secret("demo-password")
    connection.refresh_from_db()
    assert connection.status == "needs-reconnect"
