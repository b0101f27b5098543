"""The OAuth round trip: begin before the redirect, resume and complete after it."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast
from uuid import UUID

from django.db import models, transaction
from django.http import HttpRequest, QueryDict
from django.utils import timezone

from . import entra, id_token, limits
from .anew import raising_anew
from .clouds import Cloud
from .conf import conf
from .entra import TokenReply
from .exceptions import AuthorizationError, Fault, RemoteError, UnavailableError
from .freshness import early, granted
from .graph import Directory, GraphClient
from .history import Act, record
from .id_token import Identity
from .models import AccessToken, AppConnection, Authorization, RefreshToken, database
from .operator_client import client
from .secret import Secret
from .signals import connection_added, connection_reconnected

if TYPE_CHECKING:
    from django.contrib.auth.models import User

SESSION_KEY = "infisical_azure_browser"
# Entra's codes are some hundred characters long; RFC 6749 appendix A.11 allows these signs.
_LONGEST_CODE = 8192
_ONCE = ("state", "code", "error", "error_description", "error_subcode", "iss")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a person typed for a new connection."""

    name: str
    description: str
    cloud: Cloud
    tenant_id: UUID
    connection: AppConnection | None = None
    """The connection to reconnect; without one a new connection is made."""
    may_switch: bool = False
    """Whether another account or tenant may take that connection over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back in the URL of the callback, untrusted."""

    state: Secret = field(repr=False)
    code: Secret = field(repr=False)
    fault: Fault | None
    """Set when Microsoft sent an error."""
    is_cancelled: bool
    is_admin_consent: bool
    """Set when an administrator comes back from the approval link."""
    issuer: str
    is_well_formed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Proof:
    """What a redeemed code was found to be worth."""

    reply: TokenReply
    identity: Identity
    directory: Directory | None


def admin_consent_url(asked: AppConnection | Authorization) -> str:
    """Return the link with which an administrator of the tenant approves for all."""
    cloud = conf.clouds.get(asked.cloud)
    return entra.admin_consent_url(cloud, asked.tenant_id, client()) if cloud else ""


def mark_browser(request: HttpRequest) -> Secret:
    """
    Return the random value that tells this browser's session from others.

    Done when a form is shown, so that tabs which begin at once have the same.
    """
    return Secret.of(
        lambda: str(request.session.setdefault(SESSION_KEY, secrets.token_urlsafe(32)))
    )


def begin(request: HttpRequest, organization: models.Model, wanted: Wanted) -> Secret:
    """Store a new authorization and return the URL at Microsoft to send the person to."""
    browser = mark_browser(request)
    state, nonce, verifier = Secret.random(), Secret.random(), entra.new_verifier()
    user = cast("User", request.user)  # The pages let nobody in who isn't signed in.
    Authorization.objects.make_room(user)
    Authorization.objects.create(
        state_hash=state.digest(),
        browser_hash=browser.digest(),
        nonce_hash=nonce.digest(),
        verifier=verifier,
        organization=organization,
        user=user,
        app=AppConnection.App.AZURE_CLIENT_SECRETS,
        name=wanted.name,
        description=wanted.description,
        cloud=wanted.cloud.name,
        tenant_id=wanted.tenant_id,
        connection=wanted.connection,
        may_switch=wanted.may_switch,
        expires_at=timezone.now() + conf.authorization_lifetime,
    )
    return entra.authorization_url(
        wanted.cloud,
        wanted.tenant_id,
        client(),
        state=state,
        nonce=nonce,
        code_challenge=entra.code_challenge(verifier),
        claims=_claims_for(wanted),
    )


def _claims_for(wanted: Wanted) -> str:
    """Return what has to be proven; the policies of one tenant mean nothing in another."""
    before = wanted.connection
    return before.claims if before and before.tenant_id == wanted.tenant_id else ""


@raising_anew
def forget_answer(request: HttpRequest) -> None:
    """
    Leave no trace of the answer in the request: error reports show its query string.

    Servers and proxies repeat it, in REQUEST_URI, RAW_URI or headers of their own.
    """
    query = request.META.get("QUERY_STRING", "")
    request.GET = QueryDict()
    for name, value in request.META.items():
        if query and isinstance(value, str) and query in value:
            request.META[name] = value.replace(query, "")
    if (scope := getattr(request, "scope", None)) is not None:  # Of ASGI.
        scope["query_string"] = b""


@raising_anew
def take_answer(request: HttpRequest) -> Answer:
    """Take Microsoft's answer out of the request, unchecked."""
    query = request.GET
    forget_answer(request)
    error, subcode = query.get("error", ""), query.get("error_subcode", "")
    description = query.get("error_description", "")
    code = query.get("code", "")
    return Answer(
        state=Secret(query.get("state", "")),
        code=Secret(code),
        fault=entra.fault_from_description(error=error, description=description) if error else None,
        is_cancelled=error == "access_denied" and subcode == "cancel" and not description,
        is_admin_consent="admin_consent" in query and not code,
        issuer=query.get("iss", ""),
        is_well_formed=(
            all(len(query.getlist(name)) < 2 for name in _ONCE)
            and len(code) <= _LONGEST_CODE
            and code.isascii()
            and code.isprintable()
        ),
    )


def resume(request: HttpRequest, answer: Answer) -> Authorization:
    """
    Claim the authorization that the answer belongs to.

    Raises AuthorizationError unless the same person, in the same browser, started
    it less than AUTHORIZATION_LIFETIME ago and nobody has finished it since.
    """
    browser = Secret.of(lambda: str(request.session.get(SESSION_KEY, "")))
    if not answer.is_well_formed or not answer.state or not browser:
        raise AuthorizationError("state_unrecognised")
    return Authorization.objects.claim(
        state_hash=answer.state.digest(),
        browser_hash=browser.digest(),
        user=cast("User", request.user),
    )


