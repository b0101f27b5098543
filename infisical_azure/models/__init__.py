"""The rows: connections, their secrets, sign-ins under way, and history. Never the network."""

from __future__ import annotations

from .authorizations import Authorization
from .connections import AppConnection, database, validate_name
from .secret_events import SecretEvent
from .tokens import AccessToken, RefreshToken

__all__ = [
    "AccessToken",
    "AppConnection",
    "Authorization",
    "RefreshToken",
    "SecretEvent",
    "database",
    "validate_name",
]
