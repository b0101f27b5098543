"""Advance every rotation that is due: what the command and the Celery task do."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from datetime import timedelta
from uuid import UUID

from django.db.models import Min
from django.utils import timezone

from .conf import conf
from .models import Rotation
from .rotation import advance
from .workers import threads

logger = logging.getLogger(__name__)
#: A client secret that is to be proven is tried again so soon that a run waits for it.
_WORTH_WAITING = timedelta(seconds=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What one run has done, in steps of rotations, and how long it took."""

    advanced: int = 0
    waiting: int = 0
    """Nothing was to be done yet."""
    failed: int = 0
    skipped: int = 0
    """Someone else was at it."""
    seconds: float = 0

    def __str__(self) -> str:
        return (
            f"{self.advanced} advanced, {self.waiting} waiting, {self.failed} failed, "
            f"{self.skipped} skipped in {self.seconds:.1f} s"
        )

    def as_dict(self) -> dict[str, float]:
        return asdict(self)


def due() -> Iterable[UUID]:
    """Return the ids of the rotations for which something is to be done now, oldest first."""
    return list(Rotation.objects.due(timezone.now()).values_list("pk", flat=True))


def rotate_due(
    *,
    workers: int | None = None,
    tick: Callable[[Counter[str]], None] = lambda done: None,
    stop: threading.Event | None = None,
    patience: timedelta = timedelta(minutes=2),
) -> Summary:
    """
    Advance all rotations that are due, several at once, and say how it went.

    Any number of processes may do this at the same time. Waits, at most for
    `patience`, where Entra is just about to know a new client secret. `workers` is
    REFRESH_WORKERS unless given; `tick` is called with the counts after each;
    when `stop` is set, nothing more is begun.
    """
    began, done = time.monotonic(), Counter[str]()
    stop = stop or threading.Event()
    failed: set[UUID] = set()

    def advance_unless_over(rotation_id: UUID) -> str:
        return "" if stop.is_set() else advance_safely(rotation_id)

    with threads(workers or conf.refresh_workers) as pool:
        while not stop.is_set():
            ids = [one for one in due() if one not in failed]
            for one, outcome in zip(ids, pool.map(advance_unless_over, ids), strict=True):
                if not outcome:
                    continue
                done[outcome] += 1
                if outcome == "failed":
                    failed.add(one)
                tick(done)
            is_patient = time.monotonic() - began < patience.total_seconds()
            pause = timedelta(0) if ids else _until_next(failed)
            if pause is None or not is_patient:
                break
            stop.wait(pause.total_seconds())
    return Summary(**done, seconds=round(time.monotonic() - began, 3))


def advance_safely(rotation_id: UUID) -> str:
    """Advance one rotation; what this site itself fails at is logged and counts as failed."""
    try:
        return advance(rotation_id)
    except Exception as error:  # noqa: BLE001  One must not keep the others from going on.
        logger.error("The rotation %s stopped: %s.", rotation_id, type(error).__name__)
        return "failed"


def _until_next(failed: Iterable[UUID]) -> timedelta | None:
    """Return how long it is to the next one, if that is worth waiting for."""
    now = timezone.now()
    soon = Rotation.objects.free(now).filter(wake_at__lte=now + _WORTH_WAITING)
    wake_at = soon.exclude(pk__in=failed).aggregate(soonest=Min("wake_at"))["soonest"]
    return None if wake_at is None else max(wake_at - now, timedelta(0))
