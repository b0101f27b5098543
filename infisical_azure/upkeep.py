"""Keep every connection fresh, unattended: what the command and the Celery task do."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from queue import SimpleQueue
from uuid import UUID

from django.db import DatabaseError, connections
from django.db.models import Q
from django.utils import timezone

from . import tokens
from .conf import conf
from .exceptions import TokenUnavailableError
from .models import RefreshToken

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


def due() -> Iterator[UUID]:
    """Yield the ids of the connections to refresh now, in batches, the longest overdue first."""
    now, later = timezone.now(), Q()
    while True:
        rows = RefreshToken.objects.due(now).filter(later).order_by("due_at", "connection_id")
        batch = list(rows.values_list("due_at", "connection_id")[:_BATCH])
        if not batch:
            return
        at, last = batch[-1]
        # Not again those that were yielded and still wait for their turn.
        later = Q(due_at__gt=at) | Q(due_at=at, connection_id__gt=last)
        for _, connection_id in batch:
            yield connection_id


def refresh_one(connection_id: UUID) -> str:
    """Refresh a connection if it is due; return refreshed, failed or skipped."""
    try:
        return "refreshed" if tokens.refresh(connection_id) else "skipped"
    except TokenUnavailableError as error:
        logger.warning("%s", error)
        return "failed"
    except DatabaseError as error:
        logger.error(
            "The connection %s was not refreshed: %s.", connection_id, type(error).__name__
        )
        return "failed"


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
    began, done = time.monotonic(), Counter[str]()
    workers = workers or conf.refresh_workers
    running, ended = 0, SimpleQueue[Future[str]]()
    with ThreadPoolExecutor(workers, thread_name_prefix="infisical_azure_refresh") as pool:
        for connection_id in due():
            if stop is not None and stop.is_set():
                break
            pool.submit(_in_thread, connection_id).add_done_callback(ended.put)
            running += 1
            if running >= 2 * workers:  # Enough are waiting; memory stays flat.
                _collect(ended, done, tick)
                running -= 1
        for _ in range(running):
            _collect(ended, done, tick)
        list(pool.map(_close_connections, [threading.Barrier(workers)] * workers))
    seconds = round(time.monotonic() - began, 3)
    return Summary(**done, seconds=seconds)


def _in_thread(connection_id: UUID) -> str:
    return refresh_one(connection_id)


def _close_connections(all_at_it: threading.Barrier) -> None:
    """Close this thread's database connections, which nobody else would."""
    connections.close_all()
    all_at_it.wait()  # Or a quick thread would take the turn of another.


def _collect(
    ended: SimpleQueue[Future[str]], done: Counter[str], tick: Callable[[Counter[str]], None]
) -> None:
    """Wait for one and count it."""
    done[ended.get().result()] += 1
    tick(done)
