"""An opaque holder that shows its text to nobody but `reveal()`."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

from django.utils.crypto import constant_time_compare


class Secret:
    """
    Text that must not leak: a token, a code, a verifier, a client secret.

    ``repr``, ``str``, ``format`` and ``vars`` show nothing, and it can't be
    pickled, so neither a log line nor an error report nor a cache can carry it.
    """

    __slots__ = ("_open",)

    def __init__(self, value: str | Callable[[], str]) -> None:
        self._open: Callable[[], str] = value if callable(value) else lambda: value

    def reveal(self) -> str:
        """Return the text; call it at the last moment, inside the call that needs it."""
        return self._open()

    def __repr__(self) -> str:
        return "<Secret>"

    def __bool__(self) -> bool:
        return bool(self.reveal())

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return constant_time_compare(self.reveal(), other.reveal())

    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> NoReturn:
        raise TypeError("A Secret cannot be pickled.")

    def __deepcopy__(self, memo: dict[int, object]) -> Secret:
        return self