def complete(authorization: Authorization, answer: Answer) -> AppConnection:
    """
    Redeem the code, prove the connection with a live call, and save it whole.

    Raises AuthorizationError, IdTokenError, RemoteError, UnavailableError,
    IntegrityError (the name was taken meanwhile) or DatabaseError; then nothing
    of the connection is saved.
    """
    _refuse_bad(authorization, answer)
    if authorization.connection is None:
        taken = AppConnection.objects.of(authorization.organization).filter(name=authorization.name)
        if taken.exists():
            raise AuthorizationError("name_taken")
    proof = _prove(authorization, answer.code)
    _refuse_switch(authorization, proof.identity)
    return _save(authorization, proof)


def _refuse_bad(authorization: Authorization, answer: Answer) -> None:
    if authorization.expires_at <= timezone.now():
        raise AuthorizationError("state_expired")
    # Entra doesn't send iss (RFC 9207); where somebody does, it must be the right one.
    expected = f"{authorization.find_cloud().authority}/{authorization.tenant_id}/v2.0"
    if answer.issuer and answer.issuer != expected:
        raise AuthorizationError("wrong_tenant")
    if answer.is_cancelled:
        raise AuthorizationError("cancelled")
    if answer.fault is not None:
        passing = {"temporarily_unavailable", "server_error"}
        is_transient = answer.fault.is_throttle or answer.fault.error in passing
        raise (UnavailableError if is_transient else RemoteError)(answer.fault)
    if not answer.code:
        raise AuthorizationError("refused")


def _refuse_switch(authorization: Authorization, identity: Identity) -> None:
    before = authorization.connection
    if before is None or authorization.may_switch:
        return
    if (before.tenant_id, before.account_object_id) != (identity.tenant_id, identity.object_id):
        raise AuthorizationError("account_switched")


def _prove(authorization: Authorization, code: Secret) -> _Proof:
    cloud = authorization.find_cloud()
    reply = entra.redeem_code(
        cloud, authorization.tenant_id, client(), code=code, verifier=authorization.verifier
    )
    if reply.id_token is None:
        raise AuthorizationError("id_token_invalid")
    identity = id_token.validate(
        reply.id_token,
        cloud,
        client_id=conf.client_id,
        nonce_hash=authorization.nonce_hash,
        access_token=reply.access_token,
    )
    if identity.tenant_id != authorization.tenant_id:
        raise AuthorizationError("wrong_tenant")
    directory = _check_with_graph(GraphClient(reply.access_token, cloud), reply, identity)
    return _Proof(reply=reply, identity=identity, directory=directory)


def _check_with_graph(
    graph: GraphClient, reply: TokenReply, identity: Identity
) -> Directory | None:
    """Make the first live call; without User.Read Graph may refuse it, which is no lie."""
    try:
        user = graph.me()
    except RemoteError as error:
        if error.fault.http_status == 403 and "User.Read" not in reply.scopes:
            return None
        raise
    if user.id.lower() != str(identity.object_id):
        raise AuthorizationError("account_mismatch")
    try:
        return graph.organization()
    except RemoteError:
        return None  # Only its name is lost.


def _save(authorization: Authorization, proof: _Proof) -> AppConnection:
    """Save connection and tokens whole; of a reconnected one id, name and history stay."""
    reply, identity, directory = proof.reply, proof.identity, proof.directory
    before = authorization.connection
    connection = before or AppConnection(
        organization=authorization.organization,
        name=authorization.name,
        description=authorization.description,
        app=authorization.app,
    )
    connection.cloud = authorization.cloud
    connection.tenant_id = identity.tenant_id
    if directory is not None:
        connection.tenant_name, connection.tenant_domain = directory.name, directory.domain
    connection.account_object_id = identity.object_id
    connection.account_subject = identity.subject
    connection.account_name, connection.account_username = identity.name, identity.username
    connection.connected_by, connection.connected_at = authorization.user, timezone.now()
    connection.claims = ""
    connection.note_granted([*reply.scopes, *(["offline_access"] if reply.refresh_token else [])])
    refresh_token = granted(connection, reply.refresh_token)
    with transaction.atomic(using=database()):
        if before is None:
            connection.save(force_insert=True)
            _keep_to_limit(connection)
            refresh_token.save(force_insert=True)
        else:
            # First of all: from here on what is being refreshed for the old grant is overtaken.
            RefreshToken.objects.replace(refresh_token)
            if not connection.lock():
                raise AuthorizationError("connection_removed")
            # Not the name and description, which somebody may just have changed.
            connection.save(update_fields=AppConnection.GRANT_FIELDS)
            connection.access_tokens.all().delete()
        _save_access_token(connection, reply)
        act, news = (
            (Act.CONNECTION_ADDED, connection_added)
            if before is None
            else (Act.CONNECTION_RECONNECTED, connection_reconnected)
        )
        record(act, connection, user=authorization.user)
        transaction.on_commit(
            lambda: news.send_robust(AppConnection, connection=connection, user=authorization.user),
            using=database(),
        )
    return connection


def _keep_to_limit(connection: AppConnection) -> None:
    try:
        limits.CONNECTIONS.keep(connection.organization)
    except limits.LimitReachedError:
        raise AuthorizationError("too_many_connections") from None


def _save_access_token(connection: AppConnection, reply: TokenReply) -> None:
    refresh_at = early(reply.issued_at, reply.expires_at)
    AccessToken.objects.create(
        connection=connection,
        resource=connection.find_cloud().graph_audience,
        secret=reply.access_token,
        scopes=list(reply.scopes),
        issued_at=reply.issued_at,
        refresh_at=refresh_at,
        expires_at=reply.expires_at,
    )
