"""Entra and Graph at the transport: what they answer, and what they were asked."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
import responses
from cryptography.hazmat.primitives.asymmetric import rsa

AUTHORITY = "https://login.microsoftonline.com"
GRAPH = "https://graph.microsoft.com"
TENANT = "72f988bf-86f1-41af-91ab-2d7cd011db47"
OTHER_TENANT = "0aaaaaaa-1111-4222-8333-444444444444"
ACCOUNT = "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"
CLIENT_ID = "11111111-2222-3333-4444-555555555555"
CODE = "0.CANARY-code.AXoA"
ACCESS_TOKEN = "CANARY-access-token"
REFRESH_TOKEN = "CANARY-refresh-token"
APPLICATION = "77777777-7777-4777-8777-777777777777"
APPLICATION_CLIENT_ID = "88888888-8888-4888-8888-888888888888"
KEY_ID = "99999999-9999-4999-8999-999999999999"
NEW_KEY = "bbbbbbbb-1111-4bbb-8bbb-bbbbbbbbbbbb"
CLIENT_SECRET = "CANARY~client.secret"
SCOPES = (
    "profile openid email https://graph.microsoft.com/User.Read "
    "https://graph.microsoft.com/Application.ReadWrite.All "
    "https://graph.microsoft.com/Directory.ReadWrite.All"
)
TRACE = "33333333-3333-4333-8333-333333333333"
CORRELATION = "44444444-4444-4444-8444-444444444444"

OTHER_CLOUDS = [
    re.compile(rf"https://{host}/[^/]+/v2.0/.well-known/openid-configuration")
    for host in ("login.microsoftonline.us", "login.partner.microsoftonline.cn")
]

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)

type_of_answer = Callable[[Any], tuple[int, dict[str, str], str | bytes]]


def description(aadsts: int, text: str = "Something was wrong.") -> str:
    """Return an error_description as Entra words it, in four lines."""
    return (
        f"AADSTS{aadsts}: {text}\r\nTrace ID: {TRACE}\r\nCorrelation ID: {CORRELATION}\r\n"
        "Timestamp: 2026-11-23 08:00:00Z"
    )


def error(aadsts: int, name: str = "invalid_grant", **more: Any) -> dict[str, Any]:
    """Return the error body of the token endpoint."""
    return {
        "error": name,
        "error_description": description(aadsts),
        "error_codes": [aadsts],
        "timestamp": "2026-11-23 08:00:00Z",
        "trace_id": TRACE,
        "correlation_id": CORRELATION,
        **more,
    }


class Microsoft:
    """Answers that a test may change before the round trip, and the requests that came."""

    def __init__(self, mock: responses.RequestsMock) -> None:
        self.mock = mock
        self.nonce = ""
        self.claims: dict[str, Any] = {}
        self.omit_claims: set[str] = set()
        self.sign: Callable[[dict[str, Any]], str] = self.rs256
        self.keys: list[Any] = [jwk(KEY)]
        self.token: dict[str, Any] = {}
        self.omit: set[str] = set()
        self.me: dict[str, Any] = {"id": ACCOUNT, "displayName": "Ada Admin"}
        self.organization: dict[str, Any] = {
            "value": [
                {
                    "id": TENANT,
                    "displayName": "Contoso",
                    "verifiedDomains": [
                        {"name": "contoso.onmicrosoft.com", "isDefault": False},
                        {"name": "contoso.com", "isDefault": True},
                    ],
                }
            ]
        }
        self.applications: dict[str, Any] = {"value": [application()]}
        self.add_password: dict[str, Any] = {
            **client_secret("build server"),
            "keyId": NEW_KEY,
            "secretText": CLIENT_SECRET,
        }
        self.override: dict[str, Any] = {"remove_password": (204, {}, "")}
        self.vault: dict[str, Any] = {"value": "old", "tags": None}
        self.proofs: list[int] = []
        """AADSTS numbers with which the next proofs of a client secret are refused; 0 is a yes."""
        self.before: dict[str, Callable[[], object]] = {}
        self.requests: list[Any] = []
        for other in OTHER_CLOUDS:
            mock.add("GET", other, status=400, json=error(90002, "invalid_tenant"))
        for kind, method, pattern in (
            ("discovery", "GET", rf"{AUTHORITY}/[^/]+/v2.0/.well-known/openid-configuration"),
            ("keys", "GET", rf"{AUTHORITY}/[^/]+/discovery/v2.0/keys"),
            ("token", "POST", rf"{AUTHORITY}/[^/]+/oauth2/v2.0/token"),
            ("vault", "GET", r"https://[^/]+\.vault\.azure\.net/secrets/"),
            ("vault_set", "PUT", r"https://[^/]+\.vault\.azure\.net/secrets/"),
            ("store_set", "PUT", r"https://[^/]+\.azconfig\.io/kv/"),
            ("me", "GET", rf"{GRAPH}/v1.0/me"),
            ("organization", "GET", rf"{GRAPH}/v1.0/organization"),
            ("applications", "GET", rf"{GRAPH}/v1.0/applications\?"),
            ("application", "GET", rf"{GRAPH}/v1.0/applications/[^/]+\?"),
            ("add_password", "POST", rf"{GRAPH}/v1.0/applications/[^/]+/addPassword"),
            ("remove_password", "POST", rf"{GRAPH}/v1.0/applications/[^/]+/removePassword"),
        ):
            mock.add_callback(method, re.compile(pattern), callback=self._answer(kind))

    def fail(self, kind: str, status: int = 400, body: Any = None, **headers: str) -> None:
        """Have one endpoint answer with this status and body (an exception is raised)."""
        self.override[kind] = body if isinstance(body, Exception) else (status, headers, body)

    def count(self, kind: str) -> int:
        return sum(1 for found, _ in self.requests if found == kind)

    def form(self) -> dict[str, str]:
        """Return the fields of the one token request."""
        (request,) = [request for kind, request in self.requests if kind == "token"]
        return {key: value[0] for key, value in parse_qs(request.body).items()}

    @staticmethod
    def rs256(claims: dict[str, Any]) -> str:
        return jwt.encode(claims, KEY, algorithm="RS256", headers={"kid": "key-1"})

    def _answer(self, kind: str) -> type_of_answer:
        def answer(request: Any) -> tuple[int, dict[str, str], str | bytes]:
            is_proof = kind == "token" and "grant_type=client_credentials" in request.body
            found = "proof" if is_proof else kind
            self.requests.append((found, request))
            self.before.get(found, bool)()
            if is_proof and self.proofs and (aadsts := self.proofs.pop(0)):
                return 401, {}, json.dumps(error(aadsts, "invalid_client"))
            if found in self.override:
                override = self.override[found]
                if isinstance(override, Exception):
                    raise override
                status, headers, body = override
                is_raw = isinstance(body, str | bytes)
                return status, headers, body if is_raw else json.dumps(body)
            body = getattr(self, f"_{found}")(urlsplit(request.url).path.split("/")[1])
            return 200, {"Content-Type": "application/json"}, json.dumps(body)

        return answer

    def _discovery(self, tenant: str) -> dict[str, Any]:
        found = {"contoso.com": TENANT}.get(tenant, tenant)
        return {"issuer": f"{AUTHORITY}/{found}/v2.0"}

    def _keys(self, tenant: str) -> dict[str, Any]:
        return {"keys": self.keys}

    def forms(self) -> list[dict[str, str]]:
        """Return the fields of every token request."""
        bodies = [request.body for kind, request in self.requests if kind == "token"]
        return [{key: value[0] for key, value in parse_qs(body).items()} for body in bodies]

    def _token(self, tenant: str) -> dict[str, Any]:
        now = int(time.time())
        claims = {
            "aud": CLIENT_ID,
            "iss": f"{AUTHORITY}/{tenant}/v2.0",
            "iat": now,
            "nbf": now,
            "exp": now + 3600,
            "name": "Ada Admin",
            "preferred_username": "ada@contoso.com",
            "oid": ACCOUNT,
            "sub": "pairwise-subject",
            "tid": tenant,
            "nonce": self.nonce,
            "ver": "2.0",
        } | self.claims
        claims = {key: claims[key] for key in claims.keys() - self.omit_claims}
        reply = {
            "token_type": "Bearer",
            "scope": SCOPES,
            "expires_in": 4432,
            "ext_expires_in": 4432,
            "access_token": ACCESS_TOKEN,
            "refresh_token": REFRESH_TOKEN,
            "id_token": self.sign(claims),
        } | self.token
        return {key: reply[key] for key in reply.keys() - self.omit}

    def _me(self, tenant: str) -> dict[str, Any]:
        return self.me

    def _organization(self, tenant: str) -> dict[str, Any]:
        return self.organization

    def _applications(self, tenant: str) -> dict[str, Any]:
        return self.applications

    def _application(self, tenant: str) -> dict[str, Any]:
        return dict(self.applications["value"][0])

    def _add_password(self, tenant: str) -> dict[str, Any]:
        return self.add_password

    def _proof(self, tenant: str) -> dict[str, Any]:
        return {"token_type": "Bearer", "expires_in": 3599, "access_token": ACCESS_TOKEN}

    def _vault(self, tenant: str) -> dict[str, Any]:
        return self.vault

    def _vault_set(self, tenant: str) -> dict[str, Any]:
        return {}

    def _store_set(self, tenant: str) -> dict[str, Any]:
        return {}


def client_secret(name: str | None = "ci", days: float = 12.5, **more: Any) -> dict[str, Any]:
    """Return a password credential as Graph shows it, which expires in so many days."""
    now = datetime.now(UTC)
    return {
        "customKeyIdentifier": None,
        "displayName": name,
        "endDateTime": f"{now + timedelta(days=days):%Y-%m-%dT%H:%M:%S.1234567Z}",
        "hint": "CAN",
        "keyId": KEY_ID,
        "secretText": None,
        "startDateTime": f"{now - timedelta(days=90):%Y-%m-%dT%H:%M:%SZ}",
    } | more


def application(name: str = "Payroll Export", *secrets: dict[str, Any]) -> dict[str, Any]:
    """Return an application as Graph shows it."""
    return {
        "id": APPLICATION,
        "appId": APPLICATION_CLIENT_ID,
        "displayName": name,
        "passwordCredentials": list(secrets) or [client_secret()],
    }


def jwk(key: rsa.RSAPrivateKey, kid: str | None = "key-1", **more: Any) -> dict[str, Any]:
    """Return a JWKS entry as Entra publishes it."""
    entry = jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
    entry |= {"use": "sig", "issuer": AUTHORITY + "/{tenantid}/v2.0"} | more
    return entry if kid is None else entry | {"kid": kid}
