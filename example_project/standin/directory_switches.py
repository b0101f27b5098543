"""How late, how jerkily and how generously Graph's directory behaves."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True, kw_only=True)
class Switches:
    """Off unless told; those about a write count for the writes after they were set."""

    # A write is seen after so many reads of that application, and after so many seconds.
    read_lag: int = 0
    read_lag_seconds: float = 0.0
    # Entra refuses a new secret (7000215) for so many seconds.
    secret_lag: float = 0.0
    # Then one of these for each attempt to use it; False refuses.
    secret_flaps: list[bool] = field(default_factory=list)
    removed_secret_works_for: float = 0.0
    # removePassword does not find a new secret for so many seconds.
    remove_lag: float = 0.0
    # Two writes to one application that are closer than this are a conflict (409).
    write_gap: float = 0.0
    # How long a write takes before it happens.
    slow_writes: float = 0.0
    # Every second page of a list is empty, but not the last.
    empty_pages: bool = False
    max_secrets: int = 1000

    def set(self, name: str, value: Any) -> None:
        """Set the switch of this name; raise ValueError if there is none."""
        if name not in self.__slots__:
            raise ValueError(f"unknown switch {name!r}; known: {', '.join(self.__slots__)}")
        if name == "secret_flaps":
            value = [bool(item) for item in value]
        setattr(self, name, type(getattr(self, name))(value))
