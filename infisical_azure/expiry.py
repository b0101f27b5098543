"""When a client secret expires, in words that can be read at a glance."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

SOON = timedelta(days=30)


class Level(enum.StrEnum):
    """How urgent it is."""

    EXPIRED = "expired"
    SOON = "soon"
    FINE = "fine"


@dataclass(frozen=True, slots=True, kw_only=True)
class Expiry:
    """What to show of an expiry date."""

    level: Level
    text: str


def next_end(ends: Sequence[datetime | None], now: datetime) -> datetime | None:
    """Of ends in their order, return the first to come, or else the last that is over."""
    return next((end for end in ends if end is None or end > now), ends[-1])


def expiry_of(expires_at: datetime | None, now: datetime) -> Expiry:
    """Say how long something still works; None never ends."""
    if expires_at is None:
        return Expiry(level=Level.FINE, text=_("Never expires"))
    left = expires_at - now
    if left <= timedelta(0):
        days = (-left).days
        text = ngettext("Expired %(days)d day ago", "Expired %(days)d days ago", days)
        return Expiry(
            level=Level.EXPIRED, text=text % {"days": days} if days else _("Expired today")
        )
    days = left.days
    text = ngettext("Expires in %(days)d day", "Expires in %(days)d days", days)
    return Expiry(
        level=Level.SOON if left <= SOON else Level.FINE,
        text=text % {"days": days} if days else _("Expires within a day"),
    )
