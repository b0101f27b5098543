"""One thread at a time for each key, within this process."""

from __future__ import annotations

import threading
from collections.abc import Hashable, Iterator
from contextlib import contextmanager

_guard = threading.Lock()
_turns: dict[Hashable, Turn] = {}


class Turn:
    """Whose turn it is, and what those before have left for those who wait."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.waiting = 0
        self.left: object = None


@contextmanager
def in_turn(key: Hashable) -> Iterator[Turn]:
    """
    Wait until no other thread of the process is inside with the same key.

    Correctness is the database's; this spares it the questions of all but one.
    """
    with _guard:
        turn = _turns.setdefault(key, Turn())
        turn.waiting += 1
    try:
        with turn.lock:
            yield turn
    finally:
        with _guard:
            turn.waiting -= 1
            if not turn.waiting:
                del _turns[key]
