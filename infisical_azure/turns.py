"""One thread at a time for each key, within this process."""

from __future__ import annotations

import os
import threading
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from weakref import WeakValueDictionary


@dataclass(slots=True, weakref_slot=True, eq=False)
class _Turn:
    lock: threading.Lock = field(default_factory=threading.Lock)
    came: int = 0
    """How many have come for it so far."""
    left: tuple[object, int] = (None, 0)
    """What was found, and how many had come before it was looked for."""


class Place:
    """A place in the queue, and what those before have left for those who wait."""

    def __init__(self, turn: _Turn) -> None:
        self._turn = turn
        turn.came += 1
        self._number = turn.came

    @property
    def left(self) -> object:
        """What was left by another, unless that was begun before we came."""
        value, count = self._turn.left
        return value if self._number <= count else None

    def count(self) -> int:
        """Return for how many what is begun now is new enough."""
        return self._turn.came

    def leave(self, value: object, *, to: int) -> None:
        """Leave a value to so many, by their count when it was begun to be found."""
        self._turn.left = value, to


class _Queues:
    """All that is waited for now, by key."""

    def __init__(self) -> None:
        self.forget()
        # The threads of a process don't run in its forks, and would never end their turns.
        os.register_at_fork(after_in_child=self.forget)

    def forget(self) -> None:
        self.guard = threading.Lock()
        # Each is kept by those who wait for it, so that nobody has to clean up.
        self.turns: WeakValueDictionary[Hashable, _Turn] = WeakValueDictionary()


_queues = _Queues()


@contextmanager
def in_turn(key: Hashable, *, patience: float) -> Iterator[Place]:
    """
    Wait until no other thread of the process is inside with the same key.

    Go on all the same after `patience` (seconds; -1 is for ever). Correctness is the
    database's; this spares it the questions of all but one.
    """
    with _queues.guard:
        turn = _queues.turns.setdefault(key, _Turn())
        place = Place(turn)
    if patience < 0:
        # No interruption comes between the end of this block and the lock's release.
        with turn.lock:
            yield place
        return
    is_alone = turn.lock.acquire(timeout=patience)
    try:
        yield place
    finally:
        if is_alone:
            turn.lock.release()
