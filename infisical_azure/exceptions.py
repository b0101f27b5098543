"""The error tree: one class for each thing that a caller does differently."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID


class Reaction(enum.StrEnum):
    """Who can make a failed call work again."""

    RETRY = "retry"
    RECONNECT = "reconnect"
    OPERATOR = "operator"
    TENANT_ADMIN = "tenant_admin"


class InfisicalAzureError(Exception):
    """Any failure that this package raises on purpose. Its text carries no secret."""


class DecryptionError(InfisicalAzureError):
    """A stored secret can't be opened: wrong FERNET_KEYS, or ciphertext that was moved."""


class DeliveryError(InfisicalAzureError):
    """A hook of the site did not take a client secret."""


class UnforeseenError(InfisicalAzureError):
    """Something failed that nobody foresaw where secrets were at hand; says what and where."""


class AuthorizationError(InfisicalAzureError):
    """An OAuth round trip that must not be completed; `code` names the problem."""

    def __init__(self, code: str) -> None:
        super().__init__(f"The authorization was refused: {code}.")
        self.code = code


class IdTokenError(InfisicalAzureError):
    """The id token of a reply fails validation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What a remote service said of its failure; nothing of it is secret."""

    service: str
    """The service that failed, as people call it."""
    http_status: int | None = None
    error: str = ""
    """The OAuth ``error``, or Graph's ``error.code``."""
    suberror: str = ""
    aadsts: int | None = None
    """The first AADSTS number; only ever used to choose words."""
    correlation_id: str = ""
    trace_id: str = ""
    claims: str = ""
    """A claims challenge, JSON: what the next token request, or sign-in, has to prove."""
    retry_after: timedelta | None = None

    @property
    def is_throttle(self) -> bool:
        """Whether too many requests came: that passes by itself."""
        return self.http_status == 429 or self.is_loop

    @property
    def is_loop(self) -> bool:
        """Whether one request came 15 times within five minutes (AADSTS50196)."""
        return self.aadsts == 50196

    def __str__(self) -> str:
        facts = [f"HTTP {self.http_status}" if self.http_status else "", self.error]
        facts += [f"AADSTS{self.aadsts}" if self.aadsts else "", self.suberror]
        if self.correlation_id:
            facts.append(f"correlation id {self.correlation_id}")
        return f"{self.service}: {', '.join(filter(None, facts)) or 'no usable answer'}"


_OPERATOR_ERRORS = {
    "invalid_client", "unauthorized_client", "invalid_scope", "invalid_request", "invalid_resource"
}  # fmt: skip
_SIGN_IN_ERRORS = {"invalid_grant", "interaction_required", "login_required", "consent_required"}
# MSAL calls it MessageOnly: a new sign-in would only show the same message again.
_ADMIN_SUBERRORS = {"message_only", "additional_action"}


class RemoteError(InfisicalAzureError):
    """Entra or Graph refused a request; `fault` says how, `reaction` who must act."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(str(fault))
        self.fault = fault

    @property
    def reaction(self) -> Reaction:
        """Decide by status, ``error`` and ``suberror``: Microsoft changes its numbers."""
        fault = self.fault
        if fault.error in _OPERATOR_ERRORS:
            return Reaction.OPERATOR
        if fault.suberror in _ADMIN_SUBERRORS:
            return Reaction.TENANT_ADMIN
        if fault.error in _SIGN_IN_ERRORS:
            return Reaction.RECONNECT
        # Whoever answered so, such as a proxy, has said nothing of the grant.
        return Reaction.RETRY


class TokenUnavailableError(InfisicalAzureError):
    """
    There is no token to be had now; `reaction` says who can change that.

    `problem` is the code of the reason, `retry_at` when it is tried again, if it is.
    """

    _NEXT_STEP = {
        Reaction.RETRY: "Try again later.",
        Reaction.RECONNECT: "Reconnect it on the App Connections page.",
        Reaction.OPERATOR: "The operator of the site must act.",
        Reaction.TENANT_ADMIN: "An administrator of the Azure directory must act.",
    }

    def __init__(
        self,
        *,
        connection_id: UUID,
        reaction: Reaction,
        problem: str,
        correlation_id: str = "",
        retry_at: datetime | None = None,
    ) -> None:
        ids = f", correlation id {correlation_id}" if correlation_id else ""
        super().__init__(
            f"No token from connection {connection_id}: {problem}{ids}. {self._NEXT_STEP[reaction]}"
        )
        self.connection_id = connection_id
        self.reaction = reaction
        self.problem = problem
        self.correlation_id = correlation_id
        self.retry_at = retry_at


class UnavailableError(RemoteError):
    """Nobody answered, or not intelligibly; the same request may work later."""

    @property
    def reaction(self) -> Reaction:
        return Reaction.RETRY
