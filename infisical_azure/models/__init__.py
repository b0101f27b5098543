"""The rows: connections, their secrets, sign-ins under way, and history. Never the network."""

from __future__ import annotations

from .authorizations import Authorization
from .connections import AppConnection, database, validate_name
from .feeds import Feed
from .history import HistoryEntry
from .issued_secrets import IssuedSecret, IssuedValue
from .rotations import MARK, Destination, HeldSecret, RotatedSecret, Rotation, shortest_lifetime
from .tokens import AccessToken, RefreshToken
from .watched_secrets import WatchedSecret

__all__ = [
    "MARK",
    "AccessToken",
    "AppConnection",
    "Authorization",
    "Destination",
    "Feed",
    "HeldSecret",
    "HistoryEntry",
    "IssuedSecret",
    "IssuedValue",
    "RefreshToken",
    "RotatedSecret",
    "Rotation",
    "WatchedSecret",
    "database",
    "shortest_lifetime",
    "validate_name",
]
