"""What a refresh has led to, saved by the holder of the newest fence."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import DatabaseError, transaction
from django.utils import timezone

from .apart import errand, may_be_lost
from .entra import TokenReply
from .exceptions import Fault, Reaction, TokenUnavailableError
from .freshness import Wish, early, held_by, keep_alive_at
from .health import Diagnosis
from .history import Act, Outcome, record
from .keeping import keep
from .models import AccessToken, AppConnection, RefreshToken, database
from .pauses import pause_of_token
from .refusals import Kept, note_refusals, refused_anew, remaining
from .signals import connection_broken, connection_recovered

_LONGEST_PAUSE = timedelta(minutes=30)
_PAUSES = {
    Reaction.OPERATOR: timedelta(minutes=5),
    Reaction.TENANT_ADMIN: timedelta(minutes=5),
}
# A tenant that throttles its connection is likely to throttle the next one, too.
_NEIGHBOURS_WAIT = timedelta(seconds=30)
# Who must act then may have to prove more at the next sign-in.
_BY_SIGN_IN = {Reaction.RECONNECT, Reaction.TENANT_ADMIN}
# A connection that was used so lately is kept fresh in the background.
_IN_USE = timedelta(days=1)


def save(row: RefreshToken, reply: TokenReply, wish: Wish) -> AccessToken | None:
    """Save a reply unless the fence is no longer the newest; then return None."""
    now, audience = timezone.now(), wish.audience
    expires_at = row.expires_at
    replaced: dict[str, Any] = {}
    if reply.refresh_token is not None:
        row.secret, expires_at = reply.refresh_token, now + RefreshToken.LIFETIME
        secret = RefreshToken._meta.get_field("secret").pre_save(row, add=False)
        replaced = {"secret": secret, "expires_at": expires_at}
    with _saved_at_least(row, replaced):
        held = held_by(row)
        refresh_at = early(reply.issued_at, reply.expires_at)
        is_used = any(one.used_at and one.used_at > now - _IN_USE for one in held)
        refused = remaining(row, audience)
        values = replaced | {
            "refused": refused,
            "next_try_at": None,
            "failures": 0,
            "due_at": refresh_at if is_used else keep_alive_at(expires_at),
        }
        if replaced:
            _save_whatever_a_caller_does(row, values)
        # Only the holder of the newest fence writes these rows, and it is ours.
        same = (one for one in held if one.resource == audience)
        access = next(same, None) or AccessToken(connection=row.connection, resource=audience)
        access.secret = reply.access_token
        access.scopes = list(reply.scopes)
        access.issued_at, access.expires_at = reply.issued_at, reply.expires_at
        access.refresh_at = refresh_at
        # Without a use of ours not used_at, which others note meanwhile.
        written = ["secret", "scopes", "issued_at", "expires_at", "refresh_at"]
        if wish.is_for_use:  # Those who wait for it need not note it each.
            access.used_at = now
            written.append("used_at")
        if wish.issued_after is not None:
            access.forced_at, access.forced_claims = now, wish.claims
            written += ["forced_at", "forced_claims"]
        is_new = access._state.adding
        note = _taken_over(row.connection, reply, audience, refused)

        def save_rest() -> None:
            access.save(force_insert=is_new, update_fields=None if is_new else written)
            note()

        return access if _finish(row, values, save_rest) else None


@contextmanager
def _saved_at_least(row: RefreshToken, replaced: dict[str, Any]) -> Iterator[None]:
    """Save the new refresh token by itself where the block fails: the old one is used up."""
    try:
        yield
    except BaseException:
        with suppress(DatabaseError):
            row.holding().update(**replaced)
        raise


def _save_whatever_a_caller_does(row: RefreshToken, values: dict[str, Any]) -> None:
    """Save the new refresh token apart from a caller who may lock its row, or roll back."""
    if may_be_lost():
        rolled_back = row.fence - 1
        keep(row.pk, rolled_back, values | {"fence": row.fence, "lease_until": None})
    elif errand() is not None:
        try:
            row.holding().update(**values)
        except DatabaseError:
            keep(row.pk, row.fence, values)


def _finish(row: RefreshToken, values: dict[str, Any], save_rest: Callable[[], None]) -> bool:
    """
    End the lease and save the rest at once; return False if the fence is outdated.

    What a caller's locks keep from being saved is left to the caller's transaction.
    """
    values, connection = values | {"lease_until": None}, row.connection
    try:
        with transaction.atomic(using=database()):
            # This UPDATE locks the row, so what follows is decided here.
            if not row.holding().update(**values):
                return False
            save_rest()
    except DatabaseError:
        ours = errand()
        if ours is None:
            raise
        # Where not even this can be saved, the lease runs out: what was got is good.
        with suppress(DatabaseError):
            if not row.holding().update(**values):
                return False
            ours.left.append(lambda: _unless_reconnected(connection, save_rest))
    return True


def _unless_reconnected(connection: AppConnection, save: Callable[[], None]) -> None:
    """Save it while the lock of a connection that is as it was keeps it so."""
    rows = AppConnection.objects.select_for_update(nowait=True).only("pk")
    if rows.filter(pk=connection.pk, connected_at=connection.connected_at).first():
        save()


def _taken_over(
    connection: AppConnection,
    reply: TokenReply,
    audience: str,
    refused: Kept,
) -> Callable[[], None]:
    """Take over what a success says of the connection; return what saves it."""
    before = connection.granted_scopes, connection.status, connection.problem
    was_broken = connection.is_broken
    if audience == connection.find_cloud().graph_audience:
        connection.granted_scopes = sorted([*reply.scopes, "offline_access"])
    if not note_refusals(connection, refused):
        connection.note_granted(connection.granted_scopes)
    is_changed = before != (connection.granted_scopes, connection.status, connection.problem)
    is_recovered = was_broken and not connection.is_broken

    def save() -> None:
        if is_changed:
            connection.save(update_fields=["granted_scopes", *AppConnection.STATUS_FIELDS])
        if is_recovered:
            record(Act.CONNECTION_RECOVERED, connection)
            transaction.on_commit(
                lambda: connection_recovered.send_robust(AppConnection, connection=connection),
                using=database(),
            )

    return save


def note_failure(row: RefreshToken, diagnosis: Diagnosis, fault: Fault | None, wish: Wish) -> bool:
    """Remember a failure and when to try again; return False if the fence is outdated."""
    now, connection = timezone.now(), row.connection
    values: dict[str, object] = {"failures": row.failures + 1}
    if diagnosis.is_of_resource:
        refusal = refused_anew(row, wish.audience, diagnosis, fault)
        refused = row.refused | {wish.audience: refusal.written()}
        values = {"refused": refused}
        if row.due_at is not None and row.due_at < refusal.until:
            values["due_at"] = refusal.until
    elif diagnosis.reaction is Reaction.RECONNECT:
        values |= {"revoked_at": now, "due_at": None}
    else:
        next_try_at = now + _pause(row, diagnosis, fault)
        values |= {"next_try_at": next_try_at, "due_at": next_try_at}
    was_broken, before = connection.is_broken, connection.problem
    if diagnosis.is_of_resource:
        note_refusals(connection, refused, fault)
    else:
        connection.note_status(diagnosis.status, diagnosis.code, fault)

    def save_rest() -> None:
        connection.save(update_fields=AppConnection.STATUS_FIELDS)
        if fault is not None and diagnosis.reaction in _BY_SIGN_IN:
            connection.keep_claims(wish.claims, fault.claims)
        if connection.is_broken and (not was_broken or connection.problem != before):
            record(
                Act.CONNECTION_BROKEN,
                connection,
                outcome=Outcome.FAILED,
                problem=connection.problem,
                correlation_id=connection.correlation_id,
            )
        if connection.is_broken and not was_broken:
            transaction.on_commit(
                lambda: connection_broken.send_robust(AppConnection, connection=connection),
                using=database(),
            )

    if not _finish(row, values, save_rest):
        return False
    if fault is not None and fault.http_status == 429:
        pause = min(_pause(row, diagnosis, fault), _NEIGHBOURS_WAIT)
        # By itself: two that pause each other must not wait for each other's rows.
        with suppress(DatabaseError), transaction.atomic(using=database()):
            RefreshToken.objects.pause(connection, now + pause)
    return True


def _pause(row: RefreshToken, diagnosis: Diagnosis, fault: Fault | None) -> timedelta:
    longest = _PAUSES.get(diagnosis.reaction, _LONGEST_PAUSE)
    return pause_of_token(row.failures, fault, longest=longest)


def unavailable(
    connection_id: UUID, reaction: Reaction, problem: str, fault: Fault | None = None
) -> TokenUnavailableError:
    return TokenUnavailableError(
        connection_id=connection_id,
        reaction=reaction,
        problem=problem,
        correlation_id=fault.correlation_id if fault else "",
        retry_at=None,
    )
