"""The pages a person sees."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from .directory import TENANTS, tenant_of
from .errors import Refusal
from .faults import menu
from .permissions import RESOURCES, Permission
from .state import STATE
from .trace import trace_of
from .visits import Visit


def error_page(request: HttpRequest, refusal: Refusal) -> HttpResponse:
    """The page on which Entra keeps a person whom it cannot send back."""
    context = {"refusal": refusal, "trace": trace_of(request), "app": STATE.app}
    return render(request, "standin/error.html", context, status=400)


def pick_page(request: HttpRequest, visit: Visit) -> HttpResponse:
    tenant = visit.request.tenant
    hint = visit.request.login_hint.lower()
    ours = [t for t in TENANTS if tenant is None or t == tenant]
    context = {
        "visit": visit,
        "app": STATE.app,
        "tenants": [(t, sorted(t.accounts, key=lambda a: a.upn != hint)) for t in ours],
        "other_tenants": [(t, t.accounts) for t in TENANTS if t not in ours],
        "faults": menu(),
    }
    return render(request, "standin/pick.html", context)


def consent_page(
    request: HttpRequest, visit: Visit, permissions: tuple[Permission, ...]
) -> HttpResponse:
    assert visit.account is not None  # noqa: S101
    groups = [
        (resource.name, [p for p in permissions if p.resource == key])
        for key, resource in RESOURCES.items()
    ]
    blocked = not visit.account.is_admin and any(p.admin_only for p in permissions)
    context = {
        "visit": visit,
        "app": STATE.app,
        "tenant": tenant_of(visit.account),
        "groups": [(name, found) for name, found in groups if found],
        "blocked": blocked or (visit.request.admin_consent and not visit.account.is_admin),
    }
    name = "approval" if context["blocked"] else "consent"
    return render(request, f"standin/{name}.html", context)
