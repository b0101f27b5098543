"""App Configuration's shapes: key-values, problems, challenges and headers."""

from __future__ import annotations

import base64
import json
import uuid

from django.http import HttpRequest, HttpResponse
from django.utils.http import http_date

from .aadsts import CHALLENGE
from .stores import NO_LABEL, KeyValue

Document = dict[str, object]
KEY_VALUE = "application/vnd.microsoft.appconfig.kv+json"
_KEY_VALUE_SET = "application/vnd.microsoft.appconfig.kvset+json"
_PROBLEM = "application/problem+json"
_ERRORS = "https://azconfig.io/errors"


class Problem(Exception):
    """The store says no, with a problem document, or where it has none without a body."""

    def __init__(
        self, status: int, document: Document | None = None, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(status)
        self.status, self.document, self.headers = status, document, headers or {}

    def response(self) -> HttpResponse:
        if self.document is None:
            return HttpResponse(status=self.status, headers=self.headers)
        body = self.document | {"status": self.status}
        return _json(body, _PROBLEM, status=self.status, headers=self.headers)


def invalid_argument(name: str, detail: str, *, title: str = "") -> Problem:
    return Problem(
        400,
        {
            "type": f"{_ERRORS}/invalid-argument",
            "title": title or f"Invalid request parameter '{name}'",
            "name": name,
            "detail": detail,
        },
    )


def locked(key: str) -> Problem:
    return Problem(
        409,
        {
            "type": f"{_ERRORS}/key-locked",
            # The service spells it so.
            "title": f"Modifing key '{key}' is not allowed",
            "name": key,
            "detail": "The key is read-only. To allow modification unlock it first.",
        },
    )


def throttled(milliseconds: float) -> Problem:
    return Problem(
        429,
        {
            "type": f"{_ERRORS}/too-many-requests",
            "title": "Resource utilization has surpassed the assigned quota",
            "policy": "Total Requests",
        },
        {"retry-after-ms": f"{milliseconds:.0f}"},
    )


def unauthorized(description: str = "") -> Problem:
    """401; a request without a token gets the challenge without a reason."""
    challenge = "HMAC-SHA256, Bearer"
    if description:
        challenge += f' error="invalid_token", error_description="{description}"'
    return Problem(401, headers={"WWW-Authenticate": challenge})


def challenged() -> Problem:
    """Continuous access evaluation: the token is good no longer, sign in again."""
    claims = base64.b64encode(CHALLENGE.encode()).decode()
    challenge = f'HMAC-SHA256, Bearer error="insufficient_claims", claims="{claims}"'
    return Problem(401, headers={"WWW-Authenticate": challenge})


def key_value_document(item: KeyValue) -> Document:
    return {
        "etag": item.etag,
        "key": item.key,
        "label": None if item.label == NO_LABEL else item.label,
        "content_type": item.content_type,
        "value": item.value,
        "tags": item.tags,
        "locked": item.locked,
        "last_modified": item.last_modified.isoformat(timespec="seconds"),
    }


def key_value_response(item: KeyValue, fields: list[str]) -> HttpResponse:
    document = {name: value for name, value in key_value_document(item).items() if name in fields}
    response = _json(document, KEY_VALUE)
    response["ETag"] = quoted(item.etag)
    response["Last-Modified"] = http_date(item.last_modified.timestamp())
    return response


def list_response(items: list[Document], etag: str, next_link: str) -> HttpResponse:
    document: Document = {"items": items, "etag": etag}
    if next_link:
        document["@nextLink"] = next_link
    response = _json(document, _KEY_VALUE_SET)
    response["ETag"] = quoted(etag)
    if next_link:
        response["Link"] = f'<{next_link}>; rel="next"'
    return response


def quoted(etag: str) -> str:
    return f'"{etag}"'


def add_headers(request: HttpRequest, response: HttpResponse, sync_token: str) -> None:
    request_id = str(uuid.uuid4())
    response["Sync-Token"] = sync_token
    response["x-ms-request-id"] = request_id
    response["x-ms-correlation-request-id"] = request_id
    response["Strict-Transport-Security"] = "max-age=15724800; includeSubDomains"
    response["Access-Control-Allow-Origin"] = "*"
    sent = request.headers.get("x-ms-client-request-id")
    if sent:
        response["x-ms-client-request-id"] = sent
    if not response.content:
        del response["Content-Type"]


def _json(
    document: Document, media_type: str, *, status: int = 200, headers: dict[str, str] | None = None
) -> HttpResponse:
    return HttpResponse(
        json.dumps(document),
        status=status,
        content_type=f"{media_type}; charset=utf-8",
        headers=headers,
    )
