"""Microsoft Graph v1.0 on behalf of a connection's account."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, unquote_plus, urlencode
from uuid import UUID

import requests

from . import transport
from .anew import raised_anew
from .claims import challenge_in
from .clouds import Cloud
from .exceptions import Fault, RemoteError, UnavailableError
from .secret import Secret
from .text import displayable, is_guid

# Times that can be shown in every time zone.
_FIRST, _LAST = datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 12, 30, tzinfo=UTC)
SERVICE = "Microsoft Graph"
_SELECT = "id,appId,displayName,passwordCredentials"


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


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientSecret:
    """A password credential of an application as it can be read: without its value."""

    key_id: UUID
    name: str
    hint: str
    """The first three characters of the value."""
    starts_at: datetime | None
    expires_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """An application that is registered in the tenant."""

    id: UUID
    """The object id, by which Graph addresses it."""
    app_id: UUID
    """The application (client) id, by which people and Entra know it."""
    name: str
    secrets: tuple[ClientSecret, ...]
    """Those that expire first come first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplicationPage:
    """Some applications, and where Graph says that there are more."""

    applications: tuple[Application, ...]
    next_link: str
    """Empty on the last page."""
    is_complete: bool
    """Whether it could be read as a list, and the way to the next page, if there is one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSecret:
    """A new client secret; Graph tells its value this once."""

    key_id: UUID
    value: Secret
    expires_at: datetime | None


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

    def applications(
        self, search: str = "", *, next_link: str = "", size: int = 25
    ) -> ApplicationPage:
        """
        Return one page of applications by name, or of those that `search` finds.

        `search` is an application id, or words of a name; `next_link` an earlier page's,
        which leads to the first page where it isn't Graph's. Source: ``application-list``,
        ``aad-advanced-queries``, ``paging``.
        """
        listing = f"{self.cloud.graph}/v1.0/applications?"
        is_ours = next_link.startswith(listing)
        url = next_link if is_ours else listing + _listing_query(search, size)
        # Without it a search is refused, on each of its pages anew.
        is_search = "$search=" in unquote_plus(url)
        headers = {"ConsistencyLevel": "eventual"} if is_search else {}
        data = self._fetch(url, headers)
        found = map(_application, _objects(data.get("value")))
        more = str(data.get("@odata.nextLink") or "")
        is_followed = more.startswith(listing)
        return ApplicationPage(
            applications=tuple(one for one in found if one is not None),
            next_link=more if is_followed else "",
            is_complete=isinstance(data.get("value"), list) and (is_followed or not more),
        )

    def application(self, object_id: UUID) -> Application:
        """Return one application with its client secrets (``application-get``)."""
        found = _application(self._get(f"/applications/{object_id}?$select={_SELECT}"))
        if found is None:
            raise _unreadable()
        return found

    def add_password(
        self, object_id: UUID, *, name: str, starts_at: datetime, expires_at: datetime
    ) -> NewSecret:
        """
        Issue a client secret. Never tried twice: without an answer it may exist all the same.

        Source: ``application-addpassword``.
        """
        body = {
            "displayName": name,
            "startDateTime": _timestamp(starts_at),
            "endDateTime": _timestamp(expires_at),
        }
        path = f"/applications/{object_id}/addPassword"
        return raised_anew(lambda: self._issued(path, {"passwordCredential": body}))

    def _issued(self, path: str, body: dict[str, Any]) -> NewSecret:
        data = self._object(self._post(path, body))
        value = Secret(str(data.pop("secretText", None) or ""))
        if not (value and is_guid(str(data.get("keyId", "")))):
            raise _unreadable()
        return NewSecret(
            key_id=UUID(data["keyId"]), value=value, expires_at=_time(data.get("endDateTime"))
        )

    def remove_password(self, object_id: UUID, key_id: UUID) -> None:
        """
        Remove a client secret (``application-removepassword``).

        Raises RemoteError with status 400 or 404 where there is none, and at times for
        one that has only just been issued.
        """
        path = f"/applications/{object_id}/removePassword"
        response = self._post(path, {"keyId": str(key_id)})
        if response.status_code != 204:
            self._object(response)

    def _get(self, path: str) -> dict[str, Any]:
        return self._fetch(f"{self.cloud.graph}/v1.0{path}")

    def _fetch(self, url: str, headers: dict[str, str] | None = None) -> dict[str, Any]:
        auth = transport.Bearer(self.access_token)
        return self._object(transport.fetch(url, service=SERVICE, auth=auth, headers=headers))

    def _post(self, path: str, body: dict[str, Any]) -> requests.Response:
        url, auth = f"{self.cloud.graph}/v1.0{path}", transport.Bearer(self.access_token)
        return transport.send("POST", url, lambda: body, service=SERVICE, auth=auth)

    @staticmethod
    def _object(response: requests.Response) -> dict[str, Any]:
        """Return the JSON object of a 200, or raise what the answer means."""
        data = transport.json_object(response, SERVICE)
        if response.status_code in {200, 201}:
            return data
        error = data.get("error")
        code = str(error.get("code", "")) if isinstance(error, dict) else ""
        fault = Fault(
            service=SERVICE,
            http_status=response.status_code,
            error=code if code.isidentifier() and len(code) <= 64 else "",
            correlation_id=transport.request_id(response, "request-id"),
            claims=challenge_in(response.headers),
            retry_after=transport.retry_after(response),
        )
        is_transient = response.status_code in transport.TRANSIENT
        raise UnavailableError(fault) if is_transient else RemoteError(fault)


def _listing_query(search: str, size: int) -> str:
    query = {"$select": _SELECT, "$top": str(size)}
    if is_guid(search):
        query["$filter"] = f"appId eq '{search}'"
    elif search:
        words = search.replace("\\", "\\\\").replace('"', '\\"')
        query["$search"] = f'"displayName:{words}"'
    else:
        query["$orderby"] = "displayName"
    return urlencode(query, safe="$", quote_via=quote)


def _application(data: dict[str, Any]) -> Application | None:
    """Read an application; None where it lacks the ids without which it is no use."""
    ids = str(data.get("id", "")), str(data.get("appId", ""))
    if not all(map(is_guid, ids)):
        return None
    secrets = [
        ClientSecret(
            key_id=UUID(one["keyId"]),
            name=displayable(one.get("displayName")),
            hint=displayable(one.get("hint"), longest=3),
            starts_at=_time(one.get("startDateTime")),
            expires_at=_time(one.get("endDateTime")),
        )
        for one in _objects(data.get("passwordCredentials"))
        if is_guid(str(one.get("keyId", "")))
    ]
    return Application(
        id=UUID(ids[0]),
        app_id=UUID(ids[1]),
        name=displayable(data.get("displayName")),
        secrets=tuple(sorted(secrets, key=lambda secret: secret.expires_at or _LAST)),
    )


def _time(value: object) -> datetime | None:
    """Read a time as Graph writes it, in UTC and with up to seven digits of a second."""
    try:
        found = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    at = found if found.tzinfo else found.replace(tzinfo=UTC)
    return min(max(at, _FIRST), _LAST)


def _timestamp(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _unreadable() -> UnavailableError:
    return UnavailableError(Fault(service=SERVICE, http_status=200, error="unreadable_answer"))


def _objects(value: object) -> Iterator[dict[str, Any]]:
    """Yield the JSON objects of a list, and nothing where there is none."""
    for item in value if isinstance(value, list) else ():
        if isinstance(item, dict):
            yield item
