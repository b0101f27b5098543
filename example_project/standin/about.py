"""What is neither Entra nor an API: the front page, the style sheet, the decoys."""

from __future__ import annotations

from pathlib import Path

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render

from .directory import TENANTS
from .domains import STORES, VAULTS
from .fault_queue import Planned
from .faults import FAULTS, menu_of_calls
from .state import STATE

_STYLE = Path(__file__).parent / "style.css"


def front(request: HttpRequest) -> HttpResponse:
    """Tell what there is; POST a fault for the next call that it fits, or clear them."""
    if request.method == "POST":
        fault = FAULTS.get(request.POST.get("fault", ""))
        with STATE.lock:
            if fault is None:
                STATE.faults.clear()
            else:
                STATE.faults.add(Planned(fault=fault))
        return redirect("/")
    context = {
        "faults": menu_of_calls(),
        "pending": [planned.fault.label for planned in STATE.faults.pending()],
        "app": STATE.app,
        "tenants": TENANTS,
        "origin": STATE.origin,
        "vaults": [f"{STATE.origin}/{VAULTS.path}/{name}" for name in STATE.vaults],
        "stores": [f"{STATE.origin}/{STORES.path}/{name}" for name in STATE.stores],
    }
    return render(request, "standin/front.html", context)


def style(request: HttpRequest) -> HttpResponse:
    return HttpResponse(_STYLE.read_bytes(), content_type="text/css; charset=utf-8")


def elsewhere(request: HttpRequest) -> HttpResponse:
    """Where a redirecting fault points; the journal shows who followed."""
    return JsonResponse({"followed": True})


def error_lookup(request: HttpRequest) -> HttpResponse:
    return render(request, "standin/lookup.html", {"code": request.GET.get("code", "")})


def no_icon(request: HttpRequest) -> HttpResponse:
    return HttpResponse(status=204)
