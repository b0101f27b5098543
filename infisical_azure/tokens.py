"""A fresh access token for any API."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from .conf import conf
from .exceptions import TokenUnavailableError
from .freshness import Wish, find_held, is_just_forced
from .models import AccessToken, AppConnection, database
from .refreshing import obtain, refresh, replace_early
from .resources import Resource, audience_of
from .secret import Secret

__all__ = ["Token", "get_token", "refresh"]

_USED_AT_MOST_EVERY = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """An access token for one API."""

    secret: Secret = field(repr=False)
    resource: str
    """The audience, such as ``https://vault.azure.net``."""
    scopes: tuple[str, ...]
    """Granted permission names."""
    expires_at: datetime
    refresh_at: datetime
    """From then on a new one is fetched early."""

    def reveal(self) -> str:
        """Return the token itself, for an Authorization header."""
        return self.secret.reveal()


def get_token(
    connection: AppConnection,
    resource: str = Resource.GRAPH,
    *,
    claims: str = "",
    is_live: bool = False,
) -> Token:
    """
    Return a token for one API that is valid for at least TOKEN_LEEWAY.

    `resource` is a `Resource` or a scope ``https://…/.default``; `claims` a claims
    challenge (JSON) with which that API has just rejected a token. With it, or with
    `is_live`, Microsoft is asked even when a token is held, once in half a minute. One
    query when one is held, otherwise one request to Microsoft, whoever else asks
    meanwhile. A token that still works is returned while new ones can't be had.

    Raises TokenUnavailableError, whose `reaction` says who must act, and ValueError
    for an unknown resource.
    """
    cloud = connection.find_cloud()
    audience = audience_of(resource, cloud)
    held = find_held(connection.pk, audience)
    if claims or is_live:
        if held is not None and is_just_forced(held, claims):
            return _use(held)
        wish = Wish(
            connection_id=connection.pk,
            audience=audience,
            claims=claims,
            issued_after=held.issued_at if held else timezone.now(),
        )
        return _use(obtain(wish))
    now = timezone.now()
    if held is not None and held.is_valid(now, conf.token_leeway):
        return _use(held if now < held.refresh_at else replace_early(held))
    wish = Wish(connection_id=connection.pk, audience=audience)
    try:
        return _use(obtain(wish))
    except TokenUnavailableError:
        if held is not None and timezone.now() < held.expires_at:
            return _use(held)
        raise


def _use(held: AccessToken) -> Token:
    """Give the token away and note its use, at most once a minute."""
    now = timezone.now()
    if held.used_at is None or held.used_at <= now - _USED_AT_MOST_EVERY:
        unnoted = Q(used_at=None) | Q(used_at__lte=now - _USED_AT_MOST_EVERY)
        rows = AccessToken.objects.filter(unnoted, pk=held.pk)
        # Later: a caller's transaction must not keep the row from whoever refreshes it.
        transaction.on_commit(lambda: rows.update(used_at=now), using=database(), robust=True)
    return Token(
        secret=held.secret,
        resource=held.resource,
        scopes=tuple(held.scopes),
        expires_at=held.expires_at,
        refresh_at=held.refresh_at,
    )
