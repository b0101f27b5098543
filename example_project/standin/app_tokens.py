"""Client credentials: a token for an application alone, from one of its secrets."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from django.http import QueryDict

from .applications import Application
from .client_authentication import Client, check_secret_of
from .directory import Account, find_tenant
from .errors import Refusal
from .faults import Fault
from .grants import AccessToken
from .issuing import spoil
from .permissions import GRAPH
from .scopes import Asked, parse_scopes
from .state import STATE

_LIFETIME = 3599


def issue_to_application(
    client: Client,
    tenant: str,
    form: QueryDict,
    fault: Fault | None,
    refuse_if_planned: Callable[[], None],
) -> dict[str, object]:
    """The answer to this grant: of any application of the tenant, for one API."""
    found = find_tenant(tenant)
    if found is None:
        raise Refusal(50059)
    if not client.client_id:
        raise Refusal(900144, parameter="client_id")
    application = STATE.applications[found.id].find_by_app_id(client.client_id)
    if application is None:
        raise Refusal(700016, app=client.client_id, tenant=found.name)
    check_secret_of(application, client)
    refuse_if_planned()
    asked = _read_scope(form)
    body: dict[str, object] = {
        "token_type": "Bearer",
        "expires_in": _LIFETIME,
        "ext_expires_in": _LIFETIME,
        "access_token": _access_token(application, asked, found.id),
    }
    return spoil(body, "" if fault is None else fault.name)


def _read_scope(form: QueryDict) -> Asked:
    text = form.get("scope", "").strip()
    if not text:
        raise Refusal(900144, parameter="scope")
    if not text.endswith("/.default") or len(text.split()) != 1:
        raise Refusal(1002012, scope=text)
    return parse_scopes(text, unknown_permission=70011).first


def _access_token(application: Application, asked: Asked, tenant_id: str) -> str:
    now = STATE.now()
    token = AccessToken(
        value=STATE.grants.new_access_token(),
        account=_principal(application, tenant_id),
        resource=asked.resource,
        audience=asked.identifier,
        scopes=application.app_roles if asked.resource == GRAPH else (),
        issued_at=now,
        expires_at=now + timedelta(seconds=_LIFETIME),
        app_only=True,
    )
    STATE.grants.access_tokens[token.value] = token
    return token.value


def _principal(application: Application, tenant_id: str) -> Account:
    """The application as APIs see it: its service principal."""
    return Account(
        oid=application.principal_id,
        upn="",
        name=application.name,
        given_name="",
        surname="",
        role="Application",
        tenant_id=tenant_id,
    )
