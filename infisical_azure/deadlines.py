"""Requests that end in time: sockets are shut down when a deadline is over."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar


class Deadline:
    """Shuts the socket of a request down when its time is over, whatever it waits for."""

    def __init__(self, seconds: float) -> None:
        self.at = time.monotonic() + seconds
        self.is_over = False
        self.socket: socket.socket | None = None

    def watch(self, connected: socket.socket) -> None:
        self.socket = connected
        if self.is_over:
            self.end()

    def end(self) -> None:
        self.is_over = True
        if self.socket is not None:
            with suppress(OSError):
                self.socket.shutdown(socket.SHUT_RDWR)


class Watchdog:
    """Ends requests that are over time, by one thread: one for each would cost them dear."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self._changed = threading.Condition()
        self._running: set[Deadline] = set()
        self._wakes_at: float | None = None
        """None while there is no thread."""

    def add(self, deadline: Deadline) -> None:
        with self._changed:
            self._running.add(deadline)
            if self._wakes_at is None:
                self._wakes_at = deadline.at
                threading.Thread(target=self._watch, daemon=True).start()
            elif deadline.at < self._wakes_at:
                self._changed.notify()

    def remove(self, deadline: Deadline) -> None:
        with self._changed:
            self._running.discard(deadline)

    def _watch(self) -> None:
        with self._changed:
            while self._running:
                self._wakes_at = min(deadline.at for deadline in self._running)
                self._changed.wait(self._wakes_at - time.monotonic())
                late = {one for one in self._running if one.at <= time.monotonic()}
                self._running -= late
                for deadline in late:
                    deadline.end()
            self._wakes_at = None


watchdog = Watchdog()
# A forked process has no thread of ours, and maybe a lock that nobody gives back.
os.register_at_fork(after_in_child=lambda: watchdog.reset())
_current: ContextVar[Deadline] = ContextVar("infisical_azure_deadline")


@contextmanager
def bounded(seconds: float) -> Iterator[Deadline]:
    """Shut what is watched in the block down after so many seconds."""
    deadline = Deadline(seconds)
    reset = _current.set(deadline)
    watchdog.add(deadline)
    try:
        yield deadline
    finally:
        watchdog.remove(deadline)
        _current.reset(reset)


def watch(connected: socket.socket) -> None:
    """Let the deadline that the caller is bounded by end this socket."""
    _current.get().watch(connected)
