"""Microsoft's client for App Configuration, against the stand-in over HTTPS."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from azure.appconfiguration import (
    AzureAppConfigurationClient,
    ConfigurationSetting,
    ResourceReadOnlyError,
)
from azure.core import MatchConditions
from azure.core.exceptions import (
    ClientAuthenticationError,
    HttpResponseError,
    ResourceExistsError,
    ResourceModifiedError,
    ResourceNotFoundError,
)
from azure.core.pipeline.transport import RequestsTransport

from example_project.standin.aadsts import CHALLENGE
from example_project.standin.client import StandIn

from ..standin.app import App
from .credential import RefreshingCredential

pytestmark = pytest.mark.sdk
AZURE_URL = "https://contoso-config.azconfig.io"
Client = AzureAppConfigurationClient


@pytest.fixture(params=["azure's name", "localhost name", "path"])
def client(
    request: pytest.FixtureRequest,
    standin: StandIn,
    credential: RefreshingCredential,
    transport: RequestsTransport,
) -> Iterator[Client]:
    ways: dict[str, tuple[str, dict[str, Any]]] = {
        # The client makes https://azconfig.io of this name.
        "azure's name": (AZURE_URL, {"transport": transport}),
        "localhost name": (
            standin.store_url(as_host=True),
            {"transport": transport, "audience": "https://azconfig.io/"},
        ),
        # And https://appconfig.azure.com of any that is not Azure's.
        "path": (standin.store_url(), {"connection_verify": standin.ca_file}),
    }
    url, options = ways[request.param]
    with Client(url, credential, **options) as client:
        yield client


@pytest.fixture
def azure(credential: RefreshingCredential, transport: RequestsTransport) -> Client:
    return Client(AZURE_URL, credential, transport=transport)


def setting(key: str, value: str, **more: Any) -> ConfigurationSetting:
    return ConfigurationSetting(key=key, value=value, **more)


def test_set_and_get(client: Client) -> None:
    written = client.set_configuration_setting(
        setting("app/color", "red", label="test", content_type="text/plain", tags={"a": "b"})
    )
    read = client.get_configuration_setting("app/color", "test")
    assert read is not None
    assert (read.value, read.label, read.tags) == ("red", "test", {"a": "b"})
    assert (read.etag, read.last_modified) == (written.etag, written.last_modified)
    assert read.read_only is False
    with pytest.raises(ResourceNotFoundError):
        client.get_configuration_setting("app/color")


def test_changes_under_condition_of_the_etag(client: Client) -> None:
    first = client.add_configuration_setting(setting("color", "red"))
    with pytest.raises(ResourceExistsError):
        client.add_configuration_setting(setting("color", "blue"))
    unchanged = client.get_configuration_setting(
        "color", etag=first.etag, match_condition=MatchConditions.IfModified
    )
    assert unchanged is None
    condition = MatchConditions.IfNotModified
    first.value = "blue"
    second = client.set_configuration_setting(first, condition)
    assert second.etag != first.etag
    with pytest.raises(ResourceModifiedError):
        client.set_configuration_setting(first, condition)
    with pytest.raises(ResourceModifiedError):
        client.delete_configuration_setting("color", etag=first.etag, match_condition=condition)
    deleted = client.delete_configuration_setting(
        "color", etag=second.etag, match_condition=condition
    )
    assert deleted is not None
    assert deleted.value == "blue"
    assert client.delete_configuration_setting("color") is None


def test_lists_follow_their_pages(client: Client) -> None:
    for key in ("a", "a b", "ä,*", "b"):
        client.set_configuration_setting(setting(key, key))
    pages = client.list_configuration_settings(label_filter="\0").by_page()
    assert [[item.key for item in page] for page in pages] == [
        ["a", "a b"],
        ["b", "demo:greeting"],
        ["ä,*"],
    ]
    assert [i.key for i in client.list_configuration_settings(key_filter="a*")] == ["a", "a b"]
    assert [i.key for i in client.list_configuration_settings(key_filter=r"ä\,\*")] == ["ä,*"]
    chosen = client.list_configuration_settings(label_filter="prod*", fields=["key", "label"])
    assert [(i.key, i.label, i.value) for i in chosen] == [("demo:greeting", "production", None)]


def test_read_only_setting(client: Client) -> None:
    read = client.get_configuration_setting("demo:greeting")
    assert read is not None
    assert client.set_read_only(read).read_only is True
    with pytest.raises(ResourceReadOnlyError):
        client.set_configuration_setting(setting("demo:greeting", "Hi"))
    client.set_read_only(read, read_only=False)
    assert client.set_configuration_setting(setting("demo:greeting", "Hi")).value == "Hi"


def test_pages_are_checked_by_head(client: Client) -> None:
    listed = client.list_configuration_settings(key_filter="demo*").by_page()
    etags = [listed.etag for _ in listed]
    checked = client.check_configuration_settings(key_filter="demo*").by_page()
    assert [checked.etag for _ in checked] == etags


@pytest.mark.parametrize("version", ["1.0", "2023-11-01"])
def test_older_api_versions(
    credential: RefreshingCredential, transport: RequestsTransport, version: str
) -> None:
    client = Client(AZURE_URL, credential, transport=transport, api_version=version)
    assert len(list(client.list_configuration_settings())) == 2


def test_client_waits_when_throttled_or_unavailable(standin: StandIn, azure: Client) -> None:
    faults = ("throttled", "unavailable", "reset")
    for fault in faults:
        standin.fault(f"app_configuration_{fault}")
        read = azure.get_configuration_setting("demo:greeting")
        assert read is not None
    assert {429, 503} < {entry["status"] for entry in standin.data_requests()}


def test_client_signs_in_again_with_the_claims(
    standin: StandIn, credential: RefreshingCredential, transport: RequestsTransport
) -> None:
    client = Client(AZURE_URL, credential, transport=transport, enable_cae=True)
    standin.fault("app_configuration_claims_challenge")
    assert client.get_configuration_setting("demo:greeting") is not None
    claims = [entry["claims"] for entry in standin.token_requests() if "claims" in entry]
    demanded = CHALLENGE.removeprefix('{"access_token":{').removesuffix("}}")
    assert [demanded in each for each in claims] == [False, True]


def test_refusals(app: App, azure: Client, transport: RequestsTransport) -> None:
    app.standin.fault("app_configuration_unauthorized")
    with pytest.raises(ClientAuthenticationError):
        azure.get_configuration_setting("demo:greeting")
    reader = RefreshingCredential(app, "max@contoso.com")
    client = Client(AZURE_URL, reader, transport=transport)
    assert client.get_configuration_setting("demo:greeting") is not None
    with pytest.raises(HttpResponseError) as caught:
        client.set_configuration_setting(setting("color", "red"))
    assert caught.value.status_code == 403


def test_unknown_audience_is_named(
    credential: RefreshingCredential, transport: RequestsTransport
) -> None:
    client = Client(AZURE_URL, credential, transport=transport, audience="https://nowhere.example/")
    with pytest.raises(ClientAuthenticationError, match="incorrect token audience"):
        client.get_configuration_setting("demo:greeting")
