"""Broken HTTP: the transport faults turned into responses."""

from __future__ import annotations

import os
import socket
import struct
import time
from collections.abc import Iterator
from typing import cast

from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse

from .fault_queue import Planned
from .server import StandInHandler
from .state import STATE

HTML = (
    b"<html><head><title>Error</title></head>"
    b"<body><h2>Our services aren't available right now</h2></body></html>"
)
HUGE = 5 * 1024 * 1024
_DEFAULT_SLOWNESS = 5.0
# Slow here means that the write happens at once, but is answered late.
_WRITES = ("graph_add", "graph_remove")


def break_before(planned: Planned | None, request: HttpRequest) -> HttpResponseBase | None:
    """The broken answer that comes instead of the real one, if any."""
    if planned is None or planned.fault.kind != "transport":
        return None
    name = planned.fault.name.removeprefix(f"{planned.fault.where}_")
    if name == "slow":
        if planned.fault.where not in _WRITES:
            _dawdle(planned)
        return None
    if name == "unavailable":
        return HttpResponse(HTML, status=503)
    if name in ("html", "html_200"):
        return HttpResponse(HTML, status=500 if name == "html" else 200)
    if name == "empty":
        return HttpResponse(b"", content_type="application/json; charset=utf-8")
    if name == "huge":
        body = b'{"padding":"' + b"x" * HUGE + b'"}'
        return HttpResponse(body, content_type="application/json; charset=utf-8")
    if name == "redirect":
        return HttpResponse(status=302, headers={"Location": f"{STATE.origin}/elsewhere"})
    if name == "throttled":
        retry_after = "60" if planned.seconds is None else f"{planned.seconds:.0f}"
        return HttpResponse(b"", status=429, headers={"Retry-After": retry_after})
    if name == "reset":
        return StreamingHttpResponse(_reset(request))
    return None


def break_after(
    planned: Planned | None, request: HttpRequest, response: HttpResponse
) -> HttpResponseBase:
    """The real answer, or what is left of it on a bad line."""
    if planned is None or planned.fault.kind != "transport":
        return response
    name = planned.fault.name.removeprefix(f"{planned.fault.where}_")
    if name == "slow" and planned.fault.where in _WRITES:
        _dawdle(planned)
    if name == "lost":
        return StreamingHttpResponse(_reset(request), status=response.status_code)
    if name not in ("drip", "truncated"):
        return response
    handler = _handler(request)
    handler.close_connection = True
    body = response.content
    pace = 1.0 if planned.seconds is None else planned.seconds
    chunks = _drip(body, pace) if name == "drip" else iter([body[: len(body) // 2]])
    broken = StreamingHttpResponse(chunks, status=response.status_code)
    for header, value in response.items():
        broken[header] = value
    broken["Content-Length"] = str(len(body))
    return broken


def _dawdle(planned: Planned) -> None:
    time.sleep(_DEFAULT_SLOWNESS if planned.seconds is None else planned.seconds)


def _drip(body: bytes, seconds: float) -> Iterator[bytes]:
    for index in range(len(body)):
        yield body[index : index + 1]
        time.sleep(seconds)


def _handler(request: HttpRequest) -> StandInHandler:
    handler = request.META["standin.handler"]
    assert isinstance(handler, StandInHandler)  # noqa: S101
    return handler


def _reset(request: HttpRequest) -> Iterator[bytes]:
    handler = _handler(request)
    handler.close_connection = True
    # The stubs take the connection for a Django request.
    connection = cast("socket.socket", handler.connection)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    # close() would wait for the other files made from the socket; this ends it now, with RST.
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, connection.fileno())
    os.close(nowhere)
    raise ConnectionResetError
    yield b""
