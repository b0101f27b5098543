"""The stand-in over HTTPS."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from example_project.standin.client import StandIn
from example_project.standin.directory import CONTOSO_ID

from .app import REDIRECT_URI, App

NAMES = [
    "localhost",
    "127.0.0.1",
    "contoso-vault.vault.localhost",
    "contoso-config.azconfig.localhost",
    "contoso-vault.vault.azure.net",
    "contoso-config.azconfig.io",
]


@pytest.fixture(scope="module")
def secure() -> Iterator[StandIn]:
    with StandIn.start([REDIRECT_URI], tls=True) as standin:
        yield standin


@pytest.fixture
def secure_app(secure: StandIn) -> App:
    secure.reset()
    return App(secure)


def shake_hands(standin: StandIn, name: str) -> str | None:
    context = ssl.create_default_context(cafile=standin.ca_file)
    # Strict is the default from Python 3.13 on.
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    own = urlsplit(standin.url)
    with (
        socket.create_connection((own.hostname, own.port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname=name) as wrapped,
    ):
        return wrapped.version()


def test_whole_flow_speaks_of_https(secure_app: App) -> None:
    standin = secure_app.standin
    assert standin.url.startswith("https://127.0.0.1:")
    refresh_token = secure_app.tokens()["refresh_token"]
    assert secure_app.refresh(refresh_token).status_code == 200
    path = f"{standin.url}/{CONTOSO_ID}/v2.0/.well-known/openid-configuration"
    document = secure_app.call("GET", path).json()
    assert document["issuer"] == f"{standin.url}/{CONTOSO_ID}/v2.0"
    assert document["token_endpoint"].startswith("https://")
    assert standin.vault_url(as_host=True).startswith("https://contoso-vault.vault.localhost:")


@pytest.mark.parametrize("name", NAMES)
def test_certificate_has_the_name(secure: StandIn, name: str) -> None:
    assert shake_hands(secure, name) == "TLSv1.3"


def test_nobody_else_trusts_it(secure: StandIn) -> None:
    with pytest.raises(requests.exceptions.SSLError):
        requests.get(secure.url, timeout=10, verify=True)
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        shake_hands(secure, "vault.azure.net")


def test_client_that_never_says_hello_holds_nobody_up(secure: StandIn) -> None:
    own = urlsplit(secure.url)
    with socket.create_connection((own.hostname, own.port), timeout=10):
        assert secure.journal() is not None


@pytest.mark.parametrize("fault", ["reset", "truncated"])
def test_connections_break_over_tls_too(secure_app: App, fault: str) -> None:
    code = secure_app.code()
    secure_app.standin.fault(fault)
    with pytest.raises(requests.RequestException):
        secure_app.redeem(code)


def test_files_live_as_long_as_the_process() -> None:
    with StandIn.start(tls=True) as standin:
        assert standin.ca_file is not None
        folder = Path(standin.ca_file).parent
        assert {path.name for path in folder.iterdir()} == {"ca.pem", "certificate.pem", "key.pem"}
        assert (folder / "key.pem").stat().st_mode & 0o77 == 0
    assert not folder.exists()


def test_failure_to_start_leaves_no_files(secure: StandIn) -> None:
    taken = urlsplit(secure.url).port
    assert taken is not None
    with pytest.raises(RuntimeError, match="Address already in use"):
        StandIn.start(port=taken, tls=True)
