"""What follows from the news, and turns database events into it."""

from __future__ import annotations

import copy
from typing import Any

from django.db import transaction

from .history import Act, record
from .models import AppConnection, RefreshToken
from .signals import connection_removed


def overtake_refreshes(instance: AppConnection, using: str, **kwargs: Any) -> None:
    """Let what is being refreshed end first, or save nothing: its rows are deleted next."""
    RefreshToken.objects.using(using).overtake(instance)


def announce_removal(instance: AppConnection, using: str, **kwargs: Any) -> None:
    """Send connection_removed once the deletion is committed, whoever made it."""
    gone = copy.copy(instance)  # Django takes the id away from the instance itself.
    transaction.on_commit(
        lambda: connection_removed.send_robust(AppConnection, connection=gone), using=using
    )


def note_removal(instance: AppConnection, **kwargs: Any) -> None:
    """Tell the history of the deletion, whoever made it."""
    record(Act.CONNECTION_REMOVED, instance, user=instance.removed_by)


def have_watched(connection: AppConnection, **kwargs: Any) -> None:
    """Have the directory read again, which may be another one since."""
    AppConnection.objects.filter(pk=connection.pk).update(watch_due_at=None)
