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

#: Graph's reads lag its writes by up to some 15 seconds (observed; there is no promise):
#: only after this is a client secret that isn't seen taken to have never been issued.
SETTLES_WITHIN = timedelta(seconds=60)
#: After a lost answer the application is looked at once more, so much later.
SWEEP_AFTER = timedelta(minutes=15)
#: How soon a client secret that Entra doesn't know yet is tried again.
_PROVE_AGAIN = timedelta(seconds=5)
#: Longer than Entra has been seen to take; then it counts as a failure.
_PROVEN_WITHIN = timedelta(minutes=10)
#: However short an interval code has chosen: the directory would fill up.
_SHORTEST_INTERVAL = timedelta(minutes=1)
_FULL = "Directory_ResourceSizeExceeded"
#: Our own code, where the directory no longer shows the client secret that is in use.
CURRENT_MISSING = "current_secret_missing"
#: What others than the lease's holder may change.
_WANTED = (
    *("wake_at", "due_at", "paused_at", "sweep_at", "missed_at", "wanted_by_id", "wished_at"),
    *("interval", "lifetime", "overlap"),
)


class Overtaken(Exception):
    """Somebody else has claimed the rotation since: whatever we hold is worth nothing."""


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
    # Before the next one, which would hide that somebody removed this one.
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
    # First: an old one that can't be removed must not keep the next one from being made.
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
    """Return the oldest superseded one whose overlap is over."""
    over = rotation.secrets.filter(state=State.RETIRING, retire_at__lte=now)
    return over.order_by("retire_at").first()


@contextmanager
def fenced(rotation: Rotation) -> Iterator[None]:
    """Save what the block saves, if the rotation is still ours; the lease begins anew."""
    with transaction.atomic(using=database()):
        # This UPDATE locks the row until the commit.
        if not rotation.holding().update(lease_until=timezone.now() + lease()):
            raise Overtaken
        yield


def _renew_lease(rotation: Rotation) -> None:
    """Go on for another lease, or raise Overtaken, before what takes its time."""
    with fenced(rotation):
        pass


# The steps


def _begin(rotation: Rotation) -> None:
    with fenced(rotation):
        RotatedSecret.objects.create(rotation=rotation, user=rotation.wanted_by)
        rotation.wanted_by = None
        rotation.save(update_fields=["wanted_by"])


def _issue(rotation: Rotation, secret: RotatedSecret) -> None:
    """Issue it, once it is certain that no earlier try has."""
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
    """Where the application is full, remove what of ours has had its time."""
    is_full = isinstance(error, RemoteError) and error.fault.error == _FULL
    late = _late(rotation, timezone.now()) if is_full and not rotation.is_paused else None
    if late is not None:
        _remove(rotation, late)


def _settle(rotation: Rotation, secret: RotatedSecret) -> None:
    """Find out whether an answer was lost, and remove what it would have told of."""
    asked_at = secret.asked_at or timezone.now()
    removed = _remove_orphans(rotation)
    settled_at = asked_at + SETTLES_WITHIN
    if not removed and timezone.now() < settled_at:
        raise Waiting(settled_at)
    with fenced(rotation):
        secret.asked_at = None
        secret.save(update_fields=["asked_at"])
        # It may turn up yet, or again: reads have been seen to lag more than anybody promises.
        rotation.sweep_at = timezone.now() + SWEEP_AFTER
        rotation.save(update_fields=["sweep_at"])


def _prove(rotation: Rotation, secret: RotatedSecret) -> None:
    """Sign in with it so often in a row that all of Entra knows it."""
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
    """Return its value; None where that is gone, or was stored with a key that is."""
    held = HeldSecret.objects.with_secret().filter(of=secret).first()
    try:
        return Secret.of(held.secret.reveal) if held else None
    except DecryptionError as error:
        logger.warning("The rotation of %s begins anew: %s", secret.rotation, error)
        return None


def _is_dead(rotation: Rotation, secret: RotatedSecret, now: datetime) -> bool:
    """Say whether it will never work: it has expired, or somebody has removed it."""
    if secret.has_ended:
        return True
    is_old = now >= (secret.issued_at or now) + SWEEP_AFTER
    return is_old and secret.key_id not in {one.key_id for one in _look(rotation).secrets}


def _give_up(rotation: Rotation, secret: RotatedSecret) -> None:
    """Begin the next one at once; what may have been delivered stays until that is in use."""
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
    """Note that it is gone; where it was not seen before, look once more later."""
    now = timezone.now()
    with fenced(rotation):
        HeldSecret.objects.filter(of=secret).delete()
        secret.state, secret.removed_at = State.REMOVED, now
        secret.save(update_fields=["state", "removed_at"])
        if not was_seen and secret.key_id is not None:
            rotation.sweep_at = now + SWEEP_AFTER
            rotation.save(update_fields=["sweep_at"])


def _deliver(rotation: Rotation, secret: RotatedSecret) -> None:
    """Deliver to each destination; then it is the one in use."""
    proven_at = secret.proven_at
    if proven_at is None or timezone.now() - proven_at > _PROVEN_WITHIN:
        _prove(rotation, secret)  # An old proof proves nothing; it is delivered in the next step.
        return
    value = _value_of(secret)
    if value is None:
        _give_up(rotation, secret)
        return
    failure: Exception | None = None
    lacking = rotation.destinations.exclude(delivered=secret)
    # What refers to another destination comes after that one has it.
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
            # The others get it all the same. What needs a person is told rather than what passes.
            if failure is None or passes(failure):
                failure = error
            continue
        with fenced(rotation):
            # Somebody may have removed it meanwhile.
            same = rotation.destinations.filter(pk=destination.pk)
            same.update(delivered=secret, delivered_at=timezone.now())
            record(Act.SECRET_DELIVERED, destination, key_id=secret.key_id)
    if not tried and lacking.exists():
        failure = DeliveryError("A destination refers to one that this never delivers to.")
    if failure is not None:
        raise failure
    _put_to_use(rotation, secret)


