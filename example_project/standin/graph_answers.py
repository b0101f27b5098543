"""Graph's shapes: documents, errors and headers."""

from __future__ import annotations

import base64
import json
import uuid

from django.http import HttpRequest, HttpResponse

from .aadsts import CHALLENGE
from .state import STATE

_JSON = (
    "application/json;odata.metadata=minimal;odata.streaming=true;"
    "IEEE754Compatible=false;charset=utf-8"
)
_WHO = 'Bearer realm="", authorization_uri="{origin}/common/oauth2/authorize", client_id="{graph}"'
_GRAPH_APP_ID = "00000003-0000-0000-c000-000000000000"
CAE_TEXT = (
    "Continuous access evaluation resulted in claims challenge with result: InteractionRequired "
    "and code: TokenIssuedBeforeRevocationTimestamp"
)


class GraphError(Exception):
    """Graph says no."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


def _headers(request: HttpRequest) -> dict[str, str]:
    request_id = str(uuid.uuid4())
    diagnostic = {"ServerInfo": {"DataCenter": "Stand-in", "Slice": "E", "Ring": "1"}}
    return {
        "Cache-Control": "no-cache",
        "request-id": request_id,
        "client-request-id": request.headers.get("client-request-id") or request_id,
        "Strict-Transport-Security": "max-age=31536000",
        "Vary": "Accept-Encoding",
        "x-ms-ags-diagnostic": json.dumps(diagnostic, separators=(",", ":")),
    }


def graph_json(
    request: HttpRequest, document: dict[str, object], *, units: int = 1
) -> HttpResponse:
    response = HttpResponse(json.dumps(document), content_type=_JSON, headers=_headers(request))
    response["odata-version"] = "4.0"
    response["x-ms-resource-unit"] = str(units)
    return response


def no_content(request: HttpRequest) -> HttpResponse:
    response = HttpResponse(status=204, headers=_headers(request))
    del response["Content-Type"]
    response["x-ms-resource-unit"] = "1"
    return response


def graph_error(request: HttpRequest, status: int, code: str, message: str) -> HttpResponse:
    headers = _headers(request)
    inner = {
        # Without a zone, unlike every other time of Microsoft's.
        "date": f"{STATE.now():%Y-%m-%dT%H:%M:%S}",
        "request-id": headers["request-id"],
        "client-request-id": headers["client-request-id"],
    }
    body = {"error": {"code": code, "message": message, "innerError": inner}}
    response = HttpResponse(
        json.dumps(body), status=status, content_type="application/json", headers=headers
    )
    if status == 401:
        response["WWW-Authenticate"] = _WHO.format(origin=STATE.origin, graph=_GRAPH_APP_ID)
    return response


def challenged(request: HttpRequest) -> HttpResponse:
    """Continuous access evaluation: the token is good no longer, sign in again."""
    response = graph_error(request, 401, "InvalidAuthenticationToken", CAE_TEXT)
    claims = base64.b64encode(CHALLENGE.encode()).decode()
    response["WWW-Authenticate"] += f', error="insufficient_claims", claims="{claims}"'
    return response


def throttled(request: HttpRequest, retry_after: float | None) -> HttpResponse:
    text = "Too many requests. Please retry later."
    response = graph_error(request, 429, "TooManyRequests", text)
    response["x-ms-throttle-limit-percentage"] = "1.2"
    response["x-ms-throttle-scope"] = "Tenant_Application/ReadWrite/stand-in"
    response["x-ms-throttle-information"] = "ResourceUnitLimitExceeded"
    if retry_after is not None:
        response["Retry-After"] = f"{retry_after:.0f}"
    return response


def unavailable(request: HttpRequest) -> HttpResponse:
    text = "The service is temporarily unavailable. Please retry later."
    return graph_error(request, 503, "ServiceUnavailable", text)
