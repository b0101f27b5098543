"""The access token of a request to an API, and what can be wrong with it."""

from __future__ import annotations

from enum import Enum, auto

from django.http import HttpRequest

from .grants import AccessToken
from .state import STATE


class Objection(Enum):
    MISSING = auto()
    UNKNOWN = auto()
    AUDIENCE = auto()
    TENANT = auto()
    EXPIRED = auto()
    # Continuous access evaluation: sign in again, with these claims.
    CLAIMS = auto()


def bearer_value(request: HttpRequest) -> str:
    scheme, _, value = request.headers.get("Authorization", "").partition(" ")
    return value.strip() if scheme.lower() == "bearer" else ""


def sent_token(request: HttpRequest) -> AccessToken | None:
    return STATE.grants.access_tokens.get(bearer_value(request))


def objection_to(
    request: HttpRequest, *, audiences: tuple[str, ...], tenant_id: str, fault: str
) -> Objection | None:
    """Why a vault or store of this tenant does not take the token, if so."""
    token = sent_token(request)
    if not bearer_value(request):
        return Objection.MISSING
    if token is None or fault == "unauthorized":
        return Objection.UNKNOWN
    if token.audience not in audiences:
        return Objection.AUDIENCE
    if token.account.tenant_id != tenant_id:
        return Objection.TENANT
    challenged = fault == "claims_challenge"
    # Only clients that declared they can handle it are challenged.
    if token.cae and (challenged or is_revoked(token)):
        return Objection.CLAIMS
    if challenged or STATE.now() >= token.expires_at:
        return Objection.EXPIRED
    return None


def is_revoked(token: AccessToken) -> bool:
    valid_from = STATE.grants.valid_from.get(token.account.oid)
    return valid_from is not None and token.issued_at <= valid_from
