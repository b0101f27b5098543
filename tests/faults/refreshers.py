"""Processes that want tokens: ``python -m tests.faults.refreshers herd|rounds|one|dying``."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, nullcontext
from typing import Any

import django

# The first statement after Microsoft's reply; the commit comes some statements later.
SAVING = '"failures" ='


def report(result: object) -> None:
    print(json.dumps(result), flush=True)


def get(connection_id: str, **how: Any) -> dict[str, Any]:
    """Get a token and say which (as a digest), how long it took, and who fetched it."""
    from django.db import connection as database

    from infisical_azure import tokens
    from infisical_azure.exceptions import TokenUnavailableError
    from infisical_azure.models import AppConnection

    saved: list[str] = []

    def watch(execute: Any, sql: str, *rest: Any) -> Any:
        if SAVING in sql:
            saved.append(sql)
            how.get("at_save", lambda: None)()
        return execute(sql, *rest)

    with ExitStack() as stack:
        stack.enter_context(database.execute_wrapper(watch))
        connection = AppConnection.objects.get(pk=connection_id)
        how.get("begin", lambda: None)()
        began = time.monotonic()
        try:
            token, problem = tokens.get_token(connection).reveal(), ""
        except TokenUnavailableError as error:
            token, problem = "", error.problem
        seconds = time.monotonic() - began
    digest = hashlib.sha256(token.encode()).hexdigest()[:16] if token else ""
    return {"token": digest, "problem": problem, "seconds": seconds, "is_winner": bool(saved)}


def herd(connection_id: str, threads: str) -> None:
    """Let many threads, which have used the token before, ask at the same moment."""
    from django.db import connection as database

    count = int(threads)
    barrier, over = threading.Barrier(count + 1), threading.Event()
    found: list[dict[str, Any]] = []

    def one(_: int) -> None:
        get(connection_id)
        found.append(get(connection_id, begin=barrier.wait))
        # To end takes much of the processor, which the others still need.
        over.wait()
        database.close()

    with ThreadPoolExecutor(count) as pool:
        running = [pool.submit(one, n) for n in range(count)]
        while barrier.n_waiting < count:
            time.sleep(0.01)
        report("ready")
        sys.stdin.readline()
        barrier.wait()
        while len(found) < count:
            time.sleep(0.01)
        report(found)
        sys.stdin.readline()
        over.set()
        for future in running:
            future.result()


def rounds(connection_id: str, threads: str) -> None:
    """Let many threads ask for three APIs at once, each time that a line is read."""
    from django.db import connection as database
    from django.db import transaction

    from infisical_azure import tokens
    from infisical_azure.exceptions import TokenUnavailableError
    from infisical_azure.models import AppConnection
    from infisical_azure.resources import Resource

    count, resources = int(threads), list(Resource)
    barrier = threading.Barrier(count)

    def ask(number: int) -> str:
        barrier.wait()
        try:
            # One of them is in the middle of something else.
            with transaction.atomic() if number == 0 else nullcontext():
                connection = AppConnection.objects.get(pk=connection_id)
                tokens.get_token(connection, resources[number % 3])
        except TokenUnavailableError as error:
            return error.problem
        return ""

    def end(_: int) -> None:
        barrier.wait()
        database.close()

    with ThreadPoolExecutor(count) as pool:
        report("ready")
        while sys.stdin.readline() == "go\n":
            report(list(pool.map(ask, range(count))))
        list(pool.map(end, range(count)))


def one(connection_id: str, stop_at_save: str = "") -> None:
    """Ask once; perhaps be stopped between Microsoft's reply and the commit."""

    def stop() -> None:
        os.kill(os.getpid(), signal.SIGSTOP)

    report("ready")
    report(get(connection_id, at_save=stop if stop_at_save else lambda: None))


def dying(*connection_ids: str) -> None:
    """
    Refresh each connection over and over in a process that is killed at random.

    Every other one is killed at random within the milliseconds between Microsoft's
    reply and the commit, the rest anywhere. Reports how many were killed in between.
    """
    for index, connection_id in enumerate(connection_ids):
        heard, told = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(heard)
            refresh_for_ever(connection_id, lambda told=told: os.write(told, b"."))
        os.close(told)
        os.read(heard, 1)  # It is under way: once warm, and once more.
        os.read(heard, 1)
        time.sleep(random.uniform(0, 0.006 if index % 2 else 0.06))  # noqa: S311
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(heard)
    report("done")


def refresh_for_ever(connection_id: str, say_reply_is_here: Callable[[], object]) -> None:
    from datetime import timedelta

    from django.utils import timezone

    from infisical_azure.models import AccessToken

    while True:
        past = timezone.now() - timedelta(minutes=5)
        AccessToken.objects.filter(connection=connection_id).update(
            issued_at=past - timedelta(hours=1), refresh_at=past, expires_at=past
        )
        get(connection_id, at_save=say_reply_is_here)


def main(name: str, *arguments: str) -> None:
    os.environ["OAUTHLIB_INSECURE_TRANSPORT"] = "1"
    django.setup()
    {"herd": herd, "rounds": rounds, "one": one, "dying": dying}[name](*arguments)


if __name__ == "__main__":
    main(*sys.argv[1:])
