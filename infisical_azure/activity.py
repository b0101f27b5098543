"""A page of the history of a connection, an application or a rotation."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import HttpRequest

from .models import HistoryEntry
from .paging import page_of

_SIZE = 20


def activity(request: HttpRequest, **ids: UUID) -> dict[str, Any]:
    """Return what ``infisical_azure/activity.html`` shows of the entries with these ids."""
    page = page_of(HistoryEntry.objects.filter(**ids).shown(), request, _SIZE)
    return {"entries": page.rows, "previous_page": page.previous, "next_page": page.next}
