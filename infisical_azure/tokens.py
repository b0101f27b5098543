"""A fresh access token for any API: leased, refreshed and saved."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import DatabaseError, transaction
from django.db.models import Q
from django.utils import timezone

from . import entra, health
from .apart import apart
from .conf import conf
from .entra import TokenReply
from .exceptions import (
    DecryptionError,
    Fault,
    Reaction,
    RemoteError,
    TokenUnavailableError,
)
from .health import Diagnosis
from .id_token import claims_identity
from .models import AccessToken, AppConnection, RefreshToken, database
from .operator_client import client
from .pauses import pause_after
from .refusals import Kept, note_refusals, refusal_of, refused_anew, remaining
from .resources import Resource, audience_of
from .secret import Secret
from .signals import connection_broken, connection_recovered
from .turns import in_turn

_POLL_SECONDS = 0.02
_USED_AT_MOST_EVERY = timedelta(minutes=1)
_LONGEST_PAUSE = timedelta(minutes=30)
_PAUSES = {
    Reaction.OPERATOR: timedelta(minutes=5),
    Reaction.TENANT_ADMIN: timedelta(minutes=5),
}
# A connection that was used so lately is kept fresh in the background.
_IN_USE = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """An access token for one API."""

    secret: Secret = field(repr=False)
    resource: str
    """The audience, such as ``https://vault.azure.net``."""
    scopes: tuple[str, ...]
    """Granted permission names."""
    expires_at: datetime
    refresh_at: datetime
    """From then on a new one is fetched early."""

    def reveal(self) -> str:
        """Return the token itself, for an Authorization header."""
        return self.secret.reveal()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wish:
    """What a caller needs of a token."""

    connection_id: UUID
    audience: str
    claims: str = ""
    issued_after: datetime | None = None
    """Set when the API has rejected the tokens so far."""
    early: bool = False
    """Whether a token that still works is to be replaced ahead of time."""
    is_for_use: bool = True
    """Whether the caller uses the token, unlike work in the background."""

    def is_met_by(self, held: AccessToken | None) -> bool:
        if held is None:
            return False
        if self.issued_after is not None:
            return held.issued_at > self.issued_after
        now = timezone.now()
        return held.is_valid(now, conf.token_leeway) and not (self.early and held.refresh_at <= now)


def get_token(
    connection: AppConnection,
    resource: str = Resource.GRAPH,
    *,
    claims: str = "",
    is_live: bool = False,
) -> Token:
    """
    Return a token for one API that is valid for at least TOKEN_LEEWAY.

    `resource` is a `Resource` or a scope ``https://…/.default``; `claims` a claims
    challenge (JSON) with which that API has just rejected a token; `is_live` asks
    Microsoft even when a token is held. One query when one is held, otherwise one
    request to Microsoft, whoever else asks meanwhile. A token that still works is
    returned while new ones can't be had.

    Raises TokenUnavailableError, whose `reaction` says who must act, and ValueError
    for an unknown resource.
    """
    cloud = connection.find_cloud()
    audience = audience_of(resource, cloud)
    held = _find(connection.pk, audience)
    if claims or is_live:
        wish = _Wish(
            connection_id=connection.pk,
            audience=audience,
            claims=claims,
            issued_after=held.issued_at if held else timezone.now(),
        )
        return _use(apart(lambda: _obtain(wish), is_usable=lambda: _is_there(connection.pk)))
    now = timezone.now()
    if held is not None and held.is_valid(now, conf.token_leeway):
        return _use(held if now < held.refresh_at else _replace_early(held))
    wish = _Wish(connection_id=connection.pk, audience=audience)
    try:
        return _use(apart(lambda: _obtain(wish), is_usable=lambda: _is_there(connection.pk)))
    except TokenUnavailableError:
        if held is not None and timezone.now() < held.expires_at:
            return _use(held)
        raise


def refresh(row: RefreshToken) -> bool:
    """
    Refresh a connection's most used token ahead of time, for work in the background.

    `row` is one of ``RefreshToken.objects.due(now).to_refresh()``. Return whether this
    call did it: False when somebody else has, or is at it. Raises TokenUnavailableError.
    """
    audience = _audience_to_refresh(row)
    if not row.claim(conf.lease):
        return False
    _refresh(_Wish(connection_id=row.pk, audience=audience, is_for_use=False), row)
    return True


