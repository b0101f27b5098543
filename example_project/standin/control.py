"""The control API under /_standin/: JSON in, JSON out, for tests and the demo."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, JsonResponse
from django.views.decorators.http import require_GET

from .consents import EVERYONE, named
from .directory import TENANTS, Account, Tenant, find_account, find_tenant
from .fault_queue import Planned
from .faults import FAULTS
from .permissions import RESOURCES
from .state import STATE, Auto

Body = dict[str, Any]
_DECISIONS = ("accept", "decline", "cancel", "consent_for_all")


class Mistake(Exception):
    """The control request makes no sense; said with status 400."""


def control(
    *methods: str,
) -> Callable[[Callable[[str, Body], object]], Callable[[HttpRequest], JsonResponse]]:
    """Make a view of a function that takes the method and the JSON body."""

    def wrap(act: Callable[[str, Body], object]) -> Callable[[HttpRequest], JsonResponse]:
        def view(request: HttpRequest) -> JsonResponse:
            method = request.method or ""
            if method not in methods:
                return JsonResponse({"error": f"use {' or '.join(methods)}"}, status=405)
            try:
                body = json.loads(request.body or b"{}")
                with STATE.lock:
                    answer = act(method, body)
            except (Mistake, KeyError, TypeError, ValueError) as error:
                return JsonResponse({"error": str(error)}, status=400)
            return JsonResponse(answer if answer is not None else {"ok": True}, safe=False)

        return view

    return wrap


@control("POST")
def reset(method: str, body: Body) -> None:
    """Back to the seeded state, with a fresh journal."""
    STATE.reset()


@control("GET", "POST", "DELETE")
def faults(method: str, body: Body) -> object:
    """POST {"fault", "times"?: int|null, "seconds"?, "tenant"?, "grant_type"?}; DELETE clears.

    times null: until cleared. GET lists the known names and those still pending.
    """
    if method == "DELETE":
        STATE.faults.clear()
    elif method == "POST":
        if body["fault"] not in FAULTS:
            raise Mistake(f"unknown fault {body['fault']!r}")
        STATE.faults.add(
            Planned(
                fault=FAULTS[body["fault"]],
                times=body.get("times", 1),
                seconds=body.get("seconds"),
                tenant_id=tenant_named(body["tenant"]).id if body.get("tenant") else "",
                grant_type=body.get("grant_type") or "",
            )
        )
    pending = [{"fault": p.fault.name, "times": p.times} for p in STATE.faults.pending()]
    known = {f.name: {"label": f.label, "where": f.where} for f in FAULTS.values()}
    return {"pending": pending, "known": known}


@control("GET")
def journal(method: str, body: Body) -> object:
    """Every request since the last reset, oldest first, without secrets."""
    return STATE.journal.entries()


@control("POST")
def auto(method: str, body: Body) -> None:
    """POST {"account": upn|null, "decision"?}: authorize answers without pages; null: pages.

    decision: accept (the default), decline, cancel or consent_for_all.
    """
    if body["account"] is None:
        STATE.auto = None
        return
    decision = body.get("decision") or "accept"
    if decision not in _DECISIONS:
        raise Mistake(f"unknown decision {decision!r}")
    STATE.auto = Auto(account=account_named(body["account"]), decision=decision)


@control("POST")
def consents(method: str, body: Body) -> None:
    """POST {"action": "grant"|"revoke", "tenant", "account"?: upn, "resource"?, "scopes"?: [...]}.

    Without account: granted for everyone in the tenant, or revoked from all.
    Without resource: all registered permissions, or every grant.
    resource: graph, key_vault or app_configuration; scopes: names, default all registered.
    """
    tenant = tenant_named(body["tenant"])
    resource = body.get("resource") or ""
    oid = account_named(body["account"]).oid if body.get("account") else None
    if resource not in ("", *RESOURCES):
        raise Mistake(f"unknown resource {resource!r}")
    if body["action"] == "revoke":
        STATE.consents.revoke(tenant.id, oid=oid, resource=resource)
        return
    registered = [p for p in STATE.app.permissions if resource in ("", p.resource)]
    if body.get("scopes") is not None:
        registered = list(named(resource or "graph", body["scopes"]))
    STATE.consents.grant(tenant.id, EVERYONE if oid is None else oid, registered)


@control("POST")
def revoke_sessions(method: str, body: Body) -> None:
    """POST {"account": upn}: every refresh token given to it so far answers 50173."""
    STATE.grants.revoke_sessions(account_named(body["account"]), STATE.now())


@control("GET", "POST")
def reuse(method: str, body: Body) -> object:
    """POST: from now on a refresh token that is sent twice ends its session (50173).

    GET tells how often that has happened. Entra itself lets replaced ones work on.
    """
    STATE.grants.detects_reuse |= method == "POST"
    return {"double_uses": STATE.grants.double_uses}


@control("POST")
def clock(method: str, body: Body) -> None:
    """POST {"offset_seconds": n}: the stand-in's clock runs that far ahead of the real one."""
    STATE.offset = float(body["offset_seconds"])


@control("POST")
def rotate_keys(method: str, body: Body) -> None:
    """POST {"drop_old"?: bool}: sign with a new key; the old ones stay published or not."""
    STATE.keys.rotate(drop_old=bool(body.get("drop_old")))


@control("POST")
def latency(method: str, body: Body) -> None:
    """POST {"seconds": x}: every call of the token endpoint or an API takes that much longer."""
    STATE.latency = float(body["seconds"])


@control("POST")
def canaries(method: str, body: Body) -> None:
    """POST {"code"?, "access_token"?, "refresh_token"?, "secret"?}: prefixes of what is given out.

    secret: a client secret's value, which is never longer than 40 characters.
    """
    kinds = ("code", "access_token", "refresh_token", "secret")
    for kind in body:
        if kind not in kinds:
            raise Mistake(f"unknown kind {kind!r}")
    for kind in kinds:
        setattr(STATE.grants.canaries, kind, str(body.get(kind) or ""))


@require_GET
def registration(request: HttpRequest) -> JsonResponse:
    """The application, its redirect URIs, the tenants and their accounts; no secret."""
    tenants = [
        {"id": t.id, "name": t.name, "domains": t.domains, "accounts": _accounts(t)}
        for t in TENANTS
    ]
    return JsonResponse(
        {
            "client_id": STATE.app.client_id,
            "name": STATE.app.name,
            "secret_ids": [secret.id for secret in STATE.app.secrets],
            "redirect_uris": STATE.app.redirect_uris,
            "permissions": [f"{p.resource}: {p.name}" for p in STATE.app.permissions],
            "authority": STATE.origin,
            "graph": f"{STATE.origin}/graph/v1.0",
            "vaults": {v.name: v.tenant_id for v in STATE.vaults.values()},
            "stores": {s.name: s.tenant_id for s in STATE.stores.values()},
            "tenants": tenants,
        }
    )


def _accounts(tenant: Tenant) -> list[dict[str, object]]:
    return [
        {"oid": a.oid, "upn": a.upn, "name": a.name, "role": a.role, "is_admin": a.is_admin}
        for a in tenant.accounts
    ]


def tenant_named(name: str) -> Tenant:
    tenant = find_tenant(name)
    if tenant is None:
        raise Mistake(f"unknown tenant {name!r}")
    return tenant


def account_named(upn: str) -> Account:
    account = find_account(upn)
    if account is None:
        raise Mistake(f"unknown account {upn!r}")
    return account
