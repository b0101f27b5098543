"""GET /{tenant}/v2.0/adminconsent: ask an administrator for the whole organization."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponseBase
from django.views.decorators.http import require_GET

from .authorize import enter, read_destination
from .directory import find_tenant
from .errors import Refusal
from .pages import error_page
from .redirects import send_back, with_state
from .scopes import parse_scopes
from .state import STATE
from .trace import trace_of
from .visits import SignInRequest


@require_GET
def admin_consent(request: HttpRequest, tenant: str) -> HttpResponseBase:
    try:
        destination = read_destination(request.GET, tenant)
        if tenant == "common":
            raise Refusal(90130, app=STATE.app.client_id)
    except Refusal as refusal:
        return error_page(request, refusal)
    try:
        if not request.GET.get("scope", "").strip():
            raise Refusal(900144, parameter="scope")
        scopes = parse_scopes(request.GET["scope"], unknown_permission=650053)
    except Refusal as refusal:
        parameters = refusal.parameters(trace_of(request), STATE.origin)
        answer = [("admin_consent", "True"), *parameters]
        return send_back(request, destination, with_state(destination, answer))
    found = find_tenant(tenant)
    sign_in = SignInRequest(
        tenant=found,
        path=tenant if found is None else found.id,
        destination=destination,
        scopes=scopes,
        admin_consent=True,
    )
    return enter(request, sign_in)
