"""The v2 id token, as it should be or spoiled by a fault."""

from __future__ import annotations

import hashlib
import secrets
import uuid
from datetime import timedelta

import jwt

from .directory import CONTOSO_ID, FABRIKAM_ID, Account
from .faults import Fault
from .keys import base64url, new_key
from .scopes import Scopes
from .state import STATE

ID_TOKEN_LIFE = timedelta(hours=1)
Claims = dict[str, object]


def id_token(
    account: Account, scopes: Scopes, *, nonce: str, session_id: str, fault: Fault | None
) -> str:
    name = fault.name if fault is not None and fault.kind == "id_token" else ""
    claims = _spoil(_claims(account, scopes, nonce, session_id), name)
    return _sign(claims, name)


def _claims(account: Account, scopes: Scopes, nonce: str, session_id: str) -> Claims:
    now = int(STATE.now().timestamp())
    claims: Claims = {
        "aud": STATE.app.client_id,
        "iss": f"{STATE.origin}/{account.tenant_id}/v2.0",
        "iat": now,
        "nbf": now,
        "exp": now + int(ID_TOKEN_LIFE.total_seconds()),
        "aio": secrets.token_urlsafe(60),
    }
    if "email" in scopes.oidc:
        claims["email"] = account.upn
    if "profile" in scopes.oidc:
        claims["name"] = account.name
    if nonce:
        claims["nonce"] = nonce
    if "profile" in scopes.oidc:
        claims |= {"oid": account.oid, "preferred_username": account.upn}
    pairwise = f"{STATE.app.client_id}:{account.oid}".encode()
    return claims | {
        "rh": f"1.{secrets.token_urlsafe(30)}",
        "sid": session_id,
        "sub": base64url(hashlib.sha256(pairwise).digest()),
        "tid": account.tenant_id,
        "uti": secrets.token_urlsafe(16),
        "ver": "2.0",
    }


def _spoil(claims: Claims, fault: str) -> Claims:
    now = int(STATE.now().timestamp())
    other_tenant = FABRIKAM_ID if claims["tid"] == CONTOSO_ID else CONTOSO_ID
    changes: dict[str, Claims] = {
        "wrong_tenant": {"tid": other_tenant, "iss": f"{STATE.origin}/{other_tenant}/v2.0"},
        "wrong_nonce": {"nonce": secrets.token_urlsafe(24)},
        "wrong_audience": {"aud": str(uuid.uuid4())},
        "wrong_issuer": {"iss": f"https://sts.example.com/{claims['tid']}/v2.0"},
        "expired_id_token": {"iat": now - 90_000, "nbf": now - 90_000, "exp": now - 86_400},
        "future_id_token": {"iat": now + 86_400, "nbf": now + 86_400, "exp": now + 90_000},
        "other_at_hash": {"at_hash": base64url(secrets.token_bytes(16))},
    }
    spoilt = claims | changes.get(fault, {})
    if fault.startswith("missing_"):
        spoilt.pop(fault.removeprefix("missing_"), None)
    return spoilt


def _sign(claims: Claims, fault: str) -> str:
    key = STATE.keys.current
    if fault == "alg_none":
        return jwt.encode(claims, "", algorithm="none", headers={"kid": key.kid})
    if fault == "alg_hs256":
        # As long as an attacker likes: the point is that this algorithm is accepted nowhere.
        secret = STATE.app.secrets[0].value.ljust(32, "~")
        return jwt.encode(claims, secret, algorithm="HS256", headers={"kid": key.kid})
    private = new_key().private if fault == "wrong_signature" else key.private
    kid = secrets.token_urlsafe(20) if fault == "unknown_kid" else key.kid
    return jwt.encode(claims, private, algorithm="RS256", headers={"kid": kid})
