"""GET /{tenant}/oauth2/v2.0/authorize: is this a request that Entra would accept?"""

from __future__ import annotations

import re

from django.http import HttpRequest, HttpResponse, HttpResponseBase, QueryDict
from django.views.decorators.http import require_GET

from .directory import SHARED_PATHS, find_account, find_tenant
from .errors import Refusal
from .pages import error_page, pick_page
from .redirect_uris import registered_redirect_uri
from .redirects import send_back, with_state
from .scopes import parse_scopes
from .sign_in import COOKIE, answer_automatically, answer_silently
from .state import STATE
from .trace import trace_of
from .visits import Destination, SignInRequest, begin_visit

_MODES = ("query", "fragment", "form_post")
_PROMPTS = ("", "login", "none", "consent", "select_account")


@require_GET
def authorize(request: HttpRequest, tenant: str) -> HttpResponseBase:
    try:
        destination = read_destination(request.GET, tenant)
    except Refusal as refusal:
        return error_page(request, refusal)
    try:
        sign_in = read_request(request.GET, tenant, destination)
    except Refusal as refusal:
        return refuse(request, destination, refusal)
    return enter(request, sign_in)


def enter(request: HttpRequest, sign_in: SignInRequest) -> HttpResponse:
    """Answer at once where no person is needed, else let one pick an account."""
    visit = begin_visit(sign_in)
    if sign_in.prompt == "none":
        return answer_silently(request, visit, find_account(request.COOKIES.get(COOKIE, "")))
    if STATE.auto is not None:
        return answer_automatically(request, visit, STATE.auto)
    return pick_page(request, visit)


def refuse(request: HttpRequest, destination: Destination, refusal: Refusal) -> HttpResponse:
    parameters = refusal.parameters(trace_of(request), STATE.origin)
    return send_back(request, destination, with_state(destination, parameters))


def read_destination(query: QueryDict, path: str) -> Destination:
    """Where the answer goes. Without a good address, every error stays on our page."""
    if find_tenant(path) is None and path not in SHARED_PATHS:
        raise Refusal(90002, tenant=path)
    client_id = query.get("client_id", "")
    if not client_id:
        raise Refusal(900144, parameter="client_id")
    if client_id.lower() != STATE.app.client_id:
        raise Refusal(700016, app=client_id, tenant=path)
    redirect_uri = registered_redirect_uri(query.get("redirect_uri", ""), STATE.app)
    mode = query.get("response_mode", "query")
    state = query.get("state")
    return Destination(
        redirect_uri=redirect_uri,
        mode=mode if mode in _MODES else "query",
        # Entra strips HTML from state.
        state=None if state is None else re.sub("<[^>]*>", "", state),
    )


def read_request(query: QueryDict, path: str, destination: Destination) -> SignInRequest:
    for parameter in ("response_type", "scope"):
        if not query.get(parameter, "").strip():
            raise Refusal(900144, parameter=parameter)
    response_type = query.get("response_type", "")
    if response_type != "code":
        raise Refusal(700054, response_type=response_type)
    if query.get("response_mode", "query") not in _MODES:
        raise Refusal(90023, parameter="response_mode")
    if query.get("prompt", "") not in _PROMPTS:
        raise Refusal(90023, parameter="prompt")
    tenant = find_tenant(path)
    challenge = query.get("code_challenge", "")
    return SignInRequest(
        tenant=tenant,
        path=path if tenant is None else tenant.id,
        destination=destination,
        scopes=parse_scopes(query.get("scope", ""), unknown_permission=650053),
        prompt=query.get("prompt", ""),
        nonce=query.get("nonce", ""),
        challenge=challenge,
        challenge_method=_challenge_method(query, challenge),
        login_hint=query.get("login_hint", ""),
        client_info=query.get("client_info") == "1",
    )


def _challenge_method(query: QueryDict, challenge: str) -> str:
    method = query.get("code_challenge_method", "plain")
    if method not in ("S256", "plain"):
        raise Refusal(90023, parameter="code_challenge_method")
    if not challenge:
        return ""
    good = len(challenge) == 43 if method == "S256" else 43 <= len(challenge) <= 128
    if not good:
        raise Refusal(501491)
    return method
