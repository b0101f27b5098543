"""Work whose result must outlive a caller's rolled-back transaction."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeVar

from django.db import DatabaseError, connections, transaction

from .models import database

Result = TypeVar("Result")
#: The caller waits for us: what it has locked must not keep us for long (seconds).
PATIENCE = 1.0
_PATIENCE = {"sqlite": "PRAGMA busy_timeout = 200", "postgresql": "SET lock_timeout = '1s'"}


@dataclass(slots=True)
class Errand:
    """Work that a thread does for a caller who waits for it in a transaction."""

    has_asked: bool = False
    """Whether Microsoft was asked, which must not be repeated."""
    is_unseen: bool = False
    is_kept_out: bool = False
    left: list[Callable[[], object]] = field(default_factory=list)
    """What the caller's transaction is to save, as its locks keep us from it."""


class _Place(threading.local):
    """Where this thread's work is done."""

    errand: Errand | None = None
    may_be_lost = False


_place = _Place()


def apart(work: Callable[[], Result], *, is_usable: Callable[[], bool]) -> Result:
    """
    Run the work on a database connection of its own when a transaction is open.

    A refresh token that Microsoft has replaced must be saved even if the caller
    rolls back. Where a second connection can't begin (it doesn't see the caller's
    new rows, or the caller has locked what is to be written) the work is done in the
    caller's transaction. Where it can't end, the caller's transaction saves what it
    has left, and Microsoft is not asked again.
    """
    connection = connections[database()]
    # SQLite in memory, as in tests, has nothing to offer to a second connection.
    is_alone = connection.vendor == "sqlite" and connection.is_in_memory_db()  # type: ignore[attr-defined]
    if is_alone or not connection.in_atomic_block:
        return work()
    errand = Errand()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(_run, errand, work, is_usable)
    if errand.is_unseen:
        return work()
    if errand.is_kept_out:
        _place.may_be_lost = True
        try:
            return work()
        finally:
            _place.may_be_lost = False
    for save in errand.left:
        # What was promised to the caller is in hand: at worst it is fetched anew next time.
        with suppress(DatabaseError), transaction.atomic(using=database()):
            save()
    (result,) = running.result()
    return result


def _run(errand: Errand, work: Callable[[], Result], is_usable: Callable[[], bool]) -> list[Result]:
    _place.errand = errand
    connection = connections[database()]
    try:
        with connection.cursor() as cursor:
            cursor.execute(_PATIENCE.get(connection.vendor, "SELECT 1"))
        errand.is_unseen = not is_usable()
        return [] if errand.is_unseen else [work()]
    except DatabaseError:
        errand.is_kept_out = not errand.has_asked
        raise
    finally:
        connection.close()


def note_asked() -> None:
    """Note that Microsoft is being asked: from now on nothing is repeated."""
    if _place.errand is not None:
        _place.errand.has_asked = True


def errand() -> Errand | None:
    """Return this thread's errand, if it works for a caller who waits in a transaction."""
    return _place.errand


def may_be_lost() -> bool:
    """Say whether the work is done in a transaction that a caller may roll back."""
    return _place.may_be_lost


def patience() -> float:
    """Return how many seconds this work may wait for other threads; -1 is for ever."""
    if _place.may_be_lost:
        return 0
    return -1 if _place.errand is None else PATIENCE
