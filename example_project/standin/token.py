"""POST /{tenant}/oauth2/v2.0/token."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse, QueryDict

from .aadsts import NOT_THE_ID
from .app_tokens import issue_to_application
from .breakage import break_after, break_before
from .client_authentication import check_client_id, check_secret, read_client
from .directory import SHARED_PATHS, find_tenant
from .errors import Refusal
from .fault_queue import Planned
from .faults import Fault
from .issuing import issue
from .permissions import GRAPH
from .redemption import find_code, find_refresh_token, redeem_code, redeem_refresh_token
from .state import STATE
from .trace import trace_of

FORM = "application/x-www-form-urlencoded"
_RETRY_AFTER = 60


def token(request: HttpRequest, tenant: str) -> HttpResponseBase:
    with STATE.lock:
        planned = _planned(request, tenant)
    broken = break_before(planned, request)
    if broken is not None:
        return broken
    try:
        with STATE.lock:
            response: HttpResponse = JsonResponse(_answer(request, tenant, planned))
    except Refusal as refusal:
        response = _refused(request, refusal, planned)
    code = 0 if response.status_code == 200 else response.status_code
    response["x-ms-clitelem"] = f"1,{code},0,,"
    return break_after(planned, request, response)


def _planned(request: HttpRequest, tenant: str) -> Planned | None:
    """The fault chosen for this very grant, or the next one in the queue."""
    form, grants = request.POST, STATE.grants
    grant = grants.codes.get(form.get("code", ""))
    refreshed = grants.refresh_tokens.get(form.get("refresh_token", ""))
    chosen: Fault | None = None
    if grant is not None:
        chosen = grant.fault
    elif refreshed is not None:
        chosen = refreshed.fault
    if chosen is not None and chosen.where == "token":
        return Planned(fault=chosen)
    found = find_tenant(tenant)
    return STATE.faults.take(
        "token",
        tenant_id=tenant if found is None else found.id,
        grant_type=form.get("grant_type", ""),
    )


def _answer(request: HttpRequest, tenant: str, planned: Planned | None) -> dict[str, object]:
    form = request.POST
    if request.method != "POST":
        raise Refusal(900561, method=request.method or "")
    if request.content_type != FORM or not form.get("grant_type"):
        raise Refusal(900144, parameter="grant_type")
    if find_tenant(tenant) is None and tenant not in SHARED_PATHS:
        raise Refusal(90002, tenant=tenant)
    client = read_client(request)
    fault = None if planned is None else planned.fault
    if form["grant_type"] == "client_credentials":
        return issue_to_application(
            client,
            tenant,
            form,
            fault,
            lambda: _refuse_if_planned(fault, tenant, form, client.client_id),
        )
    check_client_id(client, tenant)
    if "resource" in form:
        raise Refusal(901002)
    if form["grant_type"] == "authorization_code":
        code = find_code(form)
        check_secret(client)
        _refuse_if_planned(fault, tenant, form)
        return issue(redeem_code(code, form, tenant), form, fault)
    if form["grant_type"] == "refresh_token":
        refresh_token = find_refresh_token(form)
        check_secret(client)
        _refuse_if_planned(fault, tenant, form)
        return issue(redeem_refresh_token(refresh_token, form, tenant), form, fault)
    raise Refusal(70003, grant_type=form["grant_type"])


def _refuse_if_planned(fault: Fault | None, tenant: str, form: QueryDict, app_id: str = "") -> None:
    if fault is None or fault.kind != "refusal":
        return
    now = f"{STATE.now():%Y-%m-%dT%H:%M:%S.0000000Z}"
    raise Refusal(
        fault.code,
        text=NOT_THE_ID if fault.name == "secret_id_used" else "",
        app=app_id or STATE.app.client_id,
        name=STATE.app.name,
        tenant=tenant,
        resource=GRAPH.app_id,
        scope=form.get("scope", ""),
        uri=form.get("redirect_uri", ""),
        issued=now,
        valid_from=now,
    )


def _refused(request: HttpRequest, refusal: Refusal, planned: Planned | None) -> HttpResponse:
    response = JsonResponse(
        refusal.body(trace_of(request), STATE.origin), status=refusal.shape.status
    )
    if planned is not None and planned.fault.name == "throttled":
        seconds = _RETRY_AFTER if planned.seconds is None else planned.seconds
        response["Retry-After"] = f"{seconds:.0f}"
    return response
