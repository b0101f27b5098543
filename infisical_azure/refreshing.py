"""Refresh a token: claim the right to, ask Microsoft, save the answer."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError
from django.utils import timezone

from . import entra, health
from .apart import apart, errand, may_be_lost, note_asked, patience
from .conf import conf
from .entra import TokenReply
from .exceptions import (
    DecryptionError,
    IdTokenError,
    Reaction,
    RemoteError,
    TokenUnavailableError,
)
from .freshness import Wish, find_held, held_by
from .id_token import find_other
from .keeping import settle
from .models import AccessToken, AppConnection, RefreshToken
from .operator_client import client
from .outcomes import note_failure, save, unavailable
from .refusals import refusal_of
from .turns import in_turn

logger = logging.getLogger(__name__)
_POLL_SECONDS = 0.02


def refresh(row: RefreshToken) -> bool:
    """
    Refresh a connection's most used token ahead of time, for work in the background.

    `row` is one of ``RefreshToken.objects.due(now).to_refresh()``. Return whether this
    call did it: False when somebody else has, or is at it. Raises TokenUnavailableError.
    """
    mine = _claim(row, is_whole=True)
    if mine is None:
        return False
    if mine.due_at is None or mine.due_at > timezone.now():
        mine.release()
        return False
    with _giving_back(mine):
        audience = _audience_to_refresh(mine)
        _refresh(Wish(connection_id=row.pk, audience=audience, is_for_use=False), mine)
    return True


def _claim(row: RefreshToken, *, is_whole: bool = False) -> RefreshToken | None:
    if not (may_be_lost() or errand()):  # Else it may wait for this very caller.
        settle(row.pk)
    if row.lease_until is not None and row.lease_until > timezone.now():
        return None  # So that waiting costs no UPDATE each time.
    rows = RefreshToken.objects.to_refresh()
    claimed: RefreshToken | None = rows.claim(row, conf.lease, is_whole=is_whole)
    return claimed


@contextmanager
def _giving_back(row: RefreshToken) -> Iterator[None]:
    """Let nobody wait for the lease to run out when the site itself fails."""
    try:
        yield
    except (DatabaseError, ImproperlyConfigured):
        row.release()
        raise


def _audience_to_refresh(row: RefreshToken) -> str:
    """Choose the resource used latest; Graph, which the pages need, where it was refused."""
    graph = row.connection.find_cloud().graph_audience
    usable = [one.resource for one in held_by(row) if one.resource not in row.refused]
    return graph if graph in row.refused or not usable else usable[0]


def _is_there(connection_id: UUID) -> bool:
    """Say whether this database connection sees the row at all."""
    return bool(RefreshToken.objects.filter(pk=connection_id).exists())


def replace_early(held: AccessToken) -> AccessToken:
    """Try for a new token, once and without waiting; the held one still works."""
    wish = Wish(connection_id=held.connection_id, audience=held.resource, early=True)

    def replace() -> AccessToken:
        mine = _claim(_hopeful_row(wish))
        return held if mine is None else _refresh_unless_met(wish, mine)

    try:
        return apart(replace, is_usable=lambda: _is_there(held.connection_id))
    except TokenUnavailableError:
        return held


def obtain(wish: Wish) -> AccessToken:
    """Get a token that meets the wish, whatever transaction the caller is in."""
    return apart(lambda: _obtain(wish), is_usable=lambda: _is_there(wish.connection_id))


def _obtain(wish: Wish) -> AccessToken:
    """Get a token that meets the wish, by refreshing it or by waiting for who does."""
    give_up = time.monotonic() + 2 * conf.lease.total_seconds()
    with in_turn((wish.connection_id, wish.audience), patience=patience()) as place:
        while True:
            # Whoever was before us in this process may just have found it.
            held = place.left if isinstance(place.left, AccessToken) else None
            # Those who come later must not get it: by then it may be another account's.
            count = place.count()
            if not wish.is_met_by(held):
                held = find_held(wish.connection_id, wish.audience)
                place.leave(held, to=count)
            if held is not None and wish.is_met_by(held):
                return held
            mine = _claim(_hopeful_row(wish))
            if mine is not None:
                refreshed = _refresh_unless_met(wish, mine)
                place.leave(refreshed, to=count)
                return refreshed
            if time.monotonic() > give_up:
                raise unavailable(wish.connection_id, Reaction.RETRY, "microsoft_unavailable")
            time.sleep(_POLL_SECONDS)


def _hopeful_row(wish: Wish) -> RefreshToken:
    """Return the row to claim; raise TokenUnavailableError where it is not worth trying."""
    rows = RefreshToken.objects.select_related("connection")
    row: RefreshToken | None = rows.filter(pk=wish.connection_id).first()
    if row is None:
        raise unavailable(wish.connection_id, Reaction.RECONNECT, "offline_access_missing")
    _raise_if_hopeless(row, wish.audience)
    return row


def _raise_if_hopeless(row: RefreshToken, audience: str) -> None:
    """Raise what is known of a token that is not to be had by trying or waiting."""
    if row.expires_at is None:
        raise unavailable(row.pk, Reaction.RECONNECT, "offline_access_missing")
    if row.revoked_at is not None:
        raise unavailable(row.pk, Reaction.RECONNECT, row.connection.problem)
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


def _refresh_unless_met(wish: Wish, row: RefreshToken) -> AccessToken:
    """Look once more with the claim in hand: the last holder may just have been done."""
    if any(wish.is_met_by(one) for one in held_by(row) if one.resource == wish.audience):
        row.release()
        return _newer(wish)
    try:
        _raise_if_hopeless(row, wish.audience)
    except TokenUnavailableError:
        row.release()
        raise
    with _giving_back(row):
        return _refresh(wish, row)


def _refresh(wish: Wish, row: RefreshToken) -> AccessToken:
    connection = row.connection
    note_asked()
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
        if not note_failure(row, diagnosis, fault, wish):
            return _newer(wish)
        # Without its cause, in whose frames the refresh token is.
        raise unavailable(connection.pk, diagnosis.reaction, diagnosis.code, fault) from None
    if _is_someone_else(connection, reply):
        diagnosis = health.IDENTITY_CHANGED
        if not note_failure(row, diagnosis, None, wish):
            return _newer(wish)
        raise unavailable(connection.pk, diagnosis.reaction, diagnosis.code)
    return save(row, reply, wish) or _newer(wish)


def _newer(wish: Wish) -> AccessToken:
    """Return what is newer than our fence: reconnected, or refreshed after our lease."""
    newer = find_held(wish.connection_id, wish.audience)
    if newer is not None and wish.is_met_by(newer):
        return newer
    if _is_there(wish.connection_id):  # Whoever has overtaken us may still be at it.
        raise unavailable(wish.connection_id, Reaction.RETRY, "microsoft_unavailable")
    raise unavailable(wish.connection_id, Reaction.RECONNECT, "grant_revoked")


def _is_someone_else(connection: AppConnection, reply: TokenReply) -> bool:
    """Say whether the reply's id token names another account, directory or application."""
    if reply.id_token is None:
        return False
    try:
        claim = find_other(
            reply.id_token,
            connection.find_cloud(),
            client_id=conf.client_id,
            tenant_id=connection.tenant_id,
            object_id=connection.account_object_id,
            subject=connection.account_subject,
        )
    except IdTokenError as error:  # It says nothing, so nothing against the tokens.
        logger.warning("A refresh of connection %s: %s", connection.pk, error)
        return False
    if claim:
        text = "A refresh of connection %s was answered for another: its id token's %s differs."
        logger.error(text, connection.pk, claim)
    return bool(claim)
