"""A client secret of an application, and when it is seen and accepted."""

from __future__ import annotations

import secrets
import uuid
from dataclasses import dataclass, field
from datetime import datetime, timedelta

# Microsoft's have this length, and characters in them that careless encoding breaks.
_LENGTH = 40


def new_value(prefix: str = "") -> str:
    """A fake value that looks like Microsoft's: 40 characters, with "~" and "." in them."""
    random = secrets.token_urlsafe(_LENGTH)
    return f"{prefix}{random[:3]}8Q~{random[3:6]}.{random[6:]}"[:_LENGTH]


@dataclass(slots=True, kw_only=True)
class Delay:
    """A write that readers do not see yet."""

    until: datetime
    looks: int = 0

    def is_over(self, now: datetime) -> bool:
        return self.looks <= 0 and now >= self.until


@dataclass(slots=True, kw_only=True)
class ClientSecret:
    value: str = field(repr=False)
    display_name: str | None
    start: datetime
    end: datetime
    key_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    # A secret just added: from when readers see it, and when and how Entra takes it.
    added: Delay | None = None
    removable_from: datetime | None = None
    accepted_from: datetime | None = None
    flaps: list[bool] = field(default_factory=list)
    # A secret that was removed: until when readers see it, and Entra takes it.
    removed: Delay | None = None
    works_until: datetime | None = None

    @property
    def hint(self) -> str:
        return self.value[:3]

    @property
    def is_removed(self) -> bool:
        return self.works_until is not None

    def works(self, now: datetime) -> bool:
        """What is true, whatever readers and Entra have heard of it so far."""
        return not self.is_removed and self.start <= now < self.end

    def is_visible(self, now: datetime) -> bool:
        if self.added is not None and not self.added.is_over(now):
            return False
        return self.removed is None or not self.removed.is_over(now)

    def look(self) -> None:
        """Count one read of the application."""
        for delay in (self.added, self.removed):
            if delay is not None:
                delay.looks -= 1

    def is_accepted(self, now: datetime) -> bool:
        """Count one attempt to use the secret."""
        if self.works_until is not None:
            return now < self.works_until
        if now < self.start or (self.accepted_from is not None and now < self.accepted_from):
            return False
        return self.flaps.pop(0) if self.flaps else True


def seeded_secret(
    key_id: str, *, display_name: str | None, days: float, now: datetime, value: str = ""
) -> ClientSecret:
    """A secret that has been there for a while and ends in so many days."""
    end = (now + timedelta(days=days)).replace(microsecond=0)
    started = min(end - timedelta(days=730), now - timedelta(hours=1))
    return ClientSecret(
        key_id=key_id,
        value=value or new_value(),
        display_name=display_name,
        start=started.replace(microsecond=0),
        end=end,
    )
