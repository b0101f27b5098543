"""The steps of a rotation; each is durable, and can be resumed by any process."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TypeVar
from uuid import UUID

from django.core.exceptions import ImproperlyConfigured
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from . import entra
from .applications import may_have_happened, take_away
from .conf import conf
from .delivery import deliver
from .exceptions import (
    DecryptionError,
    DeliveryError,
    Fault,
    InfisicalAzureError,
    RemoteError,
    TokenUnavailableError,
)
from .graph import SERVICE, Application, ClientSecret, GraphClient
from .history import Act, Outcome, record, record_unless_repeated
from .models import HeldSecret, RotatedSecret, Rotation, database
from .on_behalf import on_behalf_of
from .pauses import passes
from .secret import Secret
from .signals import secret_rotated

logger = logging.getLogger(__name__)
Result = TypeVar("Result")
State = RotatedSecret.State

#: Graph's reads lag its writes by up to some 15 seconds (observed, not promised): a client
#: secret that is not seen after this time counts as never issued.
SETTLES_WITHIN = timedelta(seconds=60)
#: How long after a lost answer the application is looked at once more.
SWEEP_AFTER = timedelta(minutes=15)
#: How soon a client secret that Entra doesn't know yet is tried again.
_PROVE_AGAIN = timedelta(seconds=5)
#: Longer than Entra has been seen to take; then it counts as a failure.
_PROVEN_WITHIN = timedelta(minutes=10)
#: Code may choose a shorter interval, which would fill the directory up.
_SHORTEST_INTERVAL = timedelta(minutes=1)
_FULL = "Directory_ResourceSizeExceeded"
#: Our own code, where the directory no longer shows the client secret that is in use.
CURRENT_MISSING = "current_secret_missing"
#: The columns that others than the lease's holder may change.
_WANTED = (
    *("wake_at", "due_at", "paused_at", "sweep_at", "missed_at", "wanted_by_id", "wished_at"),
    *("interval", "lifetime", "overlap"),
)


class Overtaken(Exception):
    """Another process has claimed the rotation since: nothing more may be saved here."""


class Waiting(Exception):
    """Nothing is wrong, but there is nothing to do before this time."""

    def __init__(self, until: datetime) -> None:
        super().__init__(until)
        self.until = until


def lease() -> timedelta:
    """Longer than one step takes: a token that others refresh, then a call."""
    return 4 * conf.lease


# What comes next


def next_step(rotation: Rotation, now: datetime) -> Callable[[], None] | None:
    """Return what is to be done now, if anything is."""
    _look_again(rotation)
    pending = rotation.secrets.filter(state__in=RotatedSecret.PENDING).first()
    if pending is not None:
        return lambda: _PENDING_STEPS[State(pending.state)](rotation, pending)
    # Before a new client secret is made, which would hide that the one in use is missing.
    if rotation.missed_at is not None and rotation.missed_at <= now:
        return lambda: _look_for_current(rotation)
    if not rotation.is_paused:
        step = _next_of_interval(rotation, now)
        if step is not None:
            return step
    if rotation.sweep_at is not None and rotation.sweep_at <= now:
        return lambda: _sweep(rotation)
    return None


def _next_of_interval(rotation: Rotation, now: datetime) -> Callable[[], None] | None:
    # First: an old client secret that can't be removed must not keep the next from being made.
    if rotation.due_at <= now:
        return lambda: _begin(rotation)
    late = _late(rotation, now)
    if late is not None:
        return lambda: _remove(rotation, late)
    return None


def _look_again(rotation: Rotation) -> None:
    """Heed what people have wanted since the last step, such as a pause."""
    held = rotation.holding().first()
    if held is None:
        raise Overtaken
    for name in _WANTED:
        setattr(rotation, name, getattr(held, name))


def _late(rotation: Rotation, now: datetime) -> RotatedSecret | None:
    """Return the oldest superseded client secret whose overlap is over."""
    over = rotation.secrets.filter(state=State.RETIRING, retire_at__lte=now)
    return over.order_by("retire_at").first()


@contextmanager
def fenced(rotation: Rotation) -> Iterator[None]:
    """Commit the block if the rotation is still ours; the lease begins anew."""
    with transaction.atomic(using=database()):
        # This UPDATE locks the row until the commit.
        if not rotation.holding().update(lease_until=timezone.now() + lease()):
            raise Overtaken
        yield


def _renew_lease(rotation: Rotation) -> None:
    """Begin the lease anew before a slow call, or raise Overtaken."""
    with fenced(rotation):
        pass


# The steps


def _begin(rotation: Rotation) -> None:
    with fenced(rotation):
        RotatedSecret.objects.create(rotation=rotation, user=rotation.wanted_by)
        rotation.wanted_by = None
        rotation.save(update_fields=["wanted_by"])


def _issue(rotation: Rotation, secret: RotatedSecret) -> None:
    """Issue the client secret, once it is certain that no earlier try has done so."""
    if secret.asked_at is not None:
        _settle(rotation, secret)
    now = timezone.now()
    with fenced(rotation):
        secret.asked_at = now
        secret.save(update_fields=["asked_at"])
    expires_at = now + rotation.lifetime
    try:
        issued = _graph(
            rotation,
            lambda graph: graph.add_password(
                rotation.application_id, name=secret.marker, starts_at=now, expires_at=expires_at
            ),
        )
    except (TokenUnavailableError, RemoteError) as error:
        if may_have_happened(error):
            record_unless_repeated(
                Act.SECRET_ISSUED,
                rotation,
                outcome=Outcome.UNCERTAIN,
                error=error,
                name=secret.marker,
            )
        else:
            with fenced(rotation):
                secret.asked_at = None
                secret.save(update_fields=["asked_at"])
        _make_room(rotation, error)
        raise
    with fenced(rotation):
        secret.state, secret.key_id, secret.asked_at = State.ISSUED, issued.key_id, None
        secret.issued_at, secret.expires_at = now, issued.expires_at or expires_at
        secret.save(update_fields=["state", "key_id", "asked_at", "issued_at", "expires_at"])
        HeldSecret.objects.create(of=secret, secret=issued.value)
        _tell(Act.SECRET_ISSUED, rotation, secret)


def _make_room(rotation: Rotation, error: Exception) -> None:
    """Where the application is full, remove a superseded client secret that is due."""
    is_full = isinstance(error, RemoteError) and error.fault.error == _FULL
    late = _late(rotation, timezone.now()) if is_full and not rotation.is_paused else None
    if late is not None:
        _remove(rotation, late)


def _settle(rotation: Rotation, secret: RotatedSecret) -> None:
    """Remove the client secret of a lost answer; raise Waiting while it may still turn up."""
    asked_at = secret.asked_at or timezone.now()
    removed = _remove_orphans(rotation)
    settled_at = asked_at + SETTLES_WITHIN
    if not removed and timezone.now() < settled_at:
        raise Waiting(settled_at)
    with fenced(rotation):
        secret.asked_at = None
        secret.save(update_fields=["asked_at"])
        # It may still turn up: reads have been seen to lag for longer.
        rotation.sweep_at = timezone.now() + SWEEP_AFTER
        rotation.save(update_fields=["sweep_at"])


def _prove(rotation: Rotation, secret: RotatedSecret) -> None:
    """Sign in with it several times in a row, until all of Entra knows it."""
    connection, value = rotation.connection, _value_of(secret)
    if value is None:
        _give_up(rotation, secret)
        return
    for number in range(conf.rotation_proofs):
        if number:
            time.sleep(conf.rotation_proof_pause)
        _renew_lease(rotation)
        try:
            entra.prove(connection.find_cloud(), connection.tenant_id, rotation.app_id, value)
        except RemoteError as error:
            if error.fault.error != "invalid_client":
                raise
            now = timezone.now()
            if now < (secret.issued_at or now) + _PROVEN_WITHIN:
                raise Waiting(now + _PROVE_AGAIN) from None
            if not _is_dead(rotation, secret, now):
                raise
            _give_up(rotation, secret)
            return
    with fenced(rotation):
        secret.state, secret.proven_at = State.PROVEN, timezone.now()
        secret.save(update_fields=["state", "proven_at"])


def _value_of(secret: RotatedSecret) -> Secret | None:
    """Return its value; None where that is gone, or none of FERNET_KEYS opens it."""
    held = HeldSecret.objects.with_secret().filter(of=secret).first()
    try:
        return Secret.of(held.secret.reveal) if held else None
    except DecryptionError as error:
        logger.warning("The rotation of %s begins anew: %s", secret.rotation, error)
        return None


def _is_dead(rotation: Rotation, secret: RotatedSecret, now: datetime) -> bool:
    """Say whether it will never work, as it has expired or somebody has removed it."""
    if secret.has_ended:
        return True
    is_old = now >= (secret.issued_at or now) + SWEEP_AFTER
    return is_old and secret.key_id not in {found.key_id for found in _look(rotation).secrets}


def _give_up(rotation: Rotation, secret: RotatedSecret) -> None:
    """Give it up; where it may have been delivered, it stays until the next is in use."""
    if secret.offered_at is None or secret.has_ended:
        _discard(rotation, secret)
        return
    with fenced(rotation):
        HeldSecret.objects.filter(of=secret).delete()
        secret.state = State.RETIRING
        secret.save(update_fields=["state"])


def _discard(rotation: Rotation, secret: RotatedSecret) -> None:
    if secret.key_id is not None:
        _take_away(rotation, secret.key_id)
    _note_removed(rotation, secret, was_seen=False)


def _note_removed(rotation: Rotation, secret: RotatedSecret, *, was_seen: bool) -> None:
    """Note it as removed; where it was not seen before, look once more later."""
    now = timezone.now()
    with fenced(rotation):
        HeldSecret.objects.filter(of=secret).delete()
        secret.state, secret.removed_at = State.REMOVED, now
        secret.save(update_fields=["state", "removed_at"])
        if not was_seen and secret.key_id is not None:
            rotation.sweep_at = now + SWEEP_AFTER
            rotation.save(update_fields=["sweep_at"])


def _deliver(rotation: Rotation, secret: RotatedSecret) -> None:
    """Deliver to each destination, then put the client secret to use."""
    proven_at = secret.proven_at
    if proven_at is None or timezone.now() - proven_at > _PROVEN_WITHIN:
        _prove(rotation, secret)  # An old proof proves nothing; the next step delivers.
        return
    value = _value_of(secret)
    if value is None:
        _give_up(rotation, secret)
        return
    failure: Exception | None = None
    lacking = rotation.destinations.exclude(delivered=secret)
    # A reference comes after the destination that it refers to.
    ready = lacking.filter(Q(refers_to=None) | Q(refers_to__delivered=secret))
    tried: list[UUID] = []
    while destination := ready.exclude(pk__in=tried).select_related("refers_to").first():
        tried.append(destination.pk)
        destination.rotation = secret.rotation = rotation
        was_offered = secret.offered_at is not None
        if was_offered:
            _renew_lease(rotation)
        else:
            _note_offered(rotation, secret, timezone.now())
        try:
            deliver(destination, secret, value)
        except (InfisicalAzureError, ImproperlyConfigured) as error:
            if not was_offered and not _may_have_arrived(error):
                _note_offered(rotation, secret, None)
            record_unless_repeated(
                Act.SECRET_DELIVERED,
                destination,
                outcome=Outcome.FAILED,
                error=error,
                key_id=secret.key_id,
            )
            # The others get it all the same. A failure that needs a person is told first.
            if failure is None or passes(failure):
                failure = error
            continue
        with fenced(rotation):
            # Somebody may have removed the destination meanwhile.
            same = rotation.destinations.filter(pk=destination.pk)
            same.update(delivered=secret, delivered_at=timezone.now())
            record(Act.SECRET_DELIVERED, destination, key_id=secret.key_id)
    if not tried and lacking.exists():
        failure = DeliveryError("The destination of a reference never gets the client secret.")
    if failure is not None:
        raise failure
    _put_to_use(rotation, secret)


def _note_offered(rotation: Rotation, secret: RotatedSecret, at: datetime | None) -> None:
    """Note when it was first sent to a destination; None where it arrived nowhere."""
    with fenced(rotation):
        secret.offered_at = at
        secret.save(update_fields=["offered_at"])


def _may_have_arrived(error: Exception) -> bool:
    """Say whether a destination may have got the client secret despite the failure."""
    if isinstance(error, (RemoteError, TokenUnavailableError)):
        return may_have_happened(error)
    return True  # The site's own code.


def _put_to_use(rotation: Rotation, secret: RotatedSecret) -> None:
    now = timezone.now()
    with fenced(rotation):
        if rotation.destinations.exclude(delivered=secret).exists():
            return  # Somebody has added a destination meanwhile.
        _look_again(rotation)
        given_up = Q(state=State.RETIRING, retire_at=None)
        for old in rotation.secrets.filter(Q(state=State.CURRENT) | given_up):
            old.state, old.retire_at = State.RETIRING, _retire_at(old, now + rotation.overlap)
            old.save(update_fields=["state", "retire_at"])
        secret.state, secret.delivered_at = State.CURRENT, now
        secret.save(update_fields=["state", "delivered_at"])
        HeldSecret.objects.filter(of=secret).delete()
        # Meets every wish since it was begun; the interval says when the next is due.
        rotation.due_at, rotation.wanted_by = due_after(rotation, secret, now), None
        rotation.save(update_fields=["due_at", "wanted_by"])
        _tell(Act.SECRET_ROTATED, rotation, secret)
    transaction.on_commit(
        lambda: secret_rotated.send_robust(Rotation, rotation=rotation, secret=secret),
        using=database(),
    )


def _retire_at(old: RotatedSecret, overlap_ends_at: datetime) -> datetime:
    """Return when the overlap of an old client secret ends, at the latest when it expires."""
    if old.expires_at is None or old.has_ended:
        return overlap_ends_at
    return min(overlap_ends_at, old.expires_at)


def due_after(rotation: Rotation, secret: RotatedSecret, now: datetime) -> datetime:
    """Return when the next client secret is due: earlier where this was delivered late."""
    to_spare = (rotation.lifetime - rotation.interval - rotation.overlap) / 2
    latest = (secret.expires_at or now + rotation.lifetime) - rotation.overlap - to_spare
    due_at = min(now + rotation.interval, max(latest, now + timedelta(hours=1)))
    return max(due_at, now + _SHORTEST_INTERVAL)


def _remove(rotation: Rotation, secret: RotatedSecret) -> None:
    """Remove a superseded client secret; never while its successor is not seen."""
    present = {found.key_id for found in _look(rotation).secrets}
    current = rotation.secrets.get(state=State.CURRENT)
    if current.key_id not in present:
        _miss(rotation, current)
        return
    was_seen = secret.key_id in present
    if secret.key_id is not None and was_seen:
        _take_away(rotation, secret.key_id)
    _note_removed(rotation, secret, was_seen=was_seen)


def _miss(rotation: Rotation, current: RotatedSecret) -> None:
    """Save that the client secret in use has to be looked for."""
    now = timezone.now()
    visible_at = _visible_at(current, now)
    if now < visible_at:
        raise Waiting(visible_at)
    with fenced(rotation):
        rotation.missed_at = now
        rotation.save(update_fields=["missed_at"])


def _visible_at(current: RotatedSecret, now: datetime) -> datetime:
    """Return until when Graph may not list a new client secret yet."""
    return (current.issued_at or now) + SWEEP_AFTER


def _sweep(rotation: Rotation) -> None:
    """Look once more for client secrets whose answers were lost."""
    _remove_orphans(rotation)
    with fenced(rotation):
        rotation.sweep_at = None
        rotation.save(update_fields=["sweep_at"])


def _look_for_current(rotation: Rotation) -> None:
    """Raise RemoteError where somebody has removed the client secret in use."""
    present, now = {found.key_id for found in _look(rotation).secrets}, timezone.now()
    current = rotation.secrets.filter(state=State.CURRENT).first()
    later = None
    if current is not None and current.key_id not in present:
        later = _visible_at(current, now)
        if later <= now:
            raise RemoteError(Fault(service=SERVICE, error=CURRENT_MISSING))
    with fenced(rotation):
        # Another watch may have missed it since we looked.
        rotation.holding().filter(missed_at=rotation.missed_at).update(missed_at=later)


def abandon(rotation: Rotation) -> None:
    """
    Remove a client secret that arrived nowhere; raise Waiting while it may still turn up.

    A client secret that may have arrived somewhere stays, like those in use.
    """
    now = timezone.now()
    pending = rotation.secrets.filter(state__in=RotatedSecret.PENDING).first()
    if pending is not None and pending.state == State.INTENDED:
        if pending.asked_at is not None:
            _settle(rotation, pending)
        _discard(rotation, pending)  # The row stays for a while: its marker finds what turns up.
    elif pending is not None and pending.offered_at is None and pending.key_id is not None:
        # Graph may not list it yet, and a refusal to remove it would mislead.
        visible_at = (pending.issued_at or now) + SETTLES_WITHIN
        if now < visible_at:
            raise Waiting(visible_at)
        _take_away(rotation, pending.key_id)
    if rotation.sweep_at is not None:
        if now < rotation.sweep_at:
            raise Waiting(rotation.sweep_at)
        _remove_orphans(rotation)


_PENDING_STEPS = {State.INTENDED: _issue, State.ISSUED: _prove, State.PROVEN: _deliver}


# The directory


def _graph(rotation: Rotation, act: Callable[[GraphClient], Result]) -> Result:
    return on_behalf_of(rotation.connection, act)


def _look(rotation: Rotation) -> Application:
    return _graph(rotation, lambda graph: graph.application(rotation.application_id))


def _remove_orphans(rotation: Rotation) -> bool:
    """
    Remove client secrets of ours whose value nobody knows; return whether there were any.

    They have the marker of one of our rows under another key id, and begin before the client
    secret of that row; or they were taken for removed. Nothing of somebody else is touched,
    not even with a copy of the name.
    """
    seen = _look(rotation).secrets
    # Read after looking, and under the lease: what another process has issued meanwhile must
    # not be taken for an orphan.
    with fenced(rotation):
        known = {secret.marker: secret for secret in rotation.secrets.all()}
    orphans = [found.key_id for found in seen if _is_orphan(found, known.get(found.name))]
    for key_id in orphans:
        _take_away(rotation, key_id)
    return bool(orphans)


def _is_orphan(found: ClientSecret, ours: RotatedSecret | None) -> bool:
    if ours is None or found.starts_at is None:
        return False
    if ours.key_id == found.key_id:
        return ours.state == State.REMOVED
    return ours.issued_at is None or found.starts_at <= ours.issued_at


def _take_away(rotation: Rotation, key_id: UUID) -> None:
    try:
        _graph(rotation, lambda graph: take_away(graph, rotation.application_id, key_id))
    except (TokenUnavailableError, RemoteError) as error:
        outcome = Outcome.UNCERTAIN if may_have_happened(error) else Outcome.FAILED
        record_unless_repeated(
            Act.SECRET_REMOVED, rotation, outcome=outcome, error=error, key_id=key_id
        )
        raise
    record(Act.SECRET_REMOVED, rotation, key_id=key_id)


def _tell(act: Act, rotation: Rotation, secret: RotatedSecret) -> None:
    """Tell the history what was done, and who asked for it."""
    record(act, rotation, user=secret.user, key_id=secret.key_id, name=secret.marker)
