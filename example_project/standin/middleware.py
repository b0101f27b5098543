"""Around every request: its identifiers, the journal, and slowness."""

from __future__ import annotations

import time
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse, HttpResponseBase

from .domains import PATHS
from .state import STATE
from .trace import begin_trace

_OWN_PATHS = ("/_standin/", "/favicon.ico")
_APIS = ("/graph/", *PATHS)


class StandInMiddleware:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        trace = begin_trace(request, STATE.timestamp())
        if request.path.startswith(_OWN_PATHS):
            return _with_length(self.get_response(request))
        with STATE.lock:
            entry = STATE.journal.begin(request)
        if STATE.latency and (request.path.endswith("/token") or request.path.startswith(_APIS)):
            time.sleep(STATE.latency)
        response = self.get_response(request)
        entry["status"] = response.status_code
        if not request.path.startswith(_APIS):
            response["x-ms-request-id"] = trace.trace_id
            response["x-ms-ests-server"] = "2.1.0 - stand-in"
            response.headers.setdefault("Cache-Control", "no-store, no-cache")
            response["Pragma"] = "no-cache"
            response["Expires"] = "-1"
        return _with_length(response)


def _with_length(response: HttpResponseBase) -> HttpResponseBase:
    """Without a length the connection could not be kept open."""
    if isinstance(response, HttpResponse) and "Content-Length" not in response:
        response["Content-Length"] = str(len(response.content))
    return response
