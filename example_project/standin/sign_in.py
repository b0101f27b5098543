"""What follows when an account was picked and a decision was made."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse

from .answers_to_app import COOKIE, cancelled, declined, refused, succeeded
from .consents import EVERYONE
from .directory import Account
from .errors import Refusal
from .pages import consent_page, error_page
from .permissions import Permission
from .state import STATE, Auto
from .visits import Visit

__all__ = ["COOKIE", "answer_automatically", "answer_silently", "choose", "decide"]


def choose(request: HttpRequest, visit: Visit, account: Account) -> HttpResponse:
    """An account was picked: let it in, keep it out, or ask it for consent."""
    visit.account = account
    try:
        check_account(visit, account)
    except Refusal as refusal:
        return error_page(request, refusal)
    permissions = to_ask(visit, account)
    if permissions or visit.request.admin_consent:
        return consent_page(request, visit, permissions)
    return succeeded(request, visit, account)


def decide(request: HttpRequest, visit: Visit, account: Account, decision: str) -> HttpResponse:
    """The consent page was answered."""
    if decision == "cancel":
        return cancelled(request, visit)
    if decision == "decline":
        return declined(request, visit)
    permissions = to_ask(visit, account)
    admin_only = visit.request.admin_consent or any(p.admin_only for p in permissions)
    if admin_only and not account.is_admin:
        return consent_page(request, visit, permissions)
    for_everyone = account.is_admin and (
        decision == "consent_for_all" or visit.request.admin_consent
    )
    with STATE.lock:
        holder = EVERYONE if for_everyone else account.oid
        STATE.consents.grant(account.tenant_id, holder, permissions)
    return succeeded(request, visit, account)


def answer_automatically(request: HttpRequest, visit: Visit, auto: Auto) -> HttpResponse:
    """Do what a person would, for tests that do not click."""
    if auto.decision == "cancel":
        return cancelled(request, visit)
    visit.account = auto.account
    try:
        check_account(visit, auto.account)
    except Refusal as refusal:
        return error_page(request, refusal)
    return decide(request, visit, auto.account, auto.decision)


def answer_silently(request: HttpRequest, visit: Visit, account: Account | None) -> HttpResponse:
    """prompt=none: never a page."""
    if STATE.auto is not None:
        account = STATE.auto.account
    if account is None:
        return refused(request, visit, Refusal(50058), "login_required")
    try:
        check_account(visit, account)
        if to_ask(visit, account):
            raise Refusal(65001, app=STATE.app.client_id, name=STATE.app.name)
    except Refusal as refusal:
        return refused(request, visit, refusal, "interaction_required")
    return succeeded(request, visit, account)


def check_account(visit: Visit, account: Account) -> None:
    tenant, app = visit.request.tenant, STATE.app
    if tenant is not None and account.tenant_id != tenant.id:
        raise Refusal(
            50020,
            user=account.upn,
            idp=f"{STATE.origin}/{account.tenant_id}/",
            tenant=tenant.name,
            app=app.client_id,
        )
    if not account.is_assigned:
        raise Refusal(50105, app=app.client_id, name=app.name, user=account.upn)


def to_ask(visit: Visit, account: Account) -> tuple[Permission, ...]:
    again = visit.request.prompt == "consent" or visit.request.admin_consent
    return STATE.consents.to_ask(account, visit.request.scopes, STATE.app, again=again)