def _note_offered(rotation: Rotation, secret: RotatedSecret, at: datetime | None) -> None:
    """Note that it may be somewhere from now on, or that it is nowhere after all."""
    with fenced(rotation):
        secret.offered_at = at
        secret.save(update_fields=["offered_at"])


def _may_have_arrived(error: Exception) -> bool:
    """Say whether a destination may have it, though delivering it has failed."""
    if isinstance(error, (RemoteError, TokenUnavailableError)):
        return may_have_happened(error)
    return True  # The site's own code.


def _put_to_use(rotation: Rotation, secret: RotatedSecret) -> None:
    now = timezone.now()
    with fenced(rotation):
        if rotation.destinations.exclude(delivered=secret).exists():
            return  # Somebody has added one meanwhile.
        _look_again(rotation)
        given_up = Q(state=State.RETIRING, retire_at=None)
        for old in rotation.secrets.filter(Q(state=State.CURRENT) | given_up):
            old.state, old.retire_at = State.RETIRING, _retire_at(old, now + rotation.overlap)
            old.save(update_fields=["state", "retire_at"])
        secret.state, secret.delivered_at = State.CURRENT, now
        secret.save(update_fields=["state", "delivered_at"])
        HeldSecret.objects.filter(of=secret).delete()
        # Whoever wanted one since this was begun has it; the next one is the interval's.
        rotation.due_at, rotation.wanted_by = due_after(rotation, secret, now), None
        rotation.save(update_fields=["due_at", "wanted_by"])
        _tell(Act.SECRET_ROTATED, rotation, secret)
    transaction.on_commit(
        lambda: secret_rotated.send_robust(Rotation, rotation=rotation, secret=secret),
        using=database(),
    )


def _retire_at(old: RotatedSecret, overlap_ends_at: datetime) -> datetime:
    """Return when its overlap is over: at the latest when it ends by itself."""
    if old.expires_at is None or old.has_ended:
        return overlap_ends_at
    return min(overlap_ends_at, old.expires_at)


def due_after(rotation: Rotation, secret: RotatedSecret, now: datetime) -> datetime:
    """Return when the one after this is due: earlier where this one was delivered late."""
    to_spare = (rotation.lifetime - rotation.interval - rotation.overlap) / 2
    latest = (secret.expires_at or now + rotation.lifetime) - rotation.overlap - to_spare
    due_at = min(now + rotation.interval, max(latest, now + timedelta(hours=1)))
    return max(due_at, now + _SHORTEST_INTERVAL)


def _remove(rotation: Rotation, secret: RotatedSecret) -> None:
    """Remove a superseded one; never while its successor is not seen in the directory."""
    present = {one.key_id for one in _look(rotation).secrets}
    current = rotation.secrets.get(state=State.CURRENT)
    if current.key_id not in present:
        _miss(rotation, current)
        return
    was_seen = secret.key_id in present
    if secret.key_id is not None and was_seen:
        _take_away(rotation, secret.key_id)
    _note_removed(rotation, secret, was_seen=was_seen)


def _miss(rotation: Rotation, current: RotatedSecret) -> None:
    """Have the one in use looked for, which stays to be done whatever happens meanwhile."""
    now = timezone.now()
    visible_at = _visible_at(current, now)
    if now < visible_at:
        raise Waiting(visible_at)
    with fenced(rotation):
        rotation.missed_at = now
        rotation.save(update_fields=["missed_at"])


def _visible_at(current: RotatedSecret, now: datetime) -> datetime:
    """Return until when it may just not be visible yet."""
    return (current.issued_at or now) + SWEEP_AFTER


def _sweep(rotation: Rotation) -> None:
    """Look once more for what has turned up since its answer was lost."""
    _remove_orphans(rotation)
    with fenced(rotation):
        rotation.sweep_at = None
        rotation.save(update_fields=["sweep_at"])


def _look_for_current(rotation: Rotation) -> None:
    """Raise the alarm where somebody has removed the one in use, which was missed."""
    present, now = {one.key_id for one in _look(rotation).secrets}, timezone.now()
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
    Remove what was issued and never delivered; raise Waiting while that may be to come.

    One that may have arrived somewhere stays, as those in use do.
    """
    now = timezone.now()
    pending = rotation.secrets.filter(state__in=RotatedSecret.PENDING).first()
    if pending is not None and pending.state == State.INTENDED:
        if pending.asked_at is not None:
            _settle(rotation, pending)
        _discard(rotation, pending)  # The row stays for a while: its marker finds what turns up.
    elif pending is not None and pending.offered_at is None and pending.key_id is not None:
        # So young it may not be seen yet, and a refusal to remove it would mislead.
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

    Ours are those that bear the marker of one of our rows under another key id, from
    before that row's was issued, and those that we took for removed: somebody else's, or
    a copy of the name, is never touched.
    """
    seen = _look(rotation).secrets
    # Read after looking, and by whoever still holds it: what another has issued meanwhile
    # must not be taken for an orphan.
    with fenced(rotation):
        known = {one.marker: one for one in rotation.secrets.all()}
    orphans = [one.key_id for one in seen if _is_orphan(one, known.get(one.name))]
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
    _graph(rotation, lambda graph: take_away(graph, rotation.application_id, key_id))
    record(Act.SECRET_REMOVED, rotation, key_id=key_id)


def _tell(act: Act, rotation: Rotation, secret: RotatedSecret) -> None:
    """Tell the history what was done, and who wanted it now."""
    record(act, rotation, user=secret.user, key_id=secret.key_id, name=secret.marker)
