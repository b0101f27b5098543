"""Keep every connection fresh, unattended: what the command and the Celery task do."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import asdict, dataclass
from queue import SimpleQueue
from uuid import UUID

from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError
from django.db.models import Q
from django.utils import timezone

from . import tokens
from .conf import conf
from .exceptions import TokenUnavailableError, UnforeseenError
from .models import IssuedValue, RefreshToken
from .models.tokens import RefreshTokenQuerySet
from .workers import threads

logger = logging.getLogger(__name__)
_BATCH = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What one run has done, in connections and seconds."""

    refreshed: int = 0
    failed: int = 0
    skipped: int = 0
    """Someone else was at it."""
    seconds: float = 0

    def as_dict(self) -> dict[str, float]:
        return asdict(self)

    def __str__(self) -> str:
        return (
            f"{self.refreshed} refreshed, {self.failed} failed, "
            f"{self.skipped} skipped in {self.seconds:.1f} s"
        )


def due() -> Iterator[UUID]:
    """Yield the ids of the connections to refresh now, the longest overdue first."""
    IssuedValue.objects.purge()
    for row in _pages(RefreshToken.objects.due(timezone.now())):
        yield row.pk


def refresh_one(connection_id: UUID) -> str:
    """Refresh a connection if it is due; return refreshed, failed or skipped."""
    row = RefreshToken.objects.due(timezone.now()).to_refresh().filter(pk=connection_id).first()
    return "skipped" if row is None else _refresh(row)


def refresh_due(
    *,
    workers: int | None = None,
    tick: Callable[[Counter[str]], None] = lambda done: None,
    stop: threading.Event | None = None,
) -> Summary:
    """
    Refresh all connections that are due, several at once, and say how it went.

    Any number of processes may do this at the same time: each connection is claimed
    by one. `workers` is REFRESH_WORKERS unless given; `tick` is called with the counts
    after each connection; when `stop` is set, nothing more is begun.
    """
    IssuedValue.objects.purge()
    began, done = time.monotonic(), Counter[str]()
    workers = workers or conf.refresh_workers
    running, ended = 0, SimpleQueue[Future[str]]()
    with threads(workers) as pool:
        for row in _pages(RefreshToken.objects.due(timezone.now()).to_refresh()):
            if stop is not None and stop.is_set():
                break
            pool.submit(_refresh, row).add_done_callback(ended.put)
            running += 1
            if running >= 2 * workers:  # Enough are waiting; memory stays flat.
                _collect(ended, done, tick)
                running -= 1
        for _ in range(running):
            _collect(ended, done, tick)
    seconds = round(time.monotonic() - began, 3)
    return Summary(**done, seconds=seconds)


def _pages(rows: RefreshTokenQuerySet) -> Iterator[RefreshToken]:
    """Yield the rows, read in batches; none twice, though they stay due for a while."""
    later = Q()
    while batch := list(rows.filter(later).order_by("due_at", "connection_id")[:_BATCH]):
        yield from batch
        last = batch[-1]
        later = Q(due_at__gt=last.due_at) | Q(due_at=last.due_at, connection_id__gt=last.pk)


def _refresh(row: RefreshToken) -> str:
    try:
        return "refreshed" if tokens.refresh(row) else "skipped"
    except (TokenUnavailableError, UnforeseenError, ImproperlyConfigured) as error:
        logger.warning("%s", error)
    except DatabaseError as error:
        logger.error("The connection %s was not refreshed: %s.", row.pk, type(error).__name__)
    return "failed"


def _collect(
    ended: SimpleQueue[Future[str]], done: Counter[str], tick: Callable[[Counter[str]], None]
) -> None:
    """Wait for one and count it."""
    done[ended.get().result()] += 1
    tick(done)
