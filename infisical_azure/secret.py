"""An opaque holder that shows its text to nobody but `reveal()`."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from typing import NoReturn

from django.utils.crypto import constant_time_compare

from .anew import raised_anew


class Secret:
    """
    Text that must not leak: a token, a code, a verifier, a client secret.

    ``repr``, ``str``, ``format`` and ``vars`` show nothing, and it can't be
    pickled, so neither a log line nor an error report nor a cache can carry it.
    """

    __slots__ = ("_held",)

    def __init__(self, value: str | Callable[[], str]) -> None:
        self._held = value

    @classmethod
    def of(cls, make: Callable[[], str]) -> Secret:
        """Hold what `make` returns, which no failure meanwhile carries out in a frame."""
        return raised_anew(lambda: cls(make()))

    @classmethod
    def random(cls, size: int = 32) -> Secret:
        """Make a new one of so many random bytes, for URLs."""
        return cls.of(lambda: secrets.token_urlsafe(size))

    def reveal(self) -> str:
        """Return the text; call it at the last moment, inside the call that needs it."""
        return self._held if isinstance(self._held, str) else raised_anew(self._held)

    def digest(self) -> str:
        """Return its SHA-256 in hexadecimal: how single-use values are kept."""
        return raised_anew(
            lambda: hashlib.sha256(self.reveal().encode(errors="replace")).hexdigest()
        )

    def __repr__(self) -> str:
        return "<Secret>"

    def __bool__(self) -> bool:
        return bool(self.reveal())

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return raised_anew(lambda: constant_time_compare(self.reveal(), other.reveal()))

    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> NoReturn:
        raise TypeError("A Secret cannot be pickled.")

    def __deepcopy__(self, memo: dict[int, object]) -> Secret:
        return self
