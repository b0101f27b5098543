"""A request to a data plane, and the fault that hits it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from django.http import HttpRequest, HttpResponse, HttpResponseBase

from .bearer import bearer_value
from .breakage import break_after, break_before
from .faults import Where
from .state import STATE

# These have a shape of their own in each data plane.
_SHAPED = ("throttled", "unavailable")


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """The fault, by its name without the data plane's; no name means none."""

    name: str = ""
    seconds: float | None = None


def run(
    request: HttpRequest, where: Where, tenant_id: str, answer: Callable[[Hit], HttpResponse]
) -> HttpResponseBase:
    """Answer, or break the answer, under the lock of the state."""
    planned = None
    # Key Vault's clients begin with a request without token; that must not use a fault up.
    if bearer_value(request):
        with STATE.lock:
            planned = STATE.faults.take(where, tenant_id=tenant_id)
    hit = Hit()
    if planned is not None:
        hit = Hit(name=planned.fault.name.removeprefix(f"{where}_"), seconds=planned.seconds)
    broken = None if hit.name in _SHAPED else break_before(planned, request)
    if broken is not None:
        return broken
    with STATE.lock:
        response = answer(hit)
    return break_after(planned, request, response)
