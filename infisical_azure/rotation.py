"""Replace client secrets without a gap, unattended and resumable."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.contrib.auth.models import User
from django.core.exceptions import ImproperlyConfigured, ObjectDoesNotExist
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from . import data_planes
from .exceptions import (
    DecryptionError,
    DeliveryError,
    InfisicalAzureError,
    RemoteError,
    TokenUnavailableError,
    UnavailableError,
    UnforeseenError,
)
from .history import Act, Outcome, record, record_unless_repeated
from .models import AppConnection, Destination, RotatedSecret, Rotation, database
from .pauses import passes, pause_after
from .rotation_steps import (
    CURRENT_MISSING,
    Overtaken,
    Waiting,
    abandon,
    due_after,
    fenced,
    lease,
    next_step,
)
from .signals import rotation_failed, rotation_recovered

Failure = InfisicalAzureError | ImproperlyConfigured
_FAILURES = (InfisicalAzureError, ImproperlyConfigured)

#: What is noted of a rotation that fails no longer.
_WELL = {
    "failures": 0,
    "failing_since": None,
    "told_at": None,
    "problem": "",
    "aadsts": None,
    "correlation_id": "",
    "trace_id": "",
}
logger = logging.getLogger(__name__)
_GONE = "Request_ResourceNotFound"
_SHORTEST_PAUSE, _LONGEST_PAUSE = timedelta(seconds=1), timedelta(hours=1)
#: A passing fault is told of when it has lasted so long.
_TOLD_AFTER = timedelta(minutes=15)


def rotate_now(rotation: Rotation, user: User) -> None:
    """Have a new client secret made at the next advance, whatever the interval."""
    now = timezone.now()
    with _acting(Act.ROTATION_REQUESTED, rotation, user) as row:
        row.update(due_at=now, wake_at=now, wished_at=now, paused_at=None, wanted_by=user)


def pause(rotation: Rotation, user: User | None = None) -> None:
    """Begin nothing and remove nothing from now on; what is begun comes to its end."""
    now = timezone.now()
    with _acting(Act.ROTATION_PAUSED, rotation, user) as row:
        row.update(paused_at=now, wake_at=now)


def resume(rotation: Rotation, user: User | None = None) -> None:
    """Go on as the interval says."""
    now = timezone.now()
    with _acting(Act.ROTATION_RESUMED, rotation, user) as row:
        row.update(paused_at=None, wake_at=now, wished_at=now)


@contextmanager
def _acting(act: Act, rotation: Rotation, user: User | None) -> Iterator[QuerySet[Any]]:
    """Give the row to update, and tell the history in the same transaction."""
    row = Rotation.objects.filter(pk=rotation.pk)
    with transaction.atomic(using=database()):
        yield row
        found = row.select_related("connection").first()
        if found is not None:
            record(act, found, user=user)


@contextmanager
def changing(rotation: Rotation) -> Iterator[None]:
    """
    Run the block in one transaction, and have the rotation heed it at once.

    Changes wait for each other and for the rotation's steps. Raises Rotation.DoesNotExist
    where the rotation is gone.
    """
    with transaction.atomic(using=database()):
        # This UPDATE locks the row until the commit.
        if not Rotation.objects.filter(pk=rotation.pk).update(wake_at=timezone.now()):
            raise Rotation.DoesNotExist
        yield


def reschedule(
    rotation: Rotation,
    *,
    interval: timedelta,
    lifetime: timedelta,
    overlap: timedelta,
    user: User | None = None,
) -> None:
    """Rotate at another interval; what is superseded already keeps its dates."""
    now = timezone.now()
    rows = Rotation.objects.filter(pk=rotation.pk)
    with changing(rotation):
        rows.update(interval=interval, lifetime=lifetime, overlap=overlap)
        rotation.refresh_from_db()
        record(Act.ROTATION_EDITED, rotation, user=user)
        current = rotation.secrets.filter(state=RotatedSecret.State.CURRENT).first()
        # A rotation that is due by now stays due.
        if current is not None and rotation.due_at > now:
            rows.update(due_at=due_after(rotation, current, current.delivered_at or now))


def remove_destination(destination: Destination, user: User | None = None) -> bool:
    """Remove it and what refers to it; return False where no other destination is left."""
    with changing(destination.rotation):
        is_last = destination.is_last
        if not is_last:
            ending = Destination.objects.filter(Q(pk=destination.pk) | Q(refers_to=destination.pk))
            for removed in ending.select_related("rotation__connection"):
                record(Act.DESTINATION_REMOVED, removed, user=user)
            ending.delete()
    return not is_last


def advance(rotation_id: UUID) -> str:
    """
    Do all that can be done for a rotation now; return advanced, waiting, failed or skipped.

    Any process may do this at any time. One works on a rotation at a time, and it goes
    on after the last durable step of the process before it.
    """
    found = _find(rotation_id)
    rotation = _claim(found) if found else None
    if rotation is None:
        return "skipped"
    try:
        steps = 0
        is_over = False
        while not is_over:
            while step := next_step(rotation, timezone.now()):
                step()
                steps += 1
            is_over = _rest(rotation, is_well=bool(steps) or not rotation.is_paused)
    except Waiting as waiting:
        _give_back(rotation, wake_at=waiting.until)
        return "waiting"
    except Overtaken:
        return "skipped"
    except _FAILURES as error:
        return "failed" if _note_failure(rotation, error) else "skipped"
    except Exception as error:
        rotation.release()
        is_there = Rotation.objects.filter(pk=rotation.pk).exists()
        if is_there or not isinstance(error, ObjectDoesNotExist):
            raise
        return "skipped"  # Ended meanwhile.
    return "advanced" if steps else "waiting"


def _find(rotation_id: UUID) -> Rotation | None:
    """Return just enough of a rotation to claim it."""
    return Rotation.objects.only("fence").filter(pk=rotation_id).first()


def _claim(found: Rotation) -> Rotation | None:
    claimed: Rotation | None = Rotation.objects.select_related("connection").claim(found, lease())
    return claimed


def end(rotation_id: UUID, *, user: User | None = None, leaves_rest: bool = False) -> bool:
    """
    Delete a rotation and what it has not delivered.

    Return False while others work on it, or something of it may still turn up in Azure:
    then it is paused, and can be ended a quarter of an hour later. The client secrets
    that are in use stay valid until they expire. Raises TokenUnavailableError, RemoteError
    or another error that kept it from asking Microsoft; then the rotation is as it was.
    With `leaves_rest` it raises only an error that may pass, and else logs what is left behind.
    """
    found = _find(rotation_id)
    if found is None:
        return True
    rotation = _claim(found)
    if rotation is None:
        pause(found, user)
        return False
    try:
        _abandon(rotation, leaves_rest=leaves_rest)
        with fenced(rotation):
            record(Act.ROTATION_ENDED, rotation, user=user)
            rotation.holding().delete()
    except Waiting as waiting:
        pause(rotation, user)
        paused = rotation.holding().exclude(paused_at=None)
        if not paused.update(lease_until=None, wake_at=waiting.until):
            rotation.release()  # Somebody has resumed it meanwhile: it goes on at once.
        return False
    except Overtaken:
        return False
    except _FAILURES as error:
        rotation.release()
        record_unless_repeated(
            Act.ROTATION_ENDED, rotation, user=user, outcome=Outcome.FAILED, error=error
        )
        raise
    except Exception:
        rotation.release()
        raise
    return True


def _abandon(rotation: Rotation, *, leaves_rest: bool) -> None:
    try:
        abandon(rotation)
    except _FAILURES as error:
        is_gone = isinstance(error, RemoteError) and error.fault.error == _GONE
        if is_gone:
            return
        if passes(error) or not leaves_rest:
            raise
        logger.warning("What the rotation of %s has begun is left behind: %s", rotation, error)


def end_all(connection: AppConnection, user: User | None = None) -> bool:
    """
    End the rotations of a connection that is to be deleted.

    Return False where a rotation can't be ended yet, as `end` does. What Microsoft refuses,
    or a connection without access can't ask for, is logged and left behind.
    """
    is_ended = True
    for rotation_id in connection.rotations.values_list("pk", flat=True):
        try:
            is_ended = end(rotation_id, user=user, leaves_rest=True) and is_ended
        except _FAILURES:  # That may pass.
            is_ended = False
    return is_ended


def _rest(rotation: Rotation, *, is_well: bool) -> bool:
    """Note when there is something to do next; return False if somebody wants more by now."""
    times = [at for at in (rotation.sweep_at, rotation.missed_at) if at]
    if not rotation.is_paused:
        retiring = rotation.secrets.filter(state=RotatedSecret.State.RETIRING)
        times += [at for at in retiring.values_list("retire_at", flat=True) if at]
        times += [rotation.due_at]
    was_told = rotation.told_at is not None
    facts = {"lease_until": None, "wake_at": min(times, default=None)}
    with transaction.atomic(using=database()):
        is_over = _unless_wished(rotation).update(**facts, **(_WELL if is_well else {}))
        if is_over and is_well and rotation.problem:
            record(Act.ROTATION_RECOVERED, rotation)
    if is_over and is_well and was_told:
        rotation_recovered.send_robust(Rotation, rotation=rotation)
    return bool(is_over)


def _unless_wished(rotation: Rotation) -> QuerySet[Any]:
    """Return the row that we hold, if nobody has asked anything of it since we looked."""
    return rotation.holding().filter(wake_at=rotation.wake_at)


def _give_back(rotation: Rotation, **facts: Any) -> bool:
    """End the lease and save these facts, unless somebody has asked for more meanwhile."""
    is_saved = _unless_wished(rotation).update(lease_until=None, **facts)
    if not is_saved:
        rotation.release()
    return bool(is_saved)


# Failures


def _note_failure(rotation: Rotation, error: Failure) -> bool:
    """Save the failure and when to try again, and tell once; return False to try at once."""
    now = timezone.now()
    fault = error.fault if isinstance(error, RemoteError) else None
    since = rotation.failing_since or now
    code, before = _code_of(error), rotation.problem
    is_loud = not passes(error) or now - since >= _TOLD_AFTER
    told_at, wished_at = rotation.told_at, rotation.wished_at
    is_told = told_at is not None and (wished_at is None or wished_at <= told_at)
    tells = is_loud and (not is_told or (code == _GONE and before != _GONE))
    is_over = code == before == _GONE  # Graph says so of a new application, too.
    rotation.explain(code, fault)
    rotation.failing_since = since
    if isinstance(error, UnforeseenError):
        logger.error("The rotation %s stopped: %s.", rotation.pk, error)
    if code == CURRENT_MISSING:
        with suppress(Overtaken), fenced(rotation):
            in_use = rotation.secrets.filter(state=RotatedSecret.State.CURRENT)
            in_use.filter(expires_at__gt=now).update(expires_at=now)
    if tells and _unless_wished(rotation).exists():
        # Before it is noted: rather twice than not at all, should this process die.
        rotation_failed.send_robust(Rotation, rotation=rotation)
    wait = max(pause_after(rotation.failures, fault, longest=_LONGEST_PAUSE), _SHORTEST_PAUSE)
    facts: dict[str, Any] = {name: getattr(rotation, name) for name in Rotation.EXPLANATION}
    if code == CURRENT_MISSING:  # The next client secret is begun, but only after this is told.
        facts |= {"due_at": now, "missed_at": None}
    if is_over:
        facts["paused_at"] = now
    with transaction.atomic(using=database()):
        is_noted = _give_back(
            rotation,
            wake_at=None if is_over else now + wait,
            failures=rotation.failures + 1,
            failing_since=since,
            told_at=now if tells else told_at,
            **facts,
        )
        if is_noted:
            record_unless_repeated(
                Act.ROTATION_FAILED,
                rotation,
                outcome=Outcome.FAILED,
                problem=code,
                correlation_id=rotation.correlation_id,
            )
            if is_over:
                record(Act.ROTATION_PAUSED, rotation)
    return is_noted


def _code_of(error: Failure) -> str:
    match error:
        case TokenUnavailableError():
            return error.problem
        case UnavailableError():
            if error.fault.is_throttle:
                return "throttled"
            is_ours = error.fault.service in data_planes.SERVICES
            return "destination_unavailable" if is_ours else "microsoft_unavailable"
        case RemoteError():
            return error.fault.error or "graph_refused"
        case DeliveryError():
            return "delivery_failed"
        case DecryptionError():
            return "decryption_failed"
        case ImproperlyConfigured():
            return "operator_setup"
    return "unforeseen"