def _audience_to_refresh(row: RefreshToken) -> str:
    """Choose the resource used latest; Graph, which the pages need, where it was refused."""
    graph = row.connection.find_cloud().graph_audience
    usable = [one.resource for one in _held_by(row) if one.resource not in row.refused]
    return graph if graph in row.refused or not usable else usable[0]


def _find(connection_id: UUID, audience: str) -> AccessToken | None:
    rows = AccessToken.objects.with_secret()
    try:
        found: AccessToken = rows.get(connection_id=connection_id, resource=audience)
    except AccessToken.DoesNotExist:
        return None
    return found


def _use(held: AccessToken) -> Token:
    """Give the token away and note its use, at most once a minute."""
    now = timezone.now()
    if held.used_at is None or held.used_at <= now - _USED_AT_MOST_EVERY:
        unnoted = Q(used_at=None) | Q(used_at__lte=now - _USED_AT_MOST_EVERY)
        rows = AccessToken.objects.filter(unnoted, pk=held.pk)
        # Later: a caller's transaction must not keep the row from whoever refreshes it.
        transaction.on_commit(lambda: rows.update(used_at=now), using=database(), robust=True)
    return Token(
        secret=held.secret,
        resource=held.resource,
        scopes=tuple(held.scopes),
        expires_at=held.expires_at,
        refresh_at=held.refresh_at,
    )


def _is_there(connection_id: UUID) -> bool:
    """Say whether this database connection sees the row at all."""
    return bool(RefreshToken.objects.filter(pk=connection_id).exists())


def _replace_early(held: AccessToken) -> AccessToken:
    """Try for a new token, once and without waiting; the held one still works."""
    wish = _Wish(connection_id=held.connection_id, audience=held.resource, early=True)

    def replace() -> AccessToken:
        row = _row_of(wish)
        if row is None or refusal_of(row, wish.audience) or not row.claim(conf.lease):
            return held
        return _refresh_unless_met(wish, row)

    try:
        return apart(replace, is_usable=lambda: _is_there(held.connection_id))
    except TokenUnavailableError:
        return held


def _obtain(wish: _Wish) -> AccessToken:
    """Get a token that meets the wish, by refreshing it or by waiting for who does."""
    give_up = time.monotonic() + 2 * conf.lease.total_seconds()
    with in_turn((wish.connection_id, wish.audience)) as turn:
        while True:
            # Whoever was before us in this process may just have found it.
            held = turn.left if isinstance(turn.left, AccessToken) else None
            if not wish.is_met_by(held):
                held = _find(wish.connection_id, wish.audience)
            if held is not None and wish.is_met_by(held):
                turn.left = held
                return held
            row = _row_of(wish)
            if row is None:
                raise _unavailable(wish.connection_id, Reaction.RECONNECT, "offline_access_missing")
            _raise_if_hopeless(row, wish.audience)
            if row.claim(conf.lease):
                turn.left = refreshed = _refresh_unless_met(wish, row)
                return refreshed
            if time.monotonic() > give_up:
                raise _unavailable(wish.connection_id, Reaction.RETRY, "microsoft_unavailable")
            time.sleep(_POLL_SECONDS)


def _row_of(wish: _Wish) -> RefreshToken | None:
    found: RefreshToken | None = (
        RefreshToken.objects.to_refresh().filter(pk=wish.connection_id).first()
    )
    return found


def _raise_if_hopeless(row: RefreshToken, audience: str) -> None:
    """Raise what is known of a token that is not to be had by trying or waiting."""
    if row.revoked_at is not None:
        raise _unavailable(row.pk, Reaction.RECONNECT, row.connection.problem)
    if row.next_try_at is not None and row.next_try_at > timezone.now():
        problem = row.connection.problem
        raise TokenUnavailableError(
            connection_id=row.pk,
            reaction=health.reaction_of(row.connection) if problem else Reaction.RETRY,
            problem=problem or "throttled",  # As another connection to the same tenant was.
            correlation_id=row.connection.correlation_id,
            retry_at=row.next_try_at,
        )
    refusal = refusal_of(row, audience)
    if refusal is not None:
        raise TokenUnavailableError(
            connection_id=row.pk,
            reaction=refusal.reaction,
            problem=refusal.problem,
            correlation_id=refusal.correlation_id,
            retry_at=refusal.until,
        )


