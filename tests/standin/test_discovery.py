"""Discovery documents and signing keys."""

from __future__ import annotations

import jwt
import pytest
import requests
from cryptography import x509

from example_project.standin.client import StandIn
from example_project.standin.directory import CONTOSO_ID

from .app import App


def fetch(standin: StandIn, path: str) -> requests.Response:
    return requests.get(f"{standin.url}/{path}", timeout=10)


@pytest.mark.parametrize(
    ("path", "name", "issuer"),
    [
        (CONTOSO_ID, CONTOSO_ID, CONTOSO_ID),
        (CONTOSO_ID.upper(), CONTOSO_ID, CONTOSO_ID),
        ("contoso.onmicrosoft.com", CONTOSO_ID, CONTOSO_ID),
        ("common", "common", "{tenantid}"),
        ("organizations", "organizations", "{tenantid}"),
    ],
)
def test_configuration(standin: StandIn, path: str, name: str, issuer: str) -> None:
    document = fetch(standin, f"{path}/v2.0/.well-known/openid-configuration").json()
    assert document["issuer"] == f"{standin.url}/{issuer}/v2.0"
    assert document["token_endpoint"] == f"{standin.url}/{name}/oauth2/v2.0/token"
    assert document["jwks_uri"] == f"{standin.url}/{name}/discovery/v2.0/keys"
    assert "authorization_response_iss_parameter_supported" not in document


def test_unknown_tenant(standin: StandIn) -> None:
    response = fetch(standin, "nowhere.example/v2.0/.well-known/openid-configuration")
    assert response.status_code == 400
    assert response.json()["error"] == "invalid_tenant"
    assert response.json()["error_codes"] == [90002]


def test_keys_are_complete_and_rotate(app: App) -> None:
    path = f"{CONTOSO_ID}/discovery/v2.0/keys"
    before = app.tokens()["id_token"]
    key = fetch(app.standin, path).json()["keys"][0]
    assert {"kty", "use", "kid", "x5t", "n", "e", "x5c", "issuer"} <= set(key)
    pem = f"-----BEGIN CERTIFICATE-----\n{key['x5c'][0]}\n-----END CERTIFICATE-----"
    x509.load_pem_x509_certificate(pem.encode())
    app.standin.rotate_keys()
    kids = [key["kid"] for key in fetch(app.standin, path).json()["keys"]]
    after = app.tokens()["id_token"]
    assert jwt.get_unverified_header(after)["kid"] == kids[0]
    assert jwt.get_unverified_header(before)["kid"] in kids[1:]
    app.standin.rotate_keys(drop_old=True)
    assert len(fetch(app.standin, path).json()["keys"]) == 1


def test_instance_discovery(standin: StandIn) -> None:
    document = fetch(standin, "common/discovery/instance").json()
    assert document["metadata"][0]["aliases"] == [standin.url.partition("://")[2]]
