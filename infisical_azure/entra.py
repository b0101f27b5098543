"""Microsoft Entra ID's endpoints, over requests-oauthlib."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import oauthlib.oauth2
import requests
from django.utils import timezone
from oauthlib.oauth2 import BackendApplicationClient, OAuth2Error
from requests_oauthlib import OAuth2Session

from . import transport
from .anew import raised_anew
from .clouds import BUILT_IN, Cloud
from .exceptions import Fault, RemoteError, UnavailableError
from .logs import silence
from .secret import Secret
from .text import displayable, is_guid

SERVICE = "Microsoft Entra ID"
# A reply without expires_in is used, but not for long.
_UNKNOWN_LIFETIME = timedelta(minutes=5)
# Tokens of clients that understand continuous access evaluation live up to 28 hours.
_LONGEST_LIFETIME = timedelta(hours=28)

_WORD = re.compile(r"[a-z_]{1,64}")
_AADSTS = re.compile(r"AADSTS(\d{4,8})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """The application that the operator registered in Entra."""

    client_id: str
    client_secret: Secret
    redirect_uri: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenReply:
    """A successful answer of the token endpoint."""

    access_token: Secret
    refresh_token: Secret | None
    """None unless offline_access was granted."""
    id_token: Secret | None
    issued_at: datetime
    expires_at: datetime
    scopes: tuple[str, ...]
    """Granted scope names of one resource, without the resource's URL."""


class _Session(OAuth2Session, transport.BoundedSession):
    """An OAuth2Session that is bounded and never follows a redirect with our secret."""

    def __init__(
        self, client: Client, grant: oauthlib.oauth2.Client | None = None, **kwargs: Any
    ) -> None:
        super().__init__(
            client.client_id,
            client=grant,
            redirect_uri=client.redirect_uri,
            service=SERVICE,
            **kwargs,
        )
        for kind in ("access_token_response", "refresh_token_response"):
            self.register_compliance_hook(kind, self._keep_reply)
        self.reply: dict[str, Any] = {}

    def _keep_reply(self, response: requests.Response) -> requests.Response:
        """Take the reply as it came: oauthlib drops what it finds odd, such as 0 seconds."""
        self.reply = _usable_reply(response)
        return response

    def request(self, method: str, url: str, **kwargs: Any) -> requests.Response:  # type: ignore[override]
        return super().request(method, url, **kwargs | {"allow_redirects": False})


def scope(audience: str) -> str:
    """Return the scope for all permissions granted on one API, plus OpenID Connect's."""
    return f"{audience}/.default openid profile offline_access"


def new_verifier() -> Secret:
    """Return a fresh PKCE code verifier of 86 characters (RFC 7636 section 4.1)."""
    return Secret.random(64)