def _refresh_unless_met(wish: _Wish, row: RefreshToken) -> AccessToken:
    """Look once more with the claim in hand: the last holder may just have been done."""
    held = _find(wish.connection_id, wish.audience)
    if held is not None and wish.is_met_by(held):
        row.release()
        return held
    return _refresh(wish, row)


def _held_by(row: RefreshToken) -> list[AccessToken]:
    """Return a connection's access tokens, the one used latest first."""
    held = row.connection.access_tokens.all()
    return sorted(held, key=lambda one: one.used_at or one.issued_at, reverse=True)


def _refresh(wish: _Wish, row: RefreshToken) -> AccessToken:
    connection = row.connection
    try:
        reply = entra.refresh(
            connection.find_cloud(),
            connection.tenant_id,
            client(),
            refresh_token=row.secret,
            audience=wish.audience,
            claims=wish.claims,
        )
    except (RemoteError, DecryptionError) as error:
        diagnosis = health.diagnose(
            error,
            client_secret=conf.client_secret,
            is_graph=wish.audience == connection.find_cloud().graph_audience,
        )
        fault = error.fault if isinstance(error, RemoteError) else None
        if not _note_failure(row, diagnosis, fault, wish.audience):
            return _newer(wish)
        # Without its cause, in whose frames the refresh token is.
        raise _unavailable(connection.pk, diagnosis.reaction, diagnosis.code, fault) from None
    if _is_someone_else(connection, reply):
        diagnosis = health.IDENTITY_CHANGED
        if not _note_failure(row, diagnosis, None, wish.audience):
            return _newer(wish)
        raise _unavailable(connection.pk, diagnosis.reaction, diagnosis.code)
    try:
        saved = _save(row, reply, wish)
    except DatabaseError:
        # Nobody should have to wait for the lease to run out; the old token works on.
        row.release()
        raise
    return saved or _newer(wish)


def _newer(wish: _Wish) -> AccessToken:
    """Return what is newer than our fence: reconnected, or refreshed after our lease."""
    newer = _find(wish.connection_id, wish.audience)
    if newer is None:
        raise _unavailable(wish.connection_id, Reaction.RECONNECT, "grant_revoked")
    if not wish.is_met_by(newer):  # Whoever has overtaken us is still at it.
        raise _unavailable(wish.connection_id, Reaction.RETRY, "microsoft_unavailable")
    return newer


def _is_someone_else(connection: AppConnection, reply: TokenReply) -> bool:
    """
    Compare the account of the new id token.

    Its signature is not checked: it comes from the token endpoint itself, over TLS
    (OpenID Connect Core 3.1.3.7, number 6).
    """
    if reply.id_token is None:
        return False
    found = claims_identity(reply.id_token)
    return found != (connection.tenant_id, connection.account_object_id)


def early(issued_at: datetime, expires_at: datetime) -> datetime:
    """Choose when to refresh: at random in the last fifth, so never all at once."""
    return expires_at - (expires_at - issued_at) * random.uniform(0.05, 0.2)  # noqa: S311


def _save(row: RefreshToken, reply: TokenReply, wish: _Wish) -> AccessToken | None:
    """Save a reply unless the fence is no longer the newest; then return None."""
    held = _held_by(row)
    now, audience = timezone.now(), wish.audience
    refresh_at = early(reply.issued_at, reply.expires_at)
    expires_at = now + RefreshToken.LIFETIME if reply.refresh_token else row.expires_at
    is_used = any(one.used_at and one.used_at > now - _IN_USE for one in held)
    refused = remaining(row, audience)
    values: dict[str, Any] = {
        "refused": refused,
        "lease_until": None,
        "next_try_at": None,
        "failures": 0,
        "expires_at": expires_at,
        "due_at": refresh_at if is_used else keep_alive_at(expires_at),
    }
    if reply.refresh_token is not None:
        row.secret = reply.refresh_token
        values["secret"] = RefreshToken._meta.get_field("secret").pre_save(row, add=False)
    with transaction.atomic(using=database()):
        # This UPDATE locks the row, so what follows is decided here.
        if not RefreshToken.objects.filter(pk=row.pk, fence=row.fence).update(**values):
            return None
        # Only the holder of the newest fence writes these rows, and it is ours.
        same = (one for one in held if one.resource == audience)
        access = next(same, None) or AccessToken(connection_id=row.pk, resource=audience)
        access.secret = reply.access_token
        access.scopes = list(reply.scopes)
        access.issued_at, access.expires_at = reply.issued_at, reply.expires_at
        access.refresh_at = refresh_at
        # Without a use of ours not used_at, which others note meanwhile.
        written = ["secret", "scopes", "issued_at", "expires_at", "refresh_at"]
        if wish.is_for_use:  # Those who wait for it need not note it each.
            access.used_at = now
            written.append("used_at")
        access.save(update_fields=None if access._state.adding else written)
        _note_success(row.connection, reply, audience, refused)
    return access


