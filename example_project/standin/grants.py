"""Codes, refresh tokens and access tokens that were given out."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from .client_secrets import new_value
from .directory import Account
from .faults import Fault
from .permissions import Resource
from .scopes import Scopes

CODE_LIFE = timedelta(minutes=10)
REFRESH_TOKEN_LIFE = timedelta(days=90)


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    value: str = field(repr=False)
    account: Account
    # The tenant GUID, or the shared path (common, organizations) it was issued at.
    path: str
    redirect_uri: str
    challenge: str
    challenge_method: str
    scopes: Scopes
    nonce: str
    session_id: str
    issued_at: datetime
    fault: Fault | None = None
    later_fault: Fault | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshToken:
    value: str = field(repr=False)
    account: Account
    scopes: Scopes
    session_id: str
    issued_at: datetime
    fault: Fault | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessToken:
    value: str = field(repr=False)
    account: Account
    resource: Resource
    # The name of the resource that was asked for: App Configuration, for one, has two.
    audience: str
    scopes: tuple[str, ...]
    issued_at: datetime
    expires_at: datetime
    # Nobody is signed in: the account is an application's service principal.
    app_only: bool = False
    cae: bool = False
    fault: Fault | None = None


@dataclass(slots=True)
class Canaries:
    """Prefixes that make given-out values easy to find where they must not be."""

    code: str = ""
    access_token: str = ""
    refresh_token: str = ""
    secret: str = ""


@dataclass(slots=True)
class Grants:
    codes: dict[str, Code] = field(default_factory=dict)
    redeemed: set[str] = field(default_factory=set)
    refresh_tokens: dict[str, RefreshToken] = field(default_factory=dict)
    access_tokens: dict[str, AccessToken] = field(default_factory=dict)
    # Object id of an account -> refresh tokens from before then are dead.
    valid_from: dict[str, datetime] = field(default_factory=dict)
    canaries: Canaries = field(default_factory=Canaries)
    # An authority that detects reuse ends the whole session of a refresh token sent twice.
    detects_reuse: bool = False
    used: set[str] = field(default_factory=set)
    double_uses: int = 0
    ended_sessions: set[str] = field(default_factory=set)

    # The sizes are about those of the real ones, which do not fit in small columns.
    def new_code(self) -> str:
        return f"{self.canaries.code}1.A{secrets.token_urlsafe(600)}"

    def new_refresh_token(self) -> str:
        return f"{self.canaries.refresh_token}1.A{secrets.token_urlsafe(900)}"

    def new_access_token(self) -> str:
        return f"{self.canaries.access_token}Ew{secrets.token_urlsafe(1300)}"

    def new_secret(self) -> str:
        return new_value(self.canaries.secret)

    def use(self, token: RefreshToken) -> bool:
        """Note a use; say whether the token is still good where reuse is detected."""
        if not self.detects_reuse:
            return True
        if token.value in self.used:
            self.double_uses += 1
            self.ended_sessions.add(token.session_id)
        self.used.add(token.value)
        return token.session_id not in self.ended_sessions

    def revoke_sessions(self, account: Account, now: datetime) -> None:
        self.valid_from[account.oid] = now
