"""Save a new refresh token later, where locks keep it from being saved now."""

from __future__ import annotations

import logging
import threading
from typing import Any
from uuid import UUID

from django.db import DatabaseError, connections

from .models import RefreshToken, database

logger = logging.getLogger(__name__)
_PATIENCE = {"sqlite": "PRAGMA busy_timeout = 60000", "postgresql": "SET lock_timeout = '60s'"}
_LONGEST_WAIT = 5.0
_keepers: dict[UUID, threading.Thread] = {}


def keep(connection_id: UUID, fence: int, values: dict[str, Any]) -> None:
    """
    Update the row as soon as it is unlocked, if its fence is this then.

    After a roll-back it is; after a commit the row has these values already.
    """
    for ended in [key for key, keeper in list(_keepers.items()) if not keeper.is_alive()]:
        _keepers.pop(ended, None)
    before = _keepers.get(connection_id)
    keeper = threading.Thread(target=_keep, args=(before, connection_id, fence, values))
    keeper.start()
    _keepers[connection_id] = keeper


def settle(connection_id: UUID) -> None:
    """Wait for what this process still has to save; call it outside of transactions."""
    keeper = _keepers.get(connection_id)
    if keeper is not None:
        keeper.join(_LONGEST_WAIT)


def _keep(
    before: threading.Thread | None, connection_id: UUID, fence: int, values: dict[str, Any]
) -> None:
    if before is not None:  # Each continues where the one before has ended.
        before.join()
    connection = connections[database()]
    try:
        with connection.cursor() as cursor:
            cursor.execute(_PATIENCE.get(connection.vendor, "SELECT 1"))
        RefreshToken.objects.filter(pk=connection_id, fence=fence).update(**values)
    except DatabaseError as error:
        name = type(error).__name__
        logger.error("The new refresh token of %s was not saved: %s.", connection_id, name)
    finally:
        connection.close()
