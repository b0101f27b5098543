"""The least application that talks to the stand-in."""

from __future__ import annotations

import base64
import hashlib
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import requests

from example_project.standin.client import StandIn
from example_project.standin.directory import DEFAULT_CLIENT_ID, DEFAULT_CLIENT_SECRET

REDIRECT_URI = "http://localhost:8000/organization/app-connections/azure/oauth/callback"
CONTOSO = "contoso.com"
OIDC = "openid profile offline_access"
GRAPH = "https://graph.microsoft.com"
SCOPE = f"{OIDC} {GRAPH}/.default"
VERIFIER = "v" * 64
CHALLENGE = (
    base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).decode().rstrip("=")
)
Query = dict[str, str]


def query_of(location: str) -> Query:
    return dict(parse_qsl(urlsplit(location).query, keep_blank_values=True))


def _without_none(values: dict[str, str | None]) -> Query:
    return {name: value for name, value in values.items() if value is not None}


class App:
    def __init__(self, standin: StandIn) -> None:
        self.standin = standin

    def url(self, tenant: str = CONTOSO, **changes: Any) -> str:
        """An authorize URL; a parameter that is changed to None is left out."""
        parameters: dict[str, str | None] = {
            "client_id": DEFAULT_CLIENT_ID,
            "response_type": "code",
            "redirect_uri": REDIRECT_URI,
            "scope": SCOPE,
            "state": "st&te",
            "nonce": "n-1",
            "code_challenge": CHALLENGE,
            "code_challenge_method": "S256",
            **changes,
        }
        return f"{self.standin.authorize_url(tenant)}?{urlencode(_without_none(parameters))}"

    def code(self, tenant: str = CONTOSO, account: str = "ada@contoso.com", **changes: Any) -> str:
        fault = changes.pop("fault", "")
        url = self.url(tenant, **changes)
        return query_of(self.standin.authorize(url, account, fault=fault))["code"]

    def post(self, tenant: str = CONTOSO, **changes: str | None) -> requests.Response:
        form: dict[str, str | None] = {
            "client_id": DEFAULT_CLIENT_ID,
            "client_secret": DEFAULT_CLIENT_SECRET,
            **changes,
        }
        return requests.post(
            self.standin.token_url(tenant),
            _without_none(form),
            allow_redirects=False,
            timeout=10,
            verify=self.standin.ca_file or True,
        )

    def redeem(self, code: str, tenant: str = CONTOSO, **changes: str | None) -> requests.Response:
        form: dict[str, str | None] = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": REDIRECT_URI,
            "code_verifier": VERIFIER,
            **changes,
        }
        return self.post(tenant, **form)

    def refresh(
        self, token: str, tenant: str = CONTOSO, **changes: str | None
    ) -> requests.Response:
        return self.post(tenant, grant_type="refresh_token", refresh_token=token, **changes)

    def tokens(self, **changes: Any) -> dict[str, Any]:
        answer: dict[str, Any] = self.redeem(self.code(**changes)).json()
        return answer

    def graph(self, path: str, token: str, **headers: str) -> requests.Response:
        return self.call("GET", f"{self.standin.graph_url}{path}", token, headers=headers)

    def refresh_token(self, tenant: str = CONTOSO, account: str = "ada@contoso.com") -> str:
        """One that serves every resource, as its administrator has consented."""
        self.standin.grant_consent(tenant)
        answer = self.redeem(self.code(tenant, account), tenant).json()
        return str(answer["refresh_token"])

    def access_token(
        self, resource: str, account: str = "ada@contoso.com", **changes: str | None
    ) -> str:
        tenant = account.partition("@")[2]
        token = self.refresh_token(tenant, account)
        answer = self.refresh(token, tenant, scope=f"{resource}/.default", **changes).json()
        return str(answer["access_token"])

    def call(
        self,
        method: str,
        url: str,
        token: str = "",
        *,
        headers: dict[str, str] | None = None,
        body: object = None,
        **query: str,
    ) -> requests.Response:
        """Call an API, under any of its names."""
        sent = {"Authorization": f"Bearer {token}"} if token else {}
        with self.standin.session() as session:
            return session.request(
                method,
                url,
                params=query,
                headers={**sent, **(headers or {})},
                json=body,
                allow_redirects=False,
                timeout=10,
            )
