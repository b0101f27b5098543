"""Upkeep: what is due is refreshed once, counted and reported, until told to stop."""

from __future__ import annotations

import io
import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from datetime import timedelta
from itertools import islice
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import OperationalError
from django.db import connection as database
from django.utils import timezone

from infisical_azure import upkeep
from infisical_azure.models import AccessToken, AppConnection, RefreshToken

from .conftest import Browser
from .database import url
from .hostapp.host import add_member, make_organization
from .microsoft import Microsoft, error


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def connections(committed: None, microsoft: Microsoft) -> list[AppConnection]:
    """Three connections that are due, and one that is not."""
    organization = make_organization("Tailspin Toys")
    user = User.objects.create_user("ada", "ada@site.example", "pass")
    add_member(organization, user)
    browser = Browser(user, organization, microsoft)
    for number in range(4):
        browser.connect(name=f"number-{number}")
    microsoft.requests.clear()
    microsoft.token = {"refresh_token": "CANARY-newer"}
    made = list(AppConnection.objects.order_by("name"))
    for number, one in enumerate(made[:3]):
        due_at = timezone.now() - timedelta(minutes=number + 1)
        RefreshToken.objects.filter(pk=one.pk).update(due_at=due_at)
    return made


def test_row_that_somebody_else_has_claimed_since_is_left_to_them(
    connections: list[AppConnection], microsoft: Microsoft
) -> None:
    def claim(execute: Any, sql: str, *args: Any) -> Any:
        if sql.startswith('UPDATE "infisical_azure_refreshtoken"') and not claimed:
            claimed.append(True)
            row = RefreshToken.objects.get(pk=connections[0].pk)
            assert RefreshToken.objects.claim(row, timedelta(minutes=1))
        return execute(sql, *args)

    claimed: list[bool] = []
    with database.execute_wrapper(claim):
        assert upkeep.refresh_one(connections[0].pk) == "skipped"
    assert microsoft.requests == []


def test_due_ones_are_refreshed_and_others_left_alone(
    connections: list[AppConnection], microsoft: Microsoft
) -> None:
    summary = upkeep.refresh_due()
    assert (summary.refreshed, summary.failed, summary.skipped) == (3, 0, 0)
    assert summary.seconds > 0
    assert microsoft.count("token") == 3
    newer = [
        row.secret.reveal() == "CANARY-newer" for row in RefreshToken.objects.order_by("fence")
    ]
    assert newer == [False, True, True, True]
    assert upkeep.refresh_due().refreshed == 0


def test_longest_overdue_comes_first_and_each_once(
    connections: list[AppConnection], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "_BATCH", 1)
    longest_first = [one.pk for one in reversed(connections[:3])]
    found = []
    for connection_id in upkeep.due():
        found.append(connection_id)
        assert upkeep.refresh_one(connection_id) == "refreshed"
    assert found == longest_first
    assert upkeep.refresh_one(longest_first[0]) == "skipped"


def test_those_that_wait_for_their_turn_are_yielded_once(
    connections: list[AppConnection], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "_BATCH", 1)
    RefreshToken.objects.update(due_at=timezone.now())  # All at the same time.
    found = list(islice(upkeep.due(), 9))
    assert (len(found), len(set(found))) == (4, 4)


def test_connection_that_another_holds_is_skipped(
    connections: list[AppConnection], microsoft: Microsoft
) -> None:
    lease_until = timezone.now() + timedelta(minutes=1)
    RefreshToken.objects.filter(pk=connections[0].pk).update(lease_until=lease_until)
    assert upkeep.refresh_one(connections[0].pk) == "skipped"
    assert connections[0].pk not in list(upkeep.due())
    assert microsoft.requests == []


def test_failure_is_counted_logged_and_paused(
    connections: list[AppConnection], microsoft: Microsoft, caplog: pytest.LogCaptureFixture
) -> None:
    microsoft.fail("token", 503, "<html>")
    with caplog.at_level(logging.WARNING, "infisical_azure"):
        summary = upkeep.refresh_due(workers=2)
    assert (summary.refreshed, summary.failed) == (0, 3)
    assert len(caplog.records) == 3
    assert str(connections[0].pk) in caplog.text
    assert "CANARY" not in caplog.text
    assert upkeep.refresh_due().as_dict()["failed"] == 0


def test_failing_database_stops_one_and_not_the_rest(
    connections: list[AppConnection], caplog: pytest.LogCaptureFixture
) -> None:
    def fail(execute: Any, sql: str, *args: Any) -> Any:
        if sql.startswith('UPDATE "infisical_azure_accesstoken"'):
            raise OperationalError("CANARY")
        return execute(sql, *args)

    with database.execute_wrapper(fail):
        assert upkeep.refresh_one(connections[0].pk) == "failed"
    assert upkeep.refresh_one(connections[1].pk) == "refreshed"
    assert f"{connections[0].pk} was not refreshed: " in caplog.text
    assert "CANARY" not in caplog.text


