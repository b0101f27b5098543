"""One thread at a time for each key, within this process."""

from __future__ import annotations

import threading
from collections.abc import Hashable, Iterator
from contextlib import contextmanager

_guard = threading.Lock()
_turns: dict[Hashable, tuple[threading.Lock, int]] = {}


@contextmanager
def in_turn(key: Hashable) -> Iterator[None]:
    """
    Wait until no other thread of the process is inside with the same key.

    Correctness is the database's; this spares it the questions of all but one.
    """
    with _guard:
        lock, waiting = _turns.get(key, (threading.Lock(), 0))
        _turns[key] = lock, waiting + 1
    try:
        with lock:
            yield
    finally:
        with _guard:
            lock, waiting = _turns.pop(key)
            if waiting > 1:
                _turns[key] = lock, waiting - 1
