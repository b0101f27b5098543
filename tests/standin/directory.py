"""Graph's applications as a test calls them, as one account."""

from __future__ import annotations

from typing import Any

import requests

from .app import CONTOSO, GRAPH, App

HEADER = {"ConsistencyLevel": "eventual"}


class Caller:
    def __init__(self, app: App, account: str = "ada@contoso.com") -> None:
        self.app, self.standin = app, app.standin
        self.token = app.access_token(GRAPH, account)

    def get(
        self, path: str = "", headers: dict[str, str] | None = None, **options: object
    ) -> requests.Response:
        """GET /applications...; options without their "$"."""
        query = {f"${name}": str(value) for name, value in options.items()}
        return self.app.call("GET", self.url(path), self.token, headers=headers, **query)

    def follow(self, link: str, headers: dict[str, str] | None = None) -> requests.Response:
        return self.app.call("GET", link, self.token, headers=headers)

    def add(self, id_: str, **wish: Any) -> requests.Response:
        return self.post(f"/{id_}/addPassword", {"passwordCredential": wish})

    def remove(self, id_: str, key_id: str) -> requests.Response:
        return self.post(f"/{id_}/removePassword", {"keyId": key_id})

    def post(self, path: str, body: object) -> requests.Response:
        return self.app.call("POST", self.url(path), self.token, body=body)

    def url(self, path: str) -> str:
        return f"{self.standin.graph_url}/applications{path}"

    def seen(self, id_: str) -> list[str]:
        """The ids of the secrets that a read shows."""
        secrets = self.get(f"/{id_}", select="passwordCredentials").json()["passwordCredentials"]
        return [secret["keyId"] for secret in secrets]

    def named(self, name: str, tenant: str = CONTOSO) -> dict[str, Any]:
        return self.standin.application(tenant, name)


def error_of(response: requests.Response) -> tuple[int, str]:
    return response.status_code, response.json()["error"]["code"]


def names_of(response: requests.Response) -> list[str]:
    return [application["displayName"] for application in response.json()["value"]]
