"""Threads that keep their connections, to Microsoft and to the database, until the end."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

from django.db import connections

from . import transport


@contextmanager
def threads(number: int) -> Iterator[ThreadPoolExecutor]:
    """Give so many threads, whose connections are closed after the block."""
    with ThreadPoolExecutor(
        number, thread_name_prefix="infisical_azure", initializer=transport.keep_alive
    ) as pool:
        try:
            yield pool
        finally:
            list(pool.map(_end, [threading.Barrier(number, timeout=5)] * number))


def _end(all_at_it: threading.Barrier) -> None:
    """Close this thread's connections, which nobody else would."""
    try:
        transport.let_go()
        connections.close_all()
    finally:
        with suppress(threading.BrokenBarrierError):
            all_at_it.wait()  # Or a quick thread would take the turn of another.
