"""Full validation of an Entra id token: who granted, in which tenant."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import jwt
from django.utils.crypto import constant_time_compare

from . import transport
from .anew import raising_anew
from .clouds import Cloud
from .entra import SERVICE
from .exceptions import Fault, IdTokenError, UnavailableError
from .secret import Secret
from .text import displayable, is_guid

# No figure is documented for Entra; five minutes is what checks of JWTs usually allow.
_LEEWAY_SECONDS = 300
_REQUIRED = ["exp", "iat", "iss", "aud", "sub", "nonce", "tid", "oid"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """
    The account that signed in; `tenant_id` with `object_id` identifies it.

    The two names may change and are for display only
    (entra-docs ``claims-validation``).
    """

    tenant_id: UUID
    object_id: UUID
    subject: str
    name: str
    username: str


@raising_anew
def validate(
    id_token: Secret, cloud: Cloud, *, client_id: str, nonce_hash: str, access_token: Secret
) -> Identity:
    """
    Check signature, issuer, audience, times, nonce and at_hash (OIDC Core 3.1.3.7).

    Raises IdTokenError, or UnavailableError when the signing keys can't be fetched.
    The tenant is the caller's to compare.
    """
    unverified = _unverified(id_token)  # Only chooses the key; iss is checked against the tid.
    tenant_id = _uuid(unverified["payload"].get("tid"))
    key = _signing_key(unverified["header"].get("kid"), cloud, tenant_id)
    try:
        claims = jwt.decode(
            id_token.reveal(),
            key,
            algorithms=["RS256"],
            audience=client_id,
            issuer=f"{cloud.authority}/{tenant_id}/v2.0",
            leeway=_LEEWAY_SECONDS,
            options={"require": _REQUIRED, "strict_aud": True},
        )
    except jwt.PyJWTError as error:
        raise IdTokenError(f"The id token is not valid: {type(error).__name__}.") from None
    if claims.get("azp", client_id) != client_id:
        raise IdTokenError("The id token was issued to another application.")
    if not constant_time_compare(sha256(str(claims["nonce"])), nonce_hash):
        raise IdTokenError("The id token's nonce is not the one that was sent.")
    if claims.get("at_hash", _at_hash(access_token)) != _at_hash(access_token):
        raise IdTokenError("The id token belongs to another access token.")
    return Identity(
        tenant_id=tenant_id,
        object_id=_uuid(claims["oid"]),
        subject=_subject(claims["sub"]),
        name=displayable(claims.get("name")),
        username=displayable(claims.get("preferred_username")),
    )


@raising_anew
def find_other(
    id_token: Secret,
    cloud: Cloud,
    *,
    client_id: str,
    tenant_id: UUID,
    object_id: UUID,
    subject: str,
) -> str:
    """
    Return the claim by which the id token of a refresh is another's, or nothing.

    `subject` is not compared where it is empty. The signature isn't checked: the token
    comes from the token endpoint itself, over TLS (OpenID Connect Core 3.1.3.7 number 6,
    12.2). Raises IdTokenError when the token can't be read, or lacks tid or oid.
    """
    claims = _unverified(id_token)["payload"]
    audience = claims.get("aud") or client_id
    if client_id not in (audience if isinstance(audience, list) else [audience]):
        return "aud"
    issuer = f"{cloud.authority}/{tenant_id}/v2.0"
    for name, expected in (("iss", issuer), ("sub", subject)):
        if expected and (claims.get(name) or expected) != expected:
            return name
    ids = {"tid": tenant_id, "oid": object_id}
    told = {name: str(claims.get(name)) for name in ids}
    for name in filter(lambda name: is_guid(told[name]), ids):
        if UUID(told[name]) != ids[name]:
            return name
    for name in ids:
        _uuid(told[name])
    return ""


def sha256(text: str) -> str:
    """Return the SHA-256 of a text in hexadecimal: how single-use values are kept."""
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()


def _signing_key(kid: str | None, cloud: Cloud, tenant_id: UUID) -> jwt.PyJWK:
    """Fetch the tenant's keys, fresh, so that a rotation is never missed."""
    url = f"{cloud.authority}/{tenant_id}/discovery/v2.0/keys"
    response = transport.fetch(url, service=SERVICE)
    entries = transport.json_object(response, SERVICE).get("keys")
    if response.status_code != 200 or not isinstance(entries, list):
        raise UnavailableError(
            Fault(
                service=SERVICE,
                http_status=response.status_code,
                error="signing_keys_unavailable",
                retry_after=transport.retry_after(response),
            )
        )
    issuer = f"{cloud.authority}/{tenant_id}/v2.0"
    usable = [entry for entry in entries if _is_usable(entry, issuer, tenant_id)]
    chosen = [entry for entry in usable if kid is None or entry.get("kid") == kid]
    if len(chosen) != 1:
        raise IdTokenError("The id token names no key of its tenant.")
    return jwt.PyJWK.from_dict(chosen[0], algorithm="RS256")


def _is_usable(entry: Any, issuer: str, tenant_id: UUID) -> bool:
    """Say whether a key signs for this issuer; keys that can't be read are passed over."""
    try:
        jwt.PyJWK.from_dict(entry, algorithm="RS256")
    except (jwt.PyJWTError, AttributeError, TypeError, ValueError):
        return False
    restriction = str(entry.get("issuer", issuer)).replace("{tenantid}", str(tenant_id))
    return entry.get("use", "sig") == "sig" and restriction == issuer


def _unverified(id_token: Secret) -> dict[str, Any]:
    """Return header and payload as they are."""
    try:
        return jwt.decode_complete(id_token.reveal(), options={"verify_signature": False})
    except (jwt.PyJWTError, ValueError, RecursionError):
        raise IdTokenError("The id token is not a JWT.") from None


def _subject(value: str) -> str:
    """Return sub, which is at most 255 ASCII characters long (OpenID Connect Core 2)."""
    if not (value.isascii() and value.isprintable() and 0 < len(value) <= 255):
        raise IdTokenError("The id token's sub is no subject.")
    return value


def _uuid(value: object) -> UUID:
    try:
        return UUID(str(value))
    except ValueError:
        raise IdTokenError("The id token's tid or oid is missing or no GUID.") from None


def _at_hash(access_token: Secret) -> str:
    digest = hashlib.sha256(access_token.reveal().encode()).digest()
    return base64.urlsafe_b64encode(digest[:16]).rstrip(b"=").decode()
