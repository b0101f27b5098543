"""A connection as an azure.core credential, for Microsoft's own SDK clients."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from datetime import datetime
from types import TracebackType
from typing import Any

from azure.core.credentials import AccessToken, AccessTokenInfo, TokenRequestOptions
from azure.core.exceptions import ClientAuthenticationError
from django.db.models.signals import post_delete

from . import tokens
from .anew import raised_anew
from .conf import conf
from .exceptions import DecryptionError, TokenUnavailableError
from .models import AppConnection
from .signals import connection_reconnected, connection_removed
from .tokens import Token

_CHECKED_EVERY_SECONDS = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class _Held:
    """A token in memory; azure.core's own classes show theirs in their repr."""

    token: AccessToken = field(repr=False)
    info: AccessTokenInfo = field(repr=False)
    refresh_on: int

    @classmethod
    def of(cls, token: Token, *, refresh_on: int) -> _Held:
        """Open the token, once and not for each call; raise DecryptionError."""
        expires_on = int(token.expires_at.timestamp())
        return raised_anew(
            lambda: cls(
                token=AccessToken(token.reveal(), expires_on),
                info=AccessTokenInfo(token.reveal(), expires_on, refresh_on=refresh_on),
                refresh_on=refresh_on,
            )
        )


class ConnectionCredential:
    """
    ``TokenCredential`` and ``SupportsTokenInfo`` of azure.core, over `tokens.get_token`.

    Keeps tokens in memory until they are to be refreshed, so that a client costs no
    query for each call; every 30 seconds, and at once after a removal or reconnect in
    this process, it looks at the connection's rows again. Safe to share between threads.
    Raises ClientAuthenticationError, with the next step in its text.
    Source: azure-core 1.41 ``credentials``.
    """

    #: Another object after each removal and reconnect that this process knows of.
    _latest_change = object()

    def __init__(self, connection: AppConnection) -> None:
        self._connection, self._pk = connection, connection.pk
        self._lock = threading.Lock()
        self._held: dict[str, tuple[_Held, float, object]] = {}
        self._change = self._latest_change
        self._checked_until = time.time() + _CHECKED_EVERY_SECONDS

    def get_token(
        self,
        *scopes: str,
        claims: str | None = None,
        tenant_id: str | None = None,
        enable_cae: bool = False,
        **kwargs: Any,
    ) -> AccessToken:
        """
        Return a token for the one scope given.

        `enable_cae` is taken and not acted on: tokens are not asked for as ones of a
        client that understands continuous access evaluation, so they live an hour.
        """
        return self._get(scopes, claims, tenant_id).token

    def get_token_info(
        self, *scopes: str, options: TokenRequestOptions | None = None
    ) -> AccessTokenInfo:
        """Return a token for the one scope given, with the time to refresh it."""
        wanted = options or {}
        return self._get(scopes, wanted.get("claims"), wanted.get("tenant_id")).info

    def close(self) -> None:
        """Forget the tokens in memory."""
        with self._lock:
            self._held.clear()

    def __enter__(self) -> ConnectionCredential:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<ConnectionCredential of {self._pk}>"

    @classmethod
    def note_change(cls, **news: Any) -> None:
        """Let no object serve what it holds without looking again."""
        cls._latest_change = object()

    def _get(self, scopes: tuple[str, ...], claims: str | None, tenant_id: str | None) -> _Held:
        if len(scopes) != 1:
            raise ValueError("A token is for exactly one scope.")
        if tenant_id:
            with self._lock:
                self._refuse_other(tenant_id)
        # As `_find`, without the call: this is what each use of a client costs.
        held = self._held.get(scopes[0])
        if held and not claims and held[2] is self._latest_change and time.time() < held[1]:
            return held[0]
        with self._lock:
            return self._fetch(scopes[0], claims or "")

    def _find(self, scope: str) -> _Held | None:
        info, good_until, change = self._held.get(scope, (None, 0, None))
        return info if time.time() < good_until and change is self._latest_change else None

    def _refuse_other(self, tenant_id: str) -> None:
        self._look()
        if tenant_id.lower() != str(self._connection.tenant_id):
            raise ClientAuthenticationError(
                f"The connection {self._pk} belongs to the tenant "
                f"{self._connection.tenant_id}, not to the one that is asked for."
            )

    def _look(self) -> None:
        """Read the connection again when it is time to; raise where it is gone."""
        change, now = self._latest_change, time.time()
        if change is self._change and now < self._checked_until:
            return
        found = AppConnection.objects.filter(pk=self._pk).first()
        if found is None:
            self._held.clear()
            raise ClientAuthenticationError(f"The connection {self._pk} was removed.")
        self._connection, self._change = found, change
        self._checked_until = now + _CHECKED_EVERY_SECONDS

    def _fetch(self, scope: str, claims: str) -> _Held:
        held = None if claims else self._find(scope)
        if held is not None:
            return held  # Fetched while we waited for the lock.
        self._look()
        message = ""
        try:
            token = tokens.get_token(self._connection, scope, claims=claims)
            refresh_on = self._refresh_on(token.refresh_at, token.expires_at)
            fetched = _Held.of(token, refresh_on=refresh_on)
        except (TokenUnavailableError, DecryptionError) as error:
            message = str(error)
        if message:
            raise ClientAuthenticationError(message)
        # Not the change of now: what was fetched may be older.
        good_until = min(fetched.refresh_on, self._checked_until)
        self._held[scope] = fetched, good_until, self._change
        return fetched

    @staticmethod
    def _refresh_on(refresh_at: datetime, expires_at: datetime) -> int:
        """Return when to ask again: with the leeway that others are given, too."""
        return int(min(refresh_at, expires_at - conf.token_leeway).timestamp())


# A removal that is not committed yet counts for this transaction, and again once it is.
post_delete.connect(ConnectionCredential.note_change, sender=AppConnection)
connection_removed.connect(ConnectionCredential.note_change)
connection_reconnected.connect(ConnectionCredential.note_change)
