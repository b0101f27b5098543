"""Work whose result must outlive a caller's rolled-back transaction."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from django.db import DatabaseError, connections

from .models import database

Result = TypeVar("Result")
# The caller waits for us: what it has locked must not keep us for long.
_PATIENCE = {"sqlite": "PRAGMA busy_timeout = 200", "postgresql": "SET lock_timeout = '2s'"}


def apart(work: Callable[[], Result], *, is_usable: Callable[[], bool]) -> Result:
    """
    Run the work on a database connection of its own when a transaction is open.

    A refresh token that Microsoft has replaced must be saved even if the caller
    rolls back. Where a second connection can't do it (it doesn't see the caller's
    new rows, or the database, SQLite, lets one connection write at a time) the work
    is done in the caller's transaction; Entra keeps the replaced token valid, so
    that a roll-back then loses nothing that works.
    """
    connection = connections[database()]
    # SQLite in memory, as in tests, has nothing to offer to a second connection.
    is_alone = connection.vendor == "sqlite" and connection.is_in_memory_db()  # type: ignore[attr-defined]
    if is_alone or not connection.in_atomic_block:
        return work()
    with ThreadPoolExecutor(1) as pool:
        done, result = pool.submit(_run, work, is_usable).result()
    return result[0] if done else work()


def _run(work: Callable[[], Result], is_usable: Callable[[], bool]) -> tuple[bool, list[Result]]:
    connection = connections[database()]
    try:
        with connection.cursor() as cursor:
            cursor.execute(_PATIENCE.get(connection.vendor, "SELECT 1"))
        return (True, [work()]) if is_usable() else (False, [])
    except DatabaseError:
        return False, []
    finally:
        connection.close()