def test_no_more_is_begun_than_workers_can_take(connections: list[AppConnection]) -> None:
    ticks: list[int] = []
    summary = upkeep.refresh_due(workers=1, tick=lambda done: ticks.append(done.total()))
    assert summary.refreshed == 3
    assert ticks == [1, 2, 3]


def test_stop_lets_what_is_under_way_end(connections: list[AppConnection]) -> None:
    stop = threading.Event()

    def stop_after_first(done: Counter[str]) -> None:
        stop.set()

    summary = upkeep.refresh_due(workers=1, tick=stop_after_first, stop=stop)
    assert summary.refreshed == 2  # The second was under way.
    assert RefreshToken.objects.due(timezone.now()).count() == 1


def test_unused_connection_is_kept_alive_long_before_its_end(
    connections: list[AppConnection],
) -> None:
    unused, used = connections[:2]
    AccessToken.objects.filter(connection=used).update(used_at=timezone.now())
    upkeep.refresh_due()
    rows = RefreshToken.objects.in_bulk()
    left = rows[unused.pk].expires_at - rows[unused.pk].due_at
    assert timedelta(days=30) <= left <= timedelta(days=31)
    assert rows[used.pk].due_at - timezone.now() < timedelta(hours=2)


# The command


def run(*arguments: str, terminal: bool = False) -> str:
    out = Terminal() if terminal else io.StringIO()
    call_command("infisical_azure_refresh", *arguments, stdout=out)
    return out.getvalue()


def test_command_runs_once_and_says_what_it_did(connections: list[AppConnection]) -> None:
    assert run().startswith("3 refreshed, 0 failed, 0 skipped in 0.")
    assert run("--once", "--workers", "2").startswith("0 refreshed")


def test_command_prints_json(connections: list[AppConnection]) -> None:
    summary = json.loads(run("--json"))
    assert summary.pop("seconds") >= 0
    assert summary == {"refreshed": 3, "failed": 0, "skipped": 0}


def test_command_shows_progress_on_a_terminal_only(
    connections: list[AppConnection], microsoft: Microsoft
) -> None:
    first = connections[0]
    values = {f.attname: getattr(first, f.attname) for f in AppConnection._meta.concrete_fields}
    secret = RefreshToken.objects.get(pk=first.pk).secret
    for number in range(8):
        copy = AppConnection.objects.create(**{**values, "id": None, "name": f"copy-{number}"})
        RefreshToken.objects.create(
            connection=copy,
            secret=secret,
            expires_at=timezone.now() + timedelta(days=80),
            due_at=timezone.now(),
        )
    shown = run("--workers", "1", terminal=True)
    assert shown.startswith("\r10 done\r11 refreshed, 0 failed")
    assert "\r" not in run()


def test_command_fails_when_a_connection_did(
    connections: list[AppConnection], microsoft: Microsoft
) -> None:
    microsoft.fail("token", 400, error(50173))
    with pytest.raises(CommandError, match=r"^3 of them failed; see the log"):
        run()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--workers", "0"], "--workers must be at least 1"),
        (["--loop", "0"], "--loop must be at least 1 second"),
        (["--loop", "5", "--once"], "not allowed with argument"),
        (["--loop", "often"], "invalid int value"),
    ],
)
def test_command_refuses_what_makes_no_sense(arguments: list[str], message: str) -> None:
    with pytest.raises(CommandError, match=message):
        run(*arguments)


class Reader(io.StringIO):
    """Read the summaries, have one more due after the first and end after the second."""

    def __init__(self, connection: AppConnection) -> None:
        super().__init__()
        self.connection = connection

    def write(self, text: str) -> int:
        if self.getvalue():
            os.kill(os.getpid(), signal.SIGTERM)
        row = RefreshToken.objects.filter(pk=self.connection.pk)
        row.update(due_at=timezone.now(), next_try_at=None)
        return super().write(text)


def test_loop_runs_again_and_ends_at_sigterm(connections: list[AppConnection]) -> None:
    out = Reader(connections[0])
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        call_command("infisical_azure_refresh", "--loop", "1", stdout=out)
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    lines = out.getvalue().splitlines()
    assert [line.split(",")[0] for line in lines] == ["3 refreshed", "1 refreshed"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_loop_of_a_process_ends_cleanly(committed: None, number: signal.Signals) -> None:
    command = [sys.executable, "-m", "django", "infisical_azure_refresh", "--loop", "60", "--json"]
    environment = {
        **os.environ,
        "DATABASE_URL": url(),
        "DJANGO_SETTINGS_MODULE": "tests.settings",
        "PYTHONUNBUFFERED": "1",
    }
    with subprocess.Popen(
        command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout
        assert json.loads(process.stdout.readline())["failed"] == 0
        process.send_signal(number)
        _, errors = process.communicate(timeout=10)
    assert (process.returncode, errors) == (0, "")
