"""The same upkeep as Celery tasks; needs the extra ``celery``."""

from __future__ import annotations

from uuid import UUID

from celery import shared_task

from . import history, rotation_upkeep, upkeep, watch


@shared_task(ignore_result=True)
def refresh_due() -> None:
    """Send each connection that is due to a worker; put this into the beat schedule."""
    for connection_id in upkeep.due():
        refresh_connection.delay(str(connection_id))


@shared_task(ignore_result=True, acks_late=True, reject_on_worker_lost=True)
def refresh_connection(connection_id: str) -> str:
    """
    Refresh one connection if it is still due, and return how it went.

    May run twice, as any Celery task may: the second time it finds nothing due.
    """
    return upkeep.refresh_one(UUID(connection_id))


@shared_task(ignore_result=True)
def rotate_due() -> None:
    """Send each rotation that is due to a worker; put this into the beat schedule."""
    for rotation_id in rotation_upkeep.due():
        advance_rotation.delay(str(rotation_id))


@shared_task(ignore_result=True, acks_late=True, reject_on_worker_lost=True)
def advance_rotation(rotation_id: str) -> str:
    """
    Advance one rotation, and return how that went.

    May run twice, as any Celery task may: the second time goes on where the first ended.
    """
    return rotation_upkeep.advance_safely(UUID(rotation_id))


@shared_task(ignore_result=True)
def watch_due() -> None:
    """Send each connection whose directory is to be read to a worker; for the beat schedule."""
    for connection_id in watch.due():
        watch_connection.delay(str(connection_id))


@shared_task(ignore_result=True)
def watch_connection(connection_id: str) -> dict[str, float]:
    """Watch one connection if it is still due, and return how it went."""
    return watch.watch_one(UUID(connection_id)).as_dict()


@shared_task(ignore_result=True)
def purge_history() -> int:
    """Delete what is older than HISTORY_DAYS, and return how many entries; once a day."""
    return history.purge()
