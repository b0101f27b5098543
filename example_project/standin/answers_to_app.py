"""The answers that the browser carries back, as they should be or spoiled by a fault."""

from __future__ import annotations

import json
import uuid

from django.http import HttpRequest, HttpResponse

from .directory import Account
from .errors import Refusal
from .fault_queue import Planned
from .faults import Fault
from .grants import Code
from .keys import base64url
from .redirects import Parameters, send_back, with_state
from .state import STATE
from .trace import trace_of
from .visits import Visit

COOKIE = "standin_account"
_FAULT_ERRORS = {
    "authorize_server_error": "server_error",
    "authorize_temporarily_unavailable": "temporarily_unavailable",
    "authorize_consent_required": "consent_required",
    "authorize_interaction_required": "interaction_required",
}


def cancelled(request: HttpRequest, visit: Visit) -> HttpResponse:
    """No description at all: that is how cancelling looks."""
    return _send(request, visit, [("error", "access_denied"), ("error_subcode", "cancel")])


def declined(request: HttpRequest, visit: Visit) -> HttpResponse:
    error = "consent_required" if visit.request.admin_consent else ""
    return refused(request, visit, Refusal(65004), error)


def refused(request: HttpRequest, visit: Visit, refusal: Refusal, error: str = "") -> HttpResponse:
    """An error redirect, with another `error` than the token endpoint's where it differs."""
    parameters = dict(refusal.parameters(trace_of(request), STATE.origin))
    parameters["error"] = error or parameters["error"]
    return _send(request, visit, list(parameters.items()))


def succeeded(request: HttpRequest, visit: Visit, account: Account) -> HttpResponse:
    with STATE.lock:
        planned = STATE.faults.take("authorize", tenant_id=account.tenant_id)
    fault = _fault(visit, planned)
    if fault is not None and fault.kind == "redirect_error":
        return _faulty_error(request, visit, fault)
    if visit.request.admin_consent:
        response = _send(request, visit, _admin_consent(visit, account))
    else:
        parameters = with_state(visit.request.destination, _code(visit, account))
        spoilt = _spoil(parameters, fault)
        response = send_back(request, visit.request.destination, spoilt)
    # A browser that signed in has a session, which only prompt=none looks at.
    response.set_cookie(COOKIE, account.oid, httponly=True, samesite="Lax")
    return response


def _fault(visit: Visit, planned: Planned | None) -> Fault | None:
    if visit.fault is not None and visit.fault.where == "authorize":
        return visit.fault
    return None if planned is None else planned.fault


def _send(request: HttpRequest, visit: Visit, parameters: Parameters) -> HttpResponse:
    if visit.request.admin_consent and parameters[0][0] == "error":
        # Entra says so even in the error.
        parameters = [("admin_consent", "True"), *parameters]
    destination = visit.request.destination
    return send_back(request, destination, with_state(destination, parameters))


def _faulty_error(request: HttpRequest, visit: Visit, fault: Fault) -> HttpResponse:
    if fault.name == "authorize_cancelled":
        return cancelled(request, visit)
    refusal = Refusal(fault.code or 90033, app=STATE.app.client_id, name=STATE.app.name)
    return refused(request, visit, refusal, _FAULT_ERRORS.get(fault.name, ""))


def _admin_consent(visit: Visit, account: Account) -> Parameters:
    return [
        ("admin_consent", "True"),
        ("tenant", account.tenant_id),
        ("scope", visit.request.scopes.text),
    ]


def _code(visit: Visit, account: Account) -> Parameters:
    asked = visit.request
    code = Code(
        value=STATE.grants.new_code(),
        account=account,
        path=asked.path,
        redirect_uri=asked.destination.redirect_uri,
        challenge=asked.challenge,
        challenge_method=asked.challenge_method,
        scopes=asked.scopes,
        nonce=asked.nonce,
        session_id=str(uuid.uuid4()),
        issued_at=STATE.now(),
        fault=visit.fault,
        later_fault=visit.later_fault,
    )
    with STATE.lock:
        STATE.grants.codes[code.value] = code
    parameters = [("code", code.value)]
    if asked.client_info:
        parameters.append(("client_info", client_info(account)))
    return [*parameters, ("session_state", code.session_id)]


def client_info(account: Account) -> str:
    info = {"uid": account.oid, "utid": account.tenant_id}
    return base64url(json.dumps(info, separators=(",", ":")).encode())


def _spoil(parameters: Parameters, fault: Fault | None) -> Parameters:
    if fault is None:
        return parameters
    values = dict(parameters)
    if fault.name == "iss_wrong":
        values["iss"] = "https://sts.example.com/v2.0"
    elif fault.name in ("code_missing", "state_missing"):
        values.pop(fault.name.removesuffix("_missing"), None)
    elif fault.name == "state_altered":
        values["state"] = f"x{values.get('state', '')}"
    elif fault.name == "code_too_long":
        values["code"] = values["code"] + "A" * 20_000
    elif fault.name == "code_invented":
        values["code"] = "invented"
    elif fault.name == "error_and_code":
        values |= {"error": "access_denied", "error_description": "AADSTS65004: Declined."}
    spoilt = list(values.items())
    if fault.name == "code_duplicated":
        spoilt.insert(1, ("code", STATE.grants.new_code()))
    return spoilt
