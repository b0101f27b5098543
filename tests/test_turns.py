"""One thread at a time for each key."""

from __future__ import annotations

import os
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

from infisical_azure.turns import Place, in_turn

FOR_EVER = -1


def wait_for(number: int, place: Place) -> None:
    """Wait until so many have come."""
    patience = threading.Event()
    while place.count() < number:
        patience.wait(0.001)


def test_what_is_found_is_left_to_those_who_had_come_before() -> None:
    come = threading.Event()

    def second() -> object:
        come.set()
        with in_turn("key", patience=FOR_EVER) as place:
            return place.left

    with ThreadPoolExecutor(2) as pool:
        with in_turn("key", patience=FOR_EVER) as first:
            before = first.count()
            waiting = pool.submit(second)
            come.wait()
            wait_for(2, first)
            first.leave("too old for the second", to=before)
            third = pool.submit(second)
            wait_for(3, first)
        assert waiting.result() is None
        assert third.result() is None
        with in_turn("key", patience=FOR_EVER) as first:
            before = first.count()
            waiting = pool.submit(second)
            wait_for(before + 1, first)
            first.leave("found", to=first.count())
        assert waiting.result() == "found"


def test_patience_ends() -> None:
    def second() -> object:
        with in_turn("key", patience=0) as place:
            return place.left

    with ThreadPoolExecutor(1) as pool, in_turn("key", patience=FOR_EVER):
        assert pool.submit(second).result() is None


def test_impatient_thread_ends_its_turn_too() -> None:
    ended = threading.Event()

    def second() -> None:
        with in_turn("key", patience=FOR_EVER):
            ended.set()

    with in_turn("key", patience=0) as first:
        threading.Thread(target=second, daemon=True).start()
        wait_for(2, first)
        assert not ended.is_set()
    assert ended.wait(5)


def test_fork_waits_for_no_thread_of_its_parent() -> None:
    with in_turn("key", patience=FOR_EVER):
        child = os.fork()
        if child == 0:
            with in_turn("key", patience=FOR_EVER):
                os._exit(7)
        _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 7


def test_turn_is_forgotten_once_nobody_waits_for_it() -> None:
    with in_turn("forgotten", patience=FOR_EVER) as place:
        assert place.count() == 1
        kept = threading.Event()  # Of any kind: it takes weak references.
        reference = weakref.ref(kept)
        place.leave(kept, to=place.count())
        del kept
        assert reference() is not None
    del place
    assert reference() is None
