"""Replace client secrets without a gap, unattended and resumable."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from uuid import UUID

from django.contrib.auth.models import User
from django.core.exceptions import ImproperlyConfigured, ObjectDoesNotExist
from django.db import DatabaseError, transaction
from django.db.models import Q
from django.utils import timezone

from .exceptions import (
    DecryptionError,
    DeliveryError,
    Reaction,
    RemoteError,
    TokenUnavailableError,
    UnavailableError,
)
from .models import AppConnection, Destination, RotatedSecret, Rotation, database
from .pauses import pause_after
from .rotation_steps import Overtaken, Waiting, abandon, due_after, lease, next_step
from .signals import rotation_failed, rotation_recovered

Failure = (
    TokenUnavailableError | RemoteError | DeliveryError | DecryptionError | ImproperlyConfigured
)
_FAILURES = (
    TokenUnavailableError, RemoteError, DeliveryError, DecryptionError, ImproperlyConfigured
)  # fmt: skip

_GONE = "Request_ResourceNotFound"
_SHORTEST_PAUSE, _LONGEST_PAUSE = timedelta(seconds=1), timedelta(hours=1)
#: A passing fault is told of when it has lasted so long.
_TOLD_AFTER = timedelta(minutes=15)


def rotate_now(rotation: Rotation, user: User) -> None:
    """Let the next one begin when the rotation is advanced, whatever the interval."""
    now = timezone.now()
    Rotation.objects.filter(pk=rotation.pk).update(
        due_at=now, wake_at=now, paused_at=None, wanted_by=user, told_at=None
    )


def pause(rotation: Rotation) -> None:
    """Begin nothing and remove nothing from now on; what is begun comes to its end."""
    Rotation.objects.filter(pk=rotation.pk).update(paused_at=timezone.now())


def resume(rotation: Rotation) -> None:
    """Go on as the interval says."""
    Rotation.objects.filter(pk=rotation.pk).update(
        paused_at=None, wake_at=timezone.now(), told_at=None
    )


def reschedule(
    rotation: Rotation, *, interval: timedelta, lifetime: timedelta, overlap: timedelta
) -> None:
    """Rotate at another interval; what is superseded already keeps its dates."""
    now = timezone.now()
    rows = Rotation.objects.filter(pk=rotation.pk)
    with transaction.atomic(using=database()):
        rows.update(interval=interval, lifetime=lifetime, overlap=overlap, wake_at=now)
        rotation.refresh_from_db()
        current = rotation.secrets.filter(state=RotatedSecret.State.CURRENT).first()
        # One that is wanted by now stays wanted.
        if current is not None and rotation.due_at > now:
            rows.update(due_at=due_after(rotation, current, current.delivered_at or now))


def remove_destination(destination: Destination) -> bool:
    """Deliver there no longer, nor to what refers to it; False where nothing would be left."""
    with transaction.atomic(using=database()):
        # This UPDATE lets one at a time decide what is left.
        rows = Rotation.objects.filter(pk=destination.rotation_id)
        rows.update(wake_at=timezone.now())
        others = Destination.objects.filter(rotation=destination.rotation_id)
        is_last = not others.exclude(Q(pk=destination.pk) | Q(refers_to=destination)).exists()
        if not is_last:
            destination.delete()
    return not is_last


def advance(rotation_id: UUID) -> str:
    """
    Do all that can be done for a rotation now; return advanced, waiting, failed or skipped.

    Any process may do this at any time: one at a time does, and what another has
    begun is resumed where its last durable step ended.
    """
    rotation = Rotation.objects.select_related("connection").filter(pk=rotation_id).first()
    if rotation is None or not rotation.claim(lease()):
        return "skipped"
    try:
        steps = 0
        is_over = False
        while not is_over:
            while step := next_step(rotation, timezone.now()):
                step()
                steps += 1
            is_over = _rest(rotation)
    except Waiting as waiting:
        rotation.holding().update(lease_until=None, wake_at=waiting.until)
        return "waiting"
    except Overtaken:
        return "skipped"
    except _FAILURES as error:
        return "failed" if _note_failure(rotation, error) else "skipped"
    except ObjectDoesNotExist:  # Deleted meanwhile.
        return "skipped"
    except DatabaseError:
        rotation.release()
        raise
    return "advanced" if steps else "waiting"


def end(rotation_id: UUID) -> bool:
    """
    Delete a rotation and what it has not delivered.

    Return False while others work on it, or something of it may still turn up in Azure:
    then it is paused, and can be ended a quarter of an hour later. The client secrets
    that are in use stay valid until they expire. Raises TokenUnavailableError and
    RemoteError, and is then as it was.
    """
    rotation = Rotation.objects.select_related("connection").filter(pk=rotation_id).first()
    if rotation is None or not rotation.claim(lease()):
        return False
    try:
        abandon(rotation)
    except Waiting as waiting:
        rotation.holding().update(lease_until=None, paused_at=timezone.now(), wake_at=waiting.until)
        return False
    except Overtaken:
        return False
    except _FAILURES as error:
        is_gone = isinstance(error, RemoteError) and error.fault.error == _GONE
        if not is_gone:
            rotation.release()
            raise
    return bool(rotation.holding().delete()[0])


def end_all(connection: AppConnection) -> None:
    """Remove what the rotations of a connection have not delivered, as far as that goes."""
    for rotation_id in connection.rotations.values_list("pk", flat=True):
        with suppress(*_FAILURES):
            end(rotation_id)


def _rest(rotation: Rotation) -> bool:
    """Nothing is left to do: note when there will be; False if somebody wants more by now."""
    times = [rotation.sweep_at] if rotation.sweep_at else []
    if not rotation.is_paused:
        retiring = rotation.secrets.filter(state=RotatedSecret.State.RETIRING)
        times += [at for at in retiring.values_list("retire_at", flat=True) if at]
        times += [rotation.due_at]
    was_told = rotation.told_at is not None
    wanted = ("due_at", "paused_at", "sweep_at")
    same = rotation.holding().filter(**{name: getattr(rotation, name) for name in wanted})
    changed = same.update(
        lease_until=None,
        wake_at=min(times, default=None),
        failures=0,
        failing_since=None,
        told_at=None,
        problem="",
        aadsts=None,
        correlation_id="",
        trace_id="",
    )
    if changed and was_told:
        rotation_recovered.send_robust(Rotation, rotation=rotation)
    return bool(changed)


# Failures


def _note_failure(rotation: Rotation, error: Failure) -> bool:
    """Remember it and when to try again, and tell once; return False if overtaken."""
    now = timezone.now()
    fault = error.fault if isinstance(error, RemoteError) else None
    since = rotation.failing_since or now
    code, before = _code_of(error), rotation.problem
    is_loud = not _passes(error) or now - since >= _TOLD_AFTER
    tells = is_loud and (rotation.told_at is None or (code == _GONE and before != _GONE))
    is_over = code == before == _GONE  # Graph says so at times of what it has only just made.
    rotation.explain(code, fault)
    wait = max(pause_after(rotation.failures, fault, longest=_LONGEST_PAUSE), _SHORTEST_PAUSE)
    changed = rotation.holding().update(
        lease_until=None,
        wake_at=None if is_over else now + wait,
        failures=rotation.failures + 1,
        failing_since=since,
        told_at=now if tells else rotation.told_at,
        **({"paused_at": now} if is_over else {}),
        **{name: getattr(rotation, name) for name in Rotation.EXPLANATION},
    )
    if changed and tells:
        rotation_failed.send_robust(Rotation, rotation=rotation)
    return bool(changed)


def _passes(error: Failure) -> bool:
    """Say whether it is likely to pass by itself."""
    if isinstance(error, TokenUnavailableError):
        return error.reaction is Reaction.RETRY
    if isinstance(error, RemoteError):
        return isinstance(error, UnavailableError) or error.fault.http_status == 409
    return False


def _code_of(error: Failure) -> str:
    match error:
        case TokenUnavailableError():
            return error.problem
        case UnavailableError():
            return "throttled" if error.fault.http_status == 429 else "microsoft_unavailable"
        case RemoteError():
            return error.fault.error or "graph_refused"
        case DeliveryError():
            return "delivery_failed"
        case ImproperlyConfigured():
            return "operator_setup"
    return "decryption_failed"
