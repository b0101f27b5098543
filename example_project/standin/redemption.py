"""Is this code, or this refresh token, worth tokens?"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime

from django.http import QueryDict

from .directory import Account, find_tenant
from .errors import Refusal
from .faults import Fault
from .grants import CODE_LIFE, REFRESH_TOKEN_LIFE, Code, RefreshToken
from .keys import base64url
from .permissions import OIDC_SCOPES
from .scopes import Asked, Scopes, parse_scopes
from .state import STATE


@dataclass(frozen=True, slots=True, kw_only=True)
class Redemption:
    """A grant that was accepted, and what is to be given for it."""

    account: Account
    # As granted in the first place; a refresh token keeps these.
    original: Scopes
    asked: Asked
    oidc: tuple[str, ...]
    granted: tuple[str, ...]
    session_id: str
    nonce: str = ""
    fault: Fault | None = None
    later_fault: Fault | None = None


def find_code(form: QueryDict) -> Code:
    """Look the code up. Entra does so before it looks at the secret."""
    code = STATE.grants.codes.get(_required(form, "code"))
    if code is None:
        raise Refusal(9002313)
    return code


def find_refresh_token(form: QueryDict) -> RefreshToken:
    token = STATE.grants.refresh_tokens.get(_required(form, "refresh_token"))
    if token is None:
        raise Refusal(9002313)
    return token


def redeem_code(code: Code, form: QueryDict, path: str) -> Redemption:
    redirect_uri = _required(form, "redirect_uri")
    if code.value in STATE.grants.redeemed:
        raise Refusal(54005)
    if STATE.now() >= code.issued_at + CODE_LIFE:
        raise Refusal(70008)
    tenant = find_tenant(path)
    if code.path != (path if tenant is None else tenant.id):
        raise Refusal(700005)
    if redirect_uri != code.redirect_uri:
        raise Refusal(50011, uri=redirect_uri, app=STATE.app.client_id)
    _check_verifier(code, form.get("code_verifier", ""))
    scopes = _scopes_of_code(code, form)
    redemption = Redemption(
        account=code.account,
        original=code.scopes,
        asked=scopes.first,
        oidc=code.scopes.oidc,
        granted=_granted(code.account, scopes.first),
        session_id=code.session_id,
        nonce=code.nonce,
        fault=code.fault,
        later_fault=code.later_fault,
    )
    STATE.grants.redeemed.add(code.value)
    return redemption


def redeem_refresh_token(token: RefreshToken, form: QueryDict, path: str) -> Redemption:
    account = token.account
    valid_from = STATE.grants.valid_from.get(account.oid)
    if valid_from is not None and token.issued_at <= valid_from:
        raise Refusal(50173, issued=_stamp(token.issued_at), valid_from=_stamp(valid_from))
    if STATE.now() >= token.issued_at + REFRESH_TOKEN_LIFE:
        raise Refusal(700082, issued=_stamp(token.issued_at))
    tenant = find_tenant(path)
    if tenant is not None and tenant.id != account.tenant_id:
        raise Refusal(50020, user=account.upn, tenant=tenant.name, app=STATE.app.client_id)
    text = form.get("scope", "").strip()
    scopes = parse_scopes(text, unknown_permission=70011) if text else token.scopes
    if not STATE.grants.use(token):
        raise Refusal(50173, issued=_stamp(token.issued_at), valid_from=_stamp(STATE.now()))
    return Redemption(
        account=account,
        original=token.scopes,
        asked=scopes.first,
        oidc=scopes.oidc,
        granted=_granted(account, scopes.first),
        session_id=token.session_id,
    )


def _required(form: QueryDict, parameter: str) -> str:
    value = form.get(parameter, "")
    if not value:
        raise Refusal(900144, parameter=parameter)
    return value


def _check_verifier(code: Code, verifier: str) -> None:
    if not code.challenge:
        return
    digest = base64url(hashlib.sha256(verifier.encode()).digest())
    if code.challenge != (digest if code.challenge_method == "S256" else verifier):
        raise Refusal(501481)


def _scopes_of_code(code: Code, form: QueryDict) -> Scopes:
    """A code is redeemed for one resource: the one named now, or the only one named then."""
    if "scope" not in form:
        if len(code.scopes.resources) > 1:
            raise Refusal(28003)
        return code.scopes
    text = form.get("scope", "")
    if not text.strip():
        raise Refusal(28003)
    scopes = parse_scopes(text, unknown_permission=70011)
    if len(scopes.resources) > 1:
        raise Refusal(28000, scope=text)
    return scopes if scopes.resources else code.scopes


def _granted(account: Account, asked: Asked) -> tuple[str, ...]:
    """All that was granted for the resource, which can be more than was asked for."""
    granted = STATE.consents.granted(account, asked.resource)
    missing = [name for name in asked.names if name not in (".default", *granted)]
    useful = [name for name in granted if name not in OIDC_SCOPES]
    if missing or (asked.names and not useful):
        raise Refusal(65001, app=STATE.app.client_id, name=STATE.app.name)
    return granted


def _stamp(when: datetime) -> str:
    return f"{when:%Y-%m-%dT%H:%M:%S.0000000Z}"
