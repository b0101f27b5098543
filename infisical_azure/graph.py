"""Microsoft Graph v1.0 on behalf of a connection's account."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import requests
from requests.auth import AuthBase

from . import transport
from .clouds import Cloud
from .exceptions import Fault, RemoteError, UnavailableError
from .secret import Secret
from .text import displayable

SERVICE = "Microsoft Graph"


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphUser:
    """The signed-in account; `id` equals the id token's oid."""

    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Directory:
    """The tenant as its people know it."""

    name: str
    domain: str
    """The default verified domain."""


class _Bearer(AuthBase):
    """An Authorization header that ~/.netrc can't replace and no repr shows."""

    def __init__(self, token: Secret) -> None:
        self.token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self.token.reveal()}"
        return request


class GraphClient:
    """
    Calls to Graph with one access token.

    Every method raises RemoteError when Graph refuses and UnavailableError when it
    doesn't answer. Source: microsoft-graph-docs v1.0.
    """

    def __init__(self, access_token: Secret, cloud: Cloud) -> None:
        self.access_token = access_token
        self.cloud = cloud

    def me(self) -> GraphUser:
        """Return the account that the token was issued for (``GET /me``)."""
        return GraphUser(id=str(self._get("/me").get("id", "")))

    def organization(self) -> Directory:
        """Return the tenant's name and default domain (``GET /organization``)."""
        entry = next(_objects(self._get("/organization").get("value")), {})
        domains = _objects(entry.get("verifiedDomains"))
        default = next((domain.get("name") for domain in domains if domain.get("isDefault")), "")
        return Directory(name=displayable(entry.get("displayName")), domain=displayable(default))

    def _get(self, path: str) -> dict[str, Any]:
        url = f"{self.cloud.graph}/v1.0{path}"
        response = transport.fetch(url, service=SERVICE, auth=_Bearer(self.access_token))
        data = transport.json_object(response, SERVICE)
        if response.status_code == 200:
            return data
        error = data.get("error")
        code = str(error.get("code", "")) if isinstance(error, dict) else ""
        fault = Fault(
            service=SERVICE,
            http_status=response.status_code,
            error=code if code.isidentifier() and len(code) <= 64 else "",
            correlation_id=_request_id(response),
            retry_after=transport.retry_after(response),
        )
        is_transient = response.status_code in transport.TRANSIENT
        raise UnavailableError(fault) if is_transient else RemoteError(fault)


def _objects(value: object) -> Iterator[dict[str, Any]]:
    """Yield the JSON objects of a list, and nothing where there is none."""
    for item in value if isinstance(value, list) else ():
        if isinstance(item, dict):
            yield item


def _request_id(response: requests.Response) -> str:
    value = response.headers.get("request-id", "")
    return value if value.replace("-", "").isalnum() and len(value) <= 64 else ""
