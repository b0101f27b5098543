"""Which access token is fresh enough, and when to refresh it."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any
from uuid import UUID

from django.utils import timezone

from .conf import conf
from .models import AccessToken, AppConnection, RefreshToken
from .secret import Secret

# Entra takes the same request 15 times within five minutes for a loop (AADSTS50196).
_FORCED_AT_MOST_EVERY = timedelta(seconds=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a caller needs of a token."""

    connection_id: UUID
    audience: str
    claims: str = ""
    issued_after: datetime | None = None
    """Set when the API has rejected the tokens so far."""
    early: bool = False
    """Whether a token that still works is to be replaced ahead of time."""
    is_for_use: bool = True
    """Whether the caller uses the token, unlike work in the background."""

    def is_met_by(self, held: AccessToken | None) -> bool:
        if held is None:
            return False
        if self.issued_after is not None:
            return held.issued_at > self.issued_after
        now = timezone.now()
        return held.is_valid(now, conf.token_leeway) and not (self.early and held.refresh_at <= now)


@cache
def _rows() -> Any:
    """Return all access tokens, to choose from: to build this takes longer than to copy it."""
    return AccessToken.objects.with_secret()


def find_held(connection_id: UUID, audience: str) -> AccessToken | None:
    try:
        found: AccessToken = _rows().get(connection_id=connection_id, resource=audience)
    except AccessToken.DoesNotExist:
        return None
    return found


def is_just_forced(held: AccessToken, claims: str) -> bool:
    """Say whether the token was just asked for in this way: another would be no better."""
    since = timezone.now() - _FORCED_AT_MOST_EVERY
    return held.forced_at is not None and held.forced_at > since and held.forced_claims == claims


def held_by(row: RefreshToken) -> list[AccessToken]:
    """Return a connection's access tokens, the one used latest first."""
    held = row.connection.access_tokens.all()
    return sorted(held, key=lambda one: one.used_at or one.issued_at, reverse=True)


def early(issued_at: datetime, expires_at: datetime) -> datetime:
    """Choose when to refresh: at random in the last fifth, so never all at once."""
    return expires_at - (expires_at - issued_at) * random.uniform(0.05, 0.2)  # noqa: S311


def granted(connection: AppConnection, secret: Secret | None) -> RefreshToken:
    """Return the row, not saved yet, of a grant's first refresh token."""
    expires_at = timezone.now() + RefreshToken.LIFETIME if secret else None
    return RefreshToken(
        connection=connection,
        secret=secret,
        expires_at=expires_at,
        due_at=keep_alive_at(expires_at),
    )


def keep_alive_at(expires_at: datetime | None) -> datetime | None:
    """Choose when an unused connection is refreshed, spread over a day."""
    if expires_at is None:
        return None
    spread = timedelta(hours=random.uniform(0, 24))  # noqa: S311
    return expires_at - RefreshToken.KEEP_ALIVE - spread
