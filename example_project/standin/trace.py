"""The identifiers that Entra gives to one request."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from django.http import HttpRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    trace_id: str
    correlation_id: str
    timestamp: str


def begin_trace(request: HttpRequest, timestamp: str) -> Trace:
    """Name this request; the caller's client-request-id becomes the correlation id."""
    sent = request.headers.get("client-request-id") or request.GET.get("client-request-id")
    trace = Trace(
        trace_id=str(uuid.uuid4()),
        correlation_id=sent or str(uuid.uuid4()),
        timestamp=timestamp,
    )
    request.META["standin.trace"] = trace
    return trace


def trace_of(request: HttpRequest) -> Trace:
    trace = request.META["standin.trace"]
    assert isinstance(trace, Trace)  # noqa: S101
    return trace
