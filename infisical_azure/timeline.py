"""How many client secrets end in which of the next weeks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Count, Q

from .expiry import SOON, Level
from .models.watched_secrets import WatchedSecretQuerySet

WEEKS = 12
PAST = timedelta(days=30)
AHEAD = timedelta(days=90)
_WEEK = timedelta(weeks=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """The secrets of one week; `begins_at` is None for those that have expired."""

    begins_at: datetime | None
    count: int
    level: Level
    height: int
    """In hundredths of the highest bar."""

    @property
    def top(self) -> int:
        return 100 - self.height


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """The bars, and what they say in numbers."""

    bars: tuple[Bar, ...]
    expired: int
    soon: int
    later: int


def timeline_of(secrets: WatchedSecretQuerySet, now: datetime) -> Timeline:
    """Count, in one query, what has expired lately and what ends in each week."""
    spans = {f"week_{n}": (now + n * _WEEK, now + (n + 1) * _WEEK) for n in range(WEEKS)}
    spans |= {"soon": (now, now + SOON), "later": (now + SOON, now + AHEAD)}
    counts = secrets.filter(expires_at__gte=now - PAST, expires_at__lt=now + AHEAD).aggregate(
        expired=Count("pk", filter=Q(expires_at__lte=now)),
        **{
            name: Count("pk", filter=Q(expires_at__gt=since, expires_at__lte=until))
            for name, (since, until) in spans.items()
        },
    )
    weeks = [counts[f"week_{n}"] for n in range(WEEKS)]
    highest = max([1, counts["expired"], *weeks])

    def bar(count: int, begins_at: datetime | None, level: Level) -> Bar:
        return Bar(begins_at=begins_at, count=count, level=level, height=-(-100 * count // highest))

    bars = [bar(counts["expired"], None, Level.EXPIRED)]
    for n, count in enumerate(weeks):
        begins_at = now + n * _WEEK
        bars.append(bar(count, begins_at, Level.SOON if n * _WEEK < SOON else Level.FINE))
    return Timeline(
        bars=tuple(bars), expired=counts["expired"], soon=counts["soon"], later=counts["later"]
    )