def code_challenge(verifier: Secret) -> str:
    """Return the S256 code challenge (RFC 7636 section 4.2)."""
    digest = hashlib.sha256(verifier.reveal().encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def authorization_url(
    cloud: Cloud,
    tenant_id: UUID,
    client: Client,
    *,
    state: Secret,
    nonce: Secret,
    code_challenge: str,
    claims: str = "",
) -> Secret:
    """
    Return where to send a person for consent, a URL that holds the state.

    `claims` is what Entra has asked for when it refused a refresh, JSON. Source:
    entra-docs ``v2-oauth2-auth-code-flow``, ``v2-protocols-oidc``, ``claims-challenge``.
    """
    session = OAuth2Session(
        client.client_id,
        redirect_uri=client.redirect_uri,
        scope=scope(cloud.graph_audience).split(),
    )
    return Secret.of(
        lambda: session.authorization_url(
            f"{cloud.authority}/{tenant_id}/oauth2/v2.0/authorize",
            state=state.reveal(),
            nonce=nonce.reveal(),
            code_challenge=code_challenge,
            code_challenge_method="S256",
            response_mode="query",
            prompt="select_account",
            **({"claims": claims} if claims else {}),
        )[0]
    )


def admin_consent_url(cloud: Cloud, tenant_id: UUID, client: Client) -> str:
    """
    Return the page on which a tenant's administrator grants what we ask, for all.

    Source: entra-docs ``v2-admin-consent``.
    """
    query = urlencode(
        {
            "client_id": client.client_id,
            "scope": f"{cloud.graph_audience}/.default",
            "redirect_uri": client.redirect_uri,
        }
    )
    return f"{cloud.authority}/{tenant_id}/v2.0/adminconsent?{query}"


def find_tenant(cloud: Cloud, tenant: str) -> UUID:
    """
    Return the id of a tenant given by GUID or verified domain, from its metadata.

    Raises RemoteError when the cloud knows no such tenant, UnavailableError when
    it can't be asked. Source: entra-docs ``v2-protocols-oidc``.
    """
    url = f"{cloud.authority}/{tenant}/v2.0/.well-known/openid-configuration"
    response = transport.fetch(url, service=SERVICE)
    metadata = _json_or_error(response)
    issuer = str(metadata.get("issuer", ""))
    prefix, suffix = f"{cloud.authority}/", "/v2.0"
    tenant_id = issuer.removeprefix(prefix).removesuffix(suffix)
    if issuer != f"{prefix}{tenant_id}{suffix}" or not is_guid(tenant_id):
        raise UnavailableError(Fault(service=SERVICE, http_status=200, error="unreadable_answer"))
    return UUID(tenant_id)


def find_cloud_of(tenant: str, *, apart_from: Cloud) -> Cloud | None:
    """
    Return the other cloud of Microsoft's that knows a tenant, if there is one.

    Not for a cloud of the host's own, from which Microsoft's may be out of reach.
    """
    for cloud in BUILT_IN.values() if apart_from in BUILT_IN.values() else ():
        if cloud.authority != apart_from.authority:
            try:
                find_tenant(cloud, tenant)
            except RemoteError:
                continue
            return cloud
    return None


def redeem_code(
    cloud: Cloud, tenant_id: UUID, client: Client, *, code: Secret, verifier: Secret
) -> TokenReply:
    """
    Exchange an authorization code for tokens; never tried twice, codes work once.

    Raises RemoteError or UnavailableError. Source: entra-docs ``v2-oauth2-auth-code-flow``.
    """
    with _Session(client) as session:
        _ask(
            lambda: session.fetch_token(
                f"{cloud.authority}/{tenant_id}/oauth2/v2.0/token",
                code=code.reveal(),
                client_secret=client.client_secret.reveal(),
                include_client_id=True,
                code_verifier=verifier.reveal(),
                scope=scope(cloud.graph_audience).split(),
            )
        )
        return _token_reply(session.reply, cloud.graph_audience)


def refresh(
    cloud: Cloud,
    tenant_id: UUID,
    client: Client,
    *,
    refresh_token: Secret,
    audience: str,
    claims: str = "",
) -> TokenReply:
    """
    Ask for new tokens for one API; one refresh token serves all that were consented to.

    `claims` is a claims challenge, JSON, that an API has answered with. Raises
    RemoteError or UnavailableError. Source: entra-docs ``refresh-tokens``,
    ``v2-oauth2-auth-code-flow``, ``claims-challenge``.
    """
    body = {"scope": scope(audience)} | ({"claims": claims} if claims else {})
    with _Session(client) as session:
        _ask(
            lambda: session.refresh_token(
                f"{cloud.authority}/{tenant_id}/oauth2/v2.0/token",
                refresh_token=refresh_token.reveal(),
                client_id=client.client_id,
                client_secret=client.client_secret.reveal(),
                body=urlencode(body),
            )
        )
        return _token_reply(session.reply, audience)


def prove(cloud: Cloud, tenant_id: UUID, app_id: UUID, client_secret: Secret) -> None:
    """
    Sign in as an application, for nothing but the proof that its client secret works.

    Raises RemoteError (``invalid_client`` while Entra doesn't know the secret) or
    UnavailableError. Source: entra-docs ``v2-oauth2-client-creds-grant-flow``.
    """
    client = Client(client_id=str(app_id), client_secret=client_secret, redirect_uri="")
    grant = BackendApplicationClient(client.client_id)
    # Each over a connection of its own: it may lead to another of Entra's servers.
    with _Session(client, grant, is_apart=True) as session:
        _ask(
            lambda: session.fetch_token(
                f"{cloud.authority}/{tenant_id}/oauth2/v2.0/token",
                client_id=client.client_id,
                client_secret=client_secret.reveal(),
                include_client_id=True,
                scope=[f"{cloud.graph_audience}/.default"],
            )
        )


def fault_from_description(*, error: str, description: str, **facts: Any) -> Fault:
    """Pick AADSTS number and ids out of an error_description; drop its free text."""
    found = _AADSTS.search(description)
    facts = {key: value for key, value in facts.items() if value}
    facts.setdefault("aadsts", int(found[1]) if found else None)
    for key, label in (("trace_id", "Trace ID"), ("correlation_id", "Correlation ID")):
        facts.setdefault(key, _guid(description.partition(f"{label}: ")[2][:36]))
    return Fault(service=SERVICE, error=_word(error), **facts)


def _ask(request: Callable[[], object]) -> None:
    """Make a token request, and raise its failure anew."""

    def ask() -> None:
        try:
            request()
        except (OAuth2Error, ValueError):
            fault = Fault(service=SERVICE, error="unreadable_answer")
            raise UnavailableError(fault) from None

    with silence():
        raised_anew(ask)


def _usable_reply(response: requests.Response) -> dict[str, Any]:
    data = _json_or_error(response)
    expires_in = str(data.get("expires_in", "0")).lstrip("-")
    is_usable = (
        "access_token" in data
        and str(data.get("token_type", "")).lower() == "bearer"
        and expires_in.isascii()
        and expires_in.isdigit()
    )
    if not is_usable:
        raise UnavailableError(
            Fault(service=SERVICE, http_status=response.status_code, error="unreadable_answer")
        )
    return data


def _token_reply(token: dict[str, Any], audience: str) -> TokenReply:
    seconds = token.get("expires_in")
    lifetime = _UNKNOWN_LIFETIME
    if seconds is not None:
        longest = int(_LONGEST_LIFETIME.total_seconds())
        lifetime = timedelta(seconds=min(max(int(seconds), 0), longest))
    issued_at = timezone.now()
    names = displayable(token.get("scope"), longest=20_000).split()
    return TokenReply(
        access_token=token["access_token"],
        refresh_token=token.get("refresh_token"),
        id_token=token.get("id_token"),
        issued_at=issued_at,
        expires_at=issued_at + lifetime,
        scopes=tuple(sorted({name.removeprefix(f"{audience}/") for name in names})),
    )


def _json_or_error(response: requests.Response) -> dict[str, Any]:
    """
    Return the JSON object of a 200, or raise what the answer means.

    By status and ``error``, as Microsoft asks (entra-docs ``reference-error-codes``):
    the AADSTS numbers change.
    """
    data = _sealed(transport.json_object(response, SERVICE))
    if response.status_code == 200 and "error" not in data:
        return data
    codes = data.get("error_codes")
    number = codes[0] if isinstance(codes, list) and codes else None
    is_number = isinstance(number, int) and 0 < number < 10**8
    claims = data.get("claims")
    fault = fault_from_description(
        error=str(data.get("error", "")),
        description=str(data.get("error_description", "")),
        http_status=response.status_code,
        aadsts=number if is_number else None,
        suberror=_word(str(data.get("suberror", ""))),
        correlation_id=_guid(str(data.get("correlation_id", ""))),
        trace_id=_guid(str(data.get("trace_id", ""))),
        claims=_json_text(claims),
        retry_after=transport.retry_after(response),
    )
    is_transient = (
        response.status_code in transport.TRANSIENT
        or fault.is_throttle
        or fault.error in {"temporarily_unavailable", "server_error"}
        or response.status_code == 200
        or not fault.error
    )
    raise UnavailableError(fault) if is_transient else RemoteError(fault)


def _sealed(data: dict[str, Any]) -> dict[str, Any]:
    """Put the tokens into `Secret`s, and leave out what is none."""
    tokens = {name: data.pop(name, None) for name in ("access_token", "refresh_token", "id_token")}
    return data | {
        name: Secret(token) for name, token in tokens.items() if isinstance(token, str) and token
    }


def _word(text: str) -> str:
    return text if _WORD.fullmatch(text) else ""


def _guid(text: str) -> str:
    return text.lower() if is_guid(text) else ""


def _json_text(value: object) -> str:
    try:
        return json.dumps(json.loads(value)) if isinstance(value, str) else ""
    except (ValueError, RecursionError):
        return ""
