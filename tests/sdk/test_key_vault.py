"""Microsoft's client for secrets, against the stand-in over HTTPS."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from azure.core.exceptions import (
    ClientAuthenticationError,
    HttpResponseError,
    ResourceExistsError,
    ResourceNotFoundError,
)
from azure.core.pipeline.transport import RequestsTransport
from azure.keyvault.secrets import SecretClient

from example_project.standin.aadsts import CHALLENGE
from example_project.standin.client import StandIn

from ..standin.app import App
from .credential import RefreshingCredential

pytestmark = pytest.mark.sdk
AZURE_URL = "https://contoso-vault.vault.azure.net"


@pytest.fixture(params=["azure's name", "localhost name", "path"])
def client(
    request: pytest.FixtureRequest,
    standin: StandIn,
    credential: RefreshingCredential,
    transport: RequestsTransport,
) -> Iterator[SecretClient]:
    ways: dict[str, tuple[str, dict[str, Any]]] = {
        "azure's name": (AZURE_URL, {"transport": transport}),
        "localhost name": (
            standin.vault_url(as_host=True),
            {"transport": transport, "verify_challenge_resource": False},
        ),
        "path": (
            standin.vault_url(),
            {"connection_verify": standin.ca_file, "verify_challenge_resource": False},
        ),
    }
    url, options = ways[request.param]
    with SecretClient(url, credential, **options) as client:
        yield client


@pytest.fixture
def azure(credential: RefreshingCredential, transport: RequestsTransport) -> SecretClient:
    return SecretClient(AZURE_URL, credential, transport=transport)


def test_set_and_get(client: SecretClient) -> None:
    first = client.set_secret("color", "red", content_type="text/plain", tags={"a": "b"})
    second = client.set_secret("color", "blue")
    assert client.get_secret("color").value == "blue"
    old = client.get_secret("color", first.properties.version)
    assert (old.value, old.properties.tags) == ("red", {"a": "b"})
    assert old.properties.content_type == "text/plain"
    assert second.properties.created_on is not None
    # The id is one that the client can take apart, however the vault is addressed.
    assert (second.name, second.properties.name) == ("color", "color")
    assert second.properties.vault_url is not None
    assert "contoso-vault." in second.properties.vault_url


def test_lists_follow_their_pages(client: SecretClient) -> None:
    for name in ("a", "b", "c"):
        client.set_secret(name, name)
    pages = client.list_properties_of_secrets(max_page_size=3).by_page()
    assert [[item.name for item in page] for page in pages] == [
        ["a", "b", "c"],
        ["demo-password"],
    ]
    versions = {client.set_secret("a", "again").properties.version for _ in range(3)}
    listed = client.list_properties_of_secret_versions("a", max_page_size=2)
    assert versions < {item.version for item in listed}


def test_update_properties(client: SecretClient) -> None:
    disabled = client.update_secret_properties("demo-password", enabled=False)
    assert disabled.enabled is False
    with pytest.raises(HttpResponseError, match="disabled secret") as caught:
        client.get_secret("demo-password")
    assert caught.value.status_code == 403
    client.update_secret_properties("demo-password", disabled.version, enabled=True)
    assert client.get_secret("demo-password").value == "not-a-real-secret"


def test_delete_and_recover(client: SecretClient) -> None:
    deletion = client.begin_delete_secret("demo-password", _polling_interval=0)
    with pytest.raises(ResourceNotFoundError, match="Deleted Secret not found"):
        client.get_deleted_secret("demo-password")
    deletion.wait()
    assert deletion.result().name == "demo-password"
    assert [secret.name for secret in client.list_deleted_secrets()] == ["demo-password"]
    with pytest.raises(ResourceExistsError, match="deleted but recoverable"):
        client.set_secret("demo-password", "new")
    recovery = client.begin_recover_deleted_secret("demo-password", _polling_interval=0)
    recovery.wait()
    assert client.get_secret("demo-password").value == "not-a-real-secret"


def test_delete_and_purge(client: SecretClient) -> None:
    client.begin_delete_secret("demo-password", _polling_interval=0).wait()
    client.purge_deleted_secret("demo-password")
    with pytest.raises(ResourceNotFoundError):
        client.get_deleted_secret("demo-password")
    assert client.set_secret("demo-password", "new").value == "new"


def test_what_is_not_there(client: SecretClient) -> None:
    with pytest.raises(ResourceNotFoundError) as caught:
        client.get_secret("nothing")
    assert caught.value.error is not None
    assert caught.value.error.code == "SecretNotFound"


def test_client_learns_tenant_and_resource_from_the_challenge(
    app: App, transport: RequestsTransport
) -> None:
    # No other test asks this host, whose challenge the client keeps for the whole process.
    url = "https://fabrikam-vault.vault.azure.net"
    credential = RefreshingCredential(app, "faye@fabrikam.com")
    client = SecretClient(url, credential, transport=transport)
    assert client.set_secret("color", "red").value == "red"
    probe, write = app.standin.data_requests()
    assert (probe["method"], probe["status"], probe["bearer"]) == ("PUT", 401, False)
    assert (write["method"], write["status"], write["bearer"]) == ("PUT", 200, True)
    assert app.standin.token_requests()[-1]["scope"] == "https://vault.azure.net/.default"


def test_older_api_version(credential: RefreshingCredential, transport: RequestsTransport) -> None:
    client = SecretClient(AZURE_URL, credential, transport=transport, api_version="7.4")
    assert client.get_secret("demo-password").value == "not-a-real-secret"


def test_client_waits_when_throttled_or_unavailable(standin: StandIn, azure: SecretClient) -> None:
    for fault in ("key_vault_throttled", "key_vault_unavailable", "key_vault_reset"):
        standin.fault(fault)
        assert azure.get_secret("demo-password").value == "not-a-real-secret"
    assert {429, 503} < {entry["status"] for entry in standin.data_requests()}


def test_client_signs_in_again_with_the_claims(standin: StandIn, azure: SecretClient) -> None:
    azure.get_secret("demo-password")
    standin.fault("key_vault_claims_challenge")
    assert azure.get_secret("demo-password").value == "not-a-real-secret"
    first, second = [entry["claims"] for entry in standin.token_requests() if "claims" in entry]
    demanded = CHALLENGE.removeprefix('{"access_token":{').removesuffix("}}")
    assert demanded not in first
    assert demanded in second
    assert '"cp1"' in first
    assert '"cp1"' in second


def test_refusals(app: App, azure: SecretClient, transport: RequestsTransport) -> None:
    app.standin.fault("key_vault_unauthorized", times=None)
    with pytest.raises(ClientAuthenticationError, match="AKV10046"):
        azure.get_secret("demo-password")
    app.standin.clear_faults()
    app.standin.fault("key_vault_forbidden")
    with pytest.raises(HttpResponseError, match="Caller is not authorized") as caught:
        azure.get_secret("demo-password")
    assert caught.value.error is not None
    assert caught.value.error.innererror is not None
    reader = RefreshingCredential(app, "max@contoso.com")
    client = SecretClient(AZURE_URL, reader, transport=transport)
    with pytest.raises(HttpResponseError, match="setSecret/action"):
        client.set_secret("color", "red")


def test_revoked_person_is_told_so(standin: StandIn, azure: SecretClient) -> None:
    azure.get_secret("demo-password")
    standin.revoke_sessions("ada@contoso.com")
    with pytest.raises(ClientAuthenticationError, match="AADSTS50173"):
        azure.get_secret("demo-password")
