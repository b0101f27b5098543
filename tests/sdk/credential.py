"""The least credential that Microsoft's clients take."""

from __future__ import annotations

import json
import time
from types import TracebackType
from typing import Any, Self

from azure.core.credentials import AccessToken, AccessTokenInfo, TokenRequestOptions
from azure.core.exceptions import ClientAuthenticationError

from ..standin.app import App

CLIENT_CAPABILITY: dict[str, Any] = {"access_token": {"xms_cc": {"values": ["cp1"]}}}


class RefreshingCredential:
    """Redeems a refresh token at the stand-in for every token that is asked for."""

    def __init__(self, app: App, account: str) -> None:
        self._app = app
        self._tenant = account.partition("@")[2]
        self._refresh_token = app.refresh_token(self._tenant, account)

    def get_token(
        self,
        *scopes: str,
        claims: str | None = None,
        tenant_id: str | None = None,
        enable_cae: bool = False,
        **kwargs: Any,
    ) -> AccessToken:
        info = self._redeem(scopes, claims, enable_cae=enable_cae)
        return AccessToken(info.token, info.expires_on)

    def get_token_info(
        self, *scopes: str, options: TokenRequestOptions | None = None
    ) -> AccessTokenInfo:
        wanted = options or {}
        enable_cae = wanted.get("enable_cae", False)
        return self._redeem(scopes, wanted.get("claims"), enable_cae=enable_cae)

    def close(self) -> None:
        """Nothing is kept open."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _redeem(
        self, scopes: tuple[str, ...], claims: str | None, *, enable_cae: bool
    ) -> AccessTokenInfo:
        (scope,) = scopes
        asked = json.loads(claims or "{}")
        if enable_cae:
            asked["access_token"] = {
                **asked.get("access_token", {}),
                **CLIENT_CAPABILITY["access_token"],
            }
        response = self._app.refresh(
            self._refresh_token,
            self._tenant,
            scope=scope,
            claims=json.dumps(asked, separators=(",", ":")) if asked else None,
        )
        answer = response.json()
        if not response.ok:
            raise ClientAuthenticationError(answer["error_description"])
        return AccessTokenInfo(answer["access_token"], int(time.time()) + answer["expires_in"])
