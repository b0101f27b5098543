"""A connection as an azure.core credential, for Microsoft's own SDK clients."""

from __future__ import annotations

import threading
import time
from datetime import datetime
from types import TracebackType
from typing import Any

from azure.core.credentials import AccessToken, AccessTokenInfo, TokenRequestOptions
from azure.core.exceptions import ClientAuthenticationError

from . import tokens
from .conf import conf
from .exceptions import TokenUnavailableError
from .models import AppConnection


class ConnectionCredential:
    """
    ``TokenCredential`` and ``SupportsTokenInfo`` of azure.core, over `tokens.get_token`.

    Keeps tokens in memory until they are to be refreshed, so that a client costs no
    query for each call. Safe to share between threads. Raises
    ClientAuthenticationError, with the next step in its text.
    Source: azure-core 1.41 ``credentials``.
    """

    def __init__(self, connection: AppConnection) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self._held: dict[str, AccessTokenInfo] = {}

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
        info = self._get(scopes, claims, tenant_id)
        return AccessToken(info.token, info.expires_on)

    def get_token_info(
        self, *scopes: str, options: TokenRequestOptions | None = None
    ) -> AccessTokenInfo:
        """Return a token for the one scope given, with the time to refresh it."""
        wanted = options or {}
        return self._get(scopes, wanted.get("claims"), wanted.get("tenant_id"))

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
        return f"<ConnectionCredential of {self._connection.pk}>"

    def _get(
        self, scopes: tuple[str, ...], claims: str | None, tenant_id: str | None
    ) -> AccessTokenInfo:
        if len(scopes) != 1:
            raise ValueError("A token is for exactly one scope.")
        if tenant_id and tenant_id.lower() != str(self._connection.tenant_id):
            raise ClientAuthenticationError(
                f"The connection {self._connection.pk} belongs to the tenant "
                f"{self._connection.tenant_id}, not to the one that is asked for."
            )
        held = self._held.get(scopes[0])
        if held is not None and not claims and time.time() < (held.refresh_on or 0):
            return held
        with self._lock:
            return self._fetch(scopes[0], claims or "")

    def _fetch(self, scope: str, claims: str) -> AccessTokenInfo:
        held = self._held.get(scope)
        if held is not None and not claims and time.time() < (held.refresh_on or 0):
            return held  # Fetched while we waited for the lock.
        message = ""
        try:
            token = tokens.get_token(self._connection, scope, claims=claims)
        except TokenUnavailableError as error:
            message = str(error)
        if message:
            raise ClientAuthenticationError(message)
        info = AccessTokenInfo(
            token.reveal(),
            int(token.expires_at.timestamp()),
            refresh_on=self._refresh_on(token.refresh_at, token.expires_at),
        )
        self._held[scope] = info
        return info

    @staticmethod
    def _refresh_on(refresh_at: datetime, expires_at: datetime) -> int:
        """Return when to ask again: with the leeway that others are given, too."""
        return int(min(refresh_at, expires_at - conf.token_leeway).timestamp())