def keep_alive_at(expires_at: datetime) -> datetime:
    """Choose when an unused connection is refreshed, spread over a day."""
    spread = timedelta(hours=random.uniform(0, 24))  # noqa: S311
    return expires_at - RefreshToken.KEEP_ALIVE - spread


def _note_success(
    connection: AppConnection,
    reply: TokenReply,
    audience: str,
    refused: Kept,
) -> None:
    before = connection.granted_scopes, connection.status, connection.problem
    was_broken = connection.is_broken
    if audience == connection.find_cloud().graph_audience:
        connection.granted_scopes = sorted([*reply.scopes, "offline_access"])
    if not note_refusals(connection, refused):
        connection.note_granted(connection.granted_scopes)
    if before != (connection.granted_scopes, connection.status, connection.problem):
        connection.save(update_fields=["granted_scopes", *AppConnection.STATUS_FIELDS])
    if was_broken and not connection.is_broken:
        transaction.on_commit(
            lambda: connection_recovered.send_robust(AppConnection, connection=connection),
            using=database(),
        )


def _note_failure(
    row: RefreshToken, diagnosis: Diagnosis, fault: Fault | None, audience: str
) -> bool:
    """Remember a failure and when to try again; return False if the fence is outdated."""
    now, connection = timezone.now(), row.connection
    values: dict[str, object] = {"lease_until": None, "failures": row.failures + 1}
    if diagnosis.is_of_resource:
        refusal = refused_anew(row, audience, diagnosis, fault)
        refused = row.refused | {audience: refusal.written()}
        values = {"lease_until": None, "refused": refused}
        if row.due_at is not None and row.due_at < refusal.until:
            values["due_at"] = refusal.until
    elif diagnosis.reaction is Reaction.RECONNECT:
        values |= {"revoked_at": now, "due_at": None}
    else:
        next_try_at = now + _pause(row, diagnosis, fault)
        values |= {"next_try_at": next_try_at, "due_at": next_try_at}
    was_broken = connection.is_broken
    with transaction.atomic(using=database()):
        if not RefreshToken.objects.filter(pk=row.pk, fence=row.fence).update(**values):
            return False
        if fault is not None and fault.http_status == 429:
            RefreshToken.objects.pause(connection, now + _pause(row, diagnosis, fault))
        if diagnosis.is_of_resource:
            note_refusals(connection, refused, fault)
        else:
            connection.note_status(diagnosis.status, diagnosis.code, fault)
        connection.save(update_fields=AppConnection.STATUS_FIELDS)
        if connection.is_broken and not was_broken:
            transaction.on_commit(
                lambda: connection_broken.send_robust(AppConnection, connection=connection),
                using=database(),
            )
    return True


def _pause(row: RefreshToken, diagnosis: Diagnosis, fault: Fault | None) -> timedelta:
    longest = _PAUSES.get(diagnosis.reaction, _LONGEST_PAUSE)
    return pause_after(row.failures, fault, longest=longest)


def _unavailable(
    connection_id: UUID, reaction: Reaction, problem: str, fault: Fault | None = None
) -> TokenUnavailableError:
    return TokenUnavailableError(
        connection_id=connection_id,
        reaction=reaction,
        problem=problem,
        correlation_id=fault.correlation_id if fault else "",
        retry_at=None,
    )
