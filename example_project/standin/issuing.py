"""The successful answer of the token endpoint, as it should be or spoiled by a fault."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from django.http import QueryDict

from .answers_to_app import client_info
from .faults import Fault
from .grants import AccessToken, RefreshToken
from .id_tokens import id_token
from .permissions import GRAPH, OIDC_SCOPES
from .redemption import Redemption
from .scopes import Scopes
from .state import STATE

_SPOILT_LIFETIMES: dict[str, object] = {
    "expires_in_string": "3599",
    "expires_in_zero": 0,
    "expires_in_negative": -3600,
    "expires_in_huge": 10**12,
}
_REMOVED = {
    "no_refresh_token": "refresh_token",
    "no_id_token": "id_token",
    "expires_in_missing": "expires_in",
    "token_type_missing": "token_type",
    "access_token_missing": "access_token",
}


def issue(redemption: Redemption, form: QueryDict, fault: Fault | None) -> dict[str, object]:
    """Give tokens out and remember them."""
    name = fault.name if fault is not None else ""
    redemption = _narrow(redemption, name)
    # Clients that can handle claims challenges get tokens that live about a day.
    cae = '"cp1"' in form.get("claims", "")
    lifetime = STATE.random.randint(*((72_000, 100_800) if cae else (3600, 5399)))
    body: dict[str, object] = {
        "token_type": "Bearer",
        "scope": " ".join(_scope(redemption)),
        "expires_in": lifetime,
        "ext_expires_in": lifetime,
        "access_token": _access_token(redemption, lifetime, cae=cae),
    }
    if "offline_access" in redemption.original.oidc:
        body["refresh_token"] = _refresh_token(redemption)
    if "openid" in redemption.oidc:
        body["id_token"] = id_token(
            redemption.account,
            Scopes(text="", oidc=redemption.oidc, resources=()),
            nonce=redemption.nonce,
            session_id=redemption.session_id,
            fault=fault,
        )
    if form.get("client_info") == "1":
        body["client_info"] = client_info(redemption.account)
    return spoil(body, name)


def _narrow(redemption: Redemption, fault: str) -> Redemption:
    granted = redemption.granted
    if fault == "narrow_scope":
        granted = tuple(n for n in granted if n in ("User.Read", *OIDC_SCOPES))
    if fault == "without_user_read":
        granted = tuple(n for n in granted if n != "User.Read")
    return replace(redemption, granted=granted)


def _scope(redemption: Redemption) -> list[str]:
    """What was granted, in the words of the request; offline_access is never listed."""
    asked = redemption.asked
    names = [asked.qualified(n) for n in redemption.granted if n not in OIDC_SCOPES]
    if asked.resource != GRAPH:
        return [*names, asked.qualified(".default")] if asked.default else names
    return [n for n in ("profile", "openid", "email") if n in redemption.oidc] + names


def _access_token(redemption: Redemption, lifetime: int, *, cae: bool) -> str:
    now = STATE.now()
    fault = redemption.fault
    token = AccessToken(
        value=STATE.grants.new_access_token(),
        account=redemption.account,
        resource=redemption.asked.resource,
        audience=redemption.asked.identifier or redemption.asked.resource.identifiers[0],
        scopes=redemption.granted,
        issued_at=now,
        expires_at=now + timedelta(seconds=lifetime),
        cae=cae,
        fault=fault if fault is not None and fault.where == "graph" else None,
    )
    STATE.grants.access_tokens[token.value] = token
    return token.value


def _refresh_token(redemption: Redemption) -> str:
    token = RefreshToken(
        value=STATE.grants.new_refresh_token(),
        account=redemption.account,
        scopes=redemption.original,
        session_id=redemption.session_id,
        issued_at=STATE.now(),
        fault=redemption.later_fault,
    )
    STATE.grants.refresh_tokens[token.value] = token
    return token.value


def spoil(body: dict[str, object], fault: str) -> dict[str, object]:
    """The answer, with what this fault breaks in it."""
    if fault in _SPOILT_LIFETIMES:
        body["expires_in"] = _SPOILT_LIFETIMES[fault]
    body.pop(_REMOVED.get(fault, ""), None)
    return body
