"""Which fault hits a request to Graph, and may its token do this?"""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse, HttpResponseBase

from .bearer import is_revoked, sent_token
from .breakage import break_after, break_before
from .data_plane import Hit
from .fault_queue import Planned
from .faults import Where
from .grants import AccessToken
from .graph_answers import GraphError, challenged, graph_error, throttled, unavailable
from .permissions import GRAPH
from .state import STATE

_DENIED = "Insufficient privileges to complete the operation."


def serve(
    request: HttpRequest,
    where: Where,
    sufficient: set[str],
    answer: Callable[[AccessToken, Hit], HttpResponse],
) -> HttpResponseBase:
    """Answer, or break the answer, under the lock of the state."""
    token = sent_token(request)
    with STATE.lock:
        planned = _planned(token, where)
    hit = Hit()
    if planned is not None:
        name = planned.fault.name.removeprefix(f"{planned.fault.where}_")
        hit = Hit(name=name, seconds=planned.seconds)
    broken = _broken(request, hit) or break_before(planned, request)
    if broken is not None:
        return broken
    refused = _refused(request, token, sufficient, hit.name)
    if refused is not None or token is None:
        return refused or _unauthorized(request)
    try:
        with STATE.lock:
            response = answer(token, hit)
    except GraphError as error:
        response = graph_error(request, error.status, error.code, error.message)
    return break_after(planned, request, response)


def denied() -> GraphError:
    return GraphError(403, "Authorization_RequestDenied", _DENIED)


def _planned(token: AccessToken | None, where: Where) -> Planned | None:
    if token is not None and token.fault is not None:
        return Planned(fault=token.fault, times=None)
    tenant_id = "" if token is None else token.account.tenant_id
    planned = STATE.faults.take(where, tenant_id=tenant_id)
    if planned is None and where != "graph":
        return STATE.faults.take("graph", tenant_id=tenant_id)
    return planned


def _broken(request: HttpRequest, hit: Hit) -> HttpResponse | None:
    if hit.name == "throttled":
        return throttled(request, 30 if hit.seconds is None else hit.seconds)
    if hit.name == "throttled_without_retry_after":
        return throttled(request, None)
    if hit.name == "unavailable":
        return unavailable(request)
    return None


def _unauthorized(request: HttpRequest, text: str = "Access token is empty.") -> HttpResponse:
    return graph_error(request, 401, "InvalidAuthenticationToken", text)


def _refused(
    request: HttpRequest, token: AccessToken | None, sufficient: set[str], fault: str
) -> HttpResponse | None:
    value = request.headers.get("Authorization", "").partition(" ")[2].strip()
    if not value:
        return _unauthorized(request)
    if token is None or fault == "unauthorized":
        text = "CompactToken validation failed with reason code: 80049228."
        return _unauthorized(request, text)
    if token.resource != GRAPH:
        return _unauthorized(request, "Access token validation failure. Invalid audience.")
    if STATE.now() >= token.expires_at:
        return _unauthorized(request, "Access token has expired or is not yet valid.")
    # Only clients that declared they can handle it are challenged.
    if token.cae and (is_revoked(token) or fault == "claims_challenge"):
        return challenged(request)
    if fault == "claims_challenge":
        return _unauthorized(request, "Access token has expired or is not yet valid.")
    if fault == "forbidden" or sufficient.isdisjoint(token.scopes):
        return graph_error(request, 403, "Authorization_RequestDenied", _DENIED)
    return None
