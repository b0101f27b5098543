"""The rows: connections, their secrets, and pending sign-ins. Never the network."""

from __future__ import annotations

from .authorizations import Authorization
from .connections import AppConnection, database, validate_name
from .tokens import AccessToken, RefreshToken

__all__ = [
    "AccessToken",
    "AppConnection",
    "Authorization",
    "RefreshToken",
    "database",
    "validate_name",
]
