"""Watch the client secrets of all directories: read, remember, warn."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, transaction
from django.db.models import QuerySet
from django.utils import timezone

from . import expiry_warnings, transport
from .conf import conf
from .exceptions import (
    Fault,
    RemoteError,
    TokenUnavailableError,
    UnavailableError,
    UnforeseenError,
)
from .graph import SERVICE, ApplicationPage
from .history import Act, record
from .models import (
    AppConnection,
    HistoryEntry,
    RotatedSecret,
    Rotation,
    WatchedSecret,
    database,
)
from .on_behalf import on_behalf_of
from .pauses import passes

logger = logging.getLogger(__name__)
_BATCH = 200
_PAGE_SIZE = 100
# Of twice as many applications as a directory can hold.
_MOST_PAGES = 10_000
_NEXT_TRY = timedelta(minutes=15)
# Another process takes over then, where one has died; two that read at once do no harm.
_LEASE = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What one run has done, in connections, client secrets and seconds."""

    watched: int = 0
    failed: int = 0
    skipped: int = 0
    """Another process was reading it."""
    secrets: int = 0
    """Seen in directories that were read whole."""
    seconds: float = 0

    def as_dict(self) -> dict[str, float]:
        return asdict(self)

    def __str__(self) -> str:
        return (
            f"{self.watched} watched with {self.secrets} client secrets, {self.failed} failed, "
            f"{self.skipped} skipped in {self.seconds:.1f} s"
        )


def due() -> Iterator[UUID]:
    """Yield the ids of the connections whose directory is to be read now."""
    rows = AppConnection.objects.to_watch(timezone.now()).order_by("pk").values_list("pk")
    batch = list(rows[:_BATCH])
    while batch:
        for (pk,) in batch:
            yield pk
        batch = list(rows.filter(pk__gt=batch[-1][0])[:_BATCH])


def watch_due(*, stop: threading.Event | None = None) -> Summary:
    """
    Watch all connections that are due, one after the other, and say how it went.

    Any number of processes may do this at the same time: each connection is claimed
    by one. When `stop` is set, nothing more is begun.
    """
    began, done = time.monotonic(), Counter[str]()
    transport.keep_alive()
    try:
        for connection_id in due():
            if stop is not None and stop.is_set():
                break
            found = watch_one(connection_id)
            done.update(watched=found.watched, failed=found.failed, skipped=found.skipped)
            done.update(secrets=found.secrets)
    finally:
        transport.let_go()
    return Summary(**done, seconds=round(time.monotonic() - began, 3))


def watch_one(connection_id: UUID) -> Summary:
    """Watch a connection if it is due and nobody else does."""
    connection = _claim(connection_id)
    return Summary(skipped=1) if connection is None else watch(connection)


def watch(connection: AppConnection) -> Summary:
    """Read a connection's directory, remember its client secrets, and tell which end soon."""
    try:
        summary = _try_to_read(connection)
        # Known client secrets come closer to their ends, also where the directory can't be read.
        expiry_warnings.tell(connection)
    except (UnforeseenError, ImproperlyConfigured, DatabaseError) as error:
        kind = type(error).__name__
        logger.error("The directory of connection %s was not watched: %s.", connection.pk, kind)
        return Summary(failed=1)
    return summary


def _try_to_read(connection: AppConnection) -> Summary:
    try:
        seen = _read(connection)
    except (TokenUnavailableError, RemoteError) as error:
        logger.warning("The directory of connection %s was not read: %s", connection.pk, error)
        pause = min(_NEXT_TRY, conf.watch_interval) if passes(error) else conf.watch_interval
        _wait(connection, pause)
        return Summary(failed=1)
    _wait(connection, conf.watch_interval)
    return Summary(watched=1, secrets=seen)


def _claim(connection_id: UUID) -> AppConnection | None:
    """Take the right to watch for a while: one UPDATE decides."""
    now = timezone.now()
    row = AppConnection.objects.filter(pk=connection_id)
    return row.first() if row.to_watch(now).update(watch_due_at=now + _LEASE) else None


def _wait(connection: AppConnection, time: timedelta) -> None:
    """Put the next reading off, unless somebody has asked for a reading since the claim."""
    claimed = AppConnection.objects.filter(pk=connection.pk, watch_due_at=connection.watch_due_at)
    claimed.update(watch_due_at=timezone.now() + time)


def _read(connection: AppConnection) -> int:
    """Remember what the directory holds, then forget what it holds no more."""
    began, seen = timezone.now(), 0
    for page in _pages(connection):
        seen += _remember(connection, page)
    # Another process that reads at the same time stamps all that is there later than this.
    _forget(connection, connection.watched_secrets.filter(seen_at__lt=began))
    _tell_rotations(connection, began)
    connection.watched_at = began
    AppConnection.objects.filter(pk=connection.pk).update(watched_at=began)
    return seen


def _forget(connection: AppConnection, gone: QuerySet[WatchedSecret]) -> None:
    """Delete client secrets that are gone, and tell the history of those issued here."""
    # What was seen before a reconnect may be in another directory.
    since = gone.filter(seen_at__gte=connection.connected_at)
    # Read first: SQLite lets no transaction write that has read what others changed since.
    ended = list(HistoryEntry.objects.issued_and_not_gone(connection.pk, since))
    with transaction.atomic(using=database()):
        for issued in ended:
            record(
                Act.SECRET_GONE,
                connection,
                application_id=issued.application_id,
                application_name=issued.application_name,
                rotation_id=issued.rotation_id,
                key_id=issued.key_id,
                name=issued.name,
            )
        gone.delete()


def _tell_rotations(connection: AppConnection, began: datetime) -> None:
    """Wake the rotations whose client secret in use was not seen; each looks for itself."""
    in_use = RotatedSecret.objects.filter(
        rotation__connection=connection, state=RotatedSecret.State.CURRENT, issued_at__lt=began
    )
    unseen = in_use.exclude(key_id__in=connection.watched_secrets.values("key_id"))
    now = timezone.now()
    rotations = Rotation.objects.filter(pk__in=list(unseen.values_list("rotation", flat=True)))
    rotations.update(missed_at=now, wake_at=now)


def _pages(connection: AppConnection) -> Iterator[ApplicationPage]:
    """Yield all pages of the directory's applications; raise RemoteError where one is missing."""
    link = ""
    for _ in range(_MOST_PAGES):
        page = _page(connection, link)
        yield page
        if not page.is_complete:
            break
        if not page.next_link:
            return
        link = page.next_link
    raise UnavailableError(Fault(service=SERVICE, http_status=200, error="incomplete_list"))


def _page(connection: AppConnection, link: str) -> ApplicationPage:
    return on_behalf_of(
        connection, lambda graph: graph.applications(next_link=link, size=_PAGE_SIZE)
    )


def _remember(connection: AppConnection, page: ApplicationPage) -> int:
    """Save the client secrets of one page in one statement; return how many."""
    now = timezone.now()
    # By id: one statement can't save the same row twice.
    rows = {
        secret.key_id: WatchedSecret(
            connection=connection,
            application_id=application.id,
            app_id=application.app_id,
            application_name=application.name,
            key_id=secret.key_id,
            name=secret.name,
            hint=secret.hint,
            starts_at=secret.starts_at,
            expires_at=secret.expires_at,
            seen_at=now,
        )
        for application in page.applications
        for secret in application.secrets
    }
    WatchedSecret.objects.bulk_create(
        rows.values(),
        update_conflicts=True,
        unique_fields=["connection", "key_id"],
        update_fields=WatchedSecret.SEEN,
    )
    return len(rows)
