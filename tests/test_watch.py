"""Watching: directories are read whole, remembered, and told of, once."""

from __future__ import annotations

import io
import json
import logging
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.contrib.auth.models import User
from django.core import mail
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connections
from django.db import connection as database
from django.db.models import Model
from django.test import Client
from django.utils import timezone

from infisical_azure import watch
from infisical_azure.checks import check_own_secret
from infisical_azure.models import AppConnection, RefreshToken, Rotation, WatchedSecret
from infisical_azure.own_secret import own_secret_expiry
from infisical_azure.signals import secret_expiring

from .celery_app import app
from .conftest import Browser
from .held_tokens import expire
from .hostapp.host import add_member, make_organization, remove_member
from .microsoft import (
    APPLICATION,
    CLIENT_ID,
    GRAPH,
    Microsoft,
    application,
    client_secret,
    error,
)
from .test_notices import BASE

pytestmark = pytest.mark.django_db
NEXT = f"{GRAPH}/v1.0/applications?$select=id&$skiptoken=RFNwdAIAAQ"
OWN_HINT = "CAN"  # Of the client secret in the tests' settings.


class CaringHost(BASE):  # type: ignore[misc,valid-type]
    """Names people."""

    def get_recipients(self, organization: Model, connection: Model) -> Sequence[str]:
        return ["owner@site.example"]


class CarelessHost(BASE):  # type: ignore[misc,valid-type]
    """Breaks when it is asked for people."""

    def get_recipients(self, organization: Model, connection: Model) -> Sequence[str]:
        raise KeyError("CANARY")


@pytest.fixture
def caring(settings: Any) -> None:
    settings.INFISICAL_AZURE = {
        **settings.INFISICAL_AZURE, "HOST": "tests.test_watch.CaringHost",
    }  # fmt: skip


def key(number: int) -> str:
    return f"99999999-9999-4999-8999-{number:012d}"


def secret(number: int, days: float = 100.5, **more: Any) -> dict[str, Any]:
    return client_secret(f"secret-{number}", days, keyId=key(number), **more)


def show(microsoft: Microsoft, *pages: dict[str, Any]) -> None:
    """Have Graph answer with these pages, one after the other and again from the first."""
    left = list(pages)

    def turn() -> None:
        microsoft.applications = left.pop(0)
        left.append(microsoft.applications)

    microsoft.before["applications"] = turn


def page_with(*secrets: dict[str, Any], more: bool = False) -> dict[str, Any]:
    link = {"@odata.nextLink": NEXT} if more else {}
    return {"value": [application("HR", *secrets)], **link}


def names() -> list[str]:
    return sorted(WatchedSecret.objects.values_list("name", flat=True))


def later(**more: float) -> Any:
    return time_machine.travel(timezone.now() + timedelta(**more))


# Reading


def test_every_page_is_read_and_remembered(
    connection: AppConnection, microsoft: Microsoft, django_assert_max_num_queries: Any
) -> None:
    show(
        microsoft,
        page_with(secret(1), secret(2, endDateTime=None, hint=None), more=True),
        {"value": [], "@odata.nextLink": NEXT},
        page_with(secret(3), secret(3)),
    )
    with django_assert_max_num_queries(20):
        summary = watch.watch(connection)
    assert (summary.watched, summary.failed, summary.secrets) == (1, 0, 3)
    assert next(request.url for _, request in microsoft.requests).count("top=100") == 1
    assert names() == ["secret-1", "secret-2", "secret-3"]
    row = WatchedSecret.objects.get(name="secret-1")
    assert (str(row.key_id), row.hint, row.application_name) == (key(1), "CAN", "HR")
    assert (str(row.application_id), str(row)) == (APPLICATION, "secret-1 of HR")
    assert row.starts_at
    assert row.expires_at
    assert WatchedSecret.objects.get(name="secret-2").expires_at is None
    connection.refresh_from_db()
    assert connection.watched_at


def test_page_costs_the_same_however_much_it_holds(
    connection: AppConnection, microsoft: Microsoft, django_assert_max_num_queries: Any
) -> None:
    show(microsoft, page_with(*map(secret, range(90))))
    with django_assert_max_num_queries(12):
        watch.watch(connection)
    assert WatchedSecret.objects.count() == 90


def test_what_has_changed_is_taken_over_and_what_is_gone_forgotten(
    connection: AppConnection, microsoft: Microsoft
) -> None:
    show(microsoft, page_with(secret(1), secret(2)))
    watch.watch(connection)
    kept = WatchedSecret.objects.get(name="secret-1").pk
    show(microsoft, page_with(secret(1, displayName="renamed"), secret(3)))
    watch.watch(connection)
    assert names() == ["renamed", "secret-3"]
    assert WatchedSecret.objects.get(name="renamed").pk == kept


@pytest.mark.parametrize(
    "broken",
    [
        {"value": [], "@odata.nextLink": "https://evil.example/v1.0/applications?x"},
        {"value": None},
        {},
    ],
)
def test_list_without_its_end_deletes_nothing(
    connection: AppConnection, microsoft: Microsoft, broken: dict[str, Any]
) -> None:
    show(microsoft, page_with(secret(1)), page_with(secret(2), more=True), broken)
    watch.watch(connection)
    read_at = AppConnection.objects.get().watched_at
    assert watch.watch(connection).failed == 1
    assert names() == ["secret-1", "secret-2"]
    assert AppConnection.objects.get().watched_at == read_at


def test_page_that_fails_half_way_deletes_nothing(
    connection: AppConnection, microsoft: Microsoft, caplog: pytest.LogCaptureFixture
) -> None:
    show(microsoft, page_with(secret(1)))
    watch.watch(connection)

    def fail_after_one() -> None:
        microsoft.applications = page_with(secret(2), more=True)
        if microsoft.count("applications") > before + 1:
            microsoft.fail("applications", 403, {"error": {"code": "Denied", "message": "CANARY"}})

    before = microsoft.count("applications")
    microsoft.before["applications"] = fail_after_one
    with caplog.at_level(logging.WARNING, "infisical_azure"):
        assert watch.watch(connection).failed == 1
    assert names() == ["secret-1", "secret-2"]
    assert str(connection.pk) in caplog.text
    assert "Denied" in caplog.text
    assert "CANARY" not in caplog.text
    assert "production" not in caplog.text


def test_list_that_never_ends_is_left(
    connection: AppConnection, microsoft: Microsoft, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "_MOST_PAGES", 3)
    show(microsoft, page_with(secret(1), more=True))
    assert watch.watch(connection).failed == 1
    assert microsoft.count("applications") == 3


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("problem", ["database", "keys"])
def test_what_fails_here_is_logged_by_kind(
    connection: AppConnection,
    microsoft: Microsoft,
    caplog: pytest.LogCaptureFixture,
    settings: Any,
    problem: str,
) -> None:
    def fail(execute: Any, sql: str, *args: Any) -> Any:
        if sql.startswith('INSERT INTO "infisical_azure_watchedsecret"'):
            raise DatabaseError("CANARY")
        return execute(sql, *args)

    if problem == "keys":
        settings.FERNET_KEYS = "no list"
    with database.execute_wrapper(fail), caplog.at_level(logging.WARNING, "infisical_azure"):
        assert watch.watch(connection).failed == 1
    assert f"{connection.pk} was not watched: " in caplog.text
    assert "CANARY" not in caplog.text


def test_connection_without_access_leaves_what_is_known(
    connection: AppConnection, microsoft: Microsoft
) -> None:
    watch.watch(connection)
    expire()
    microsoft.fail("token", 400, error(50173))
    assert watch.watch(connection).failed == 1
    assert names() == ["ci"]


# Whose turn it is


def test_directory_is_read_once_per_interval(
    connection: AppConnection, microsoft: Microsoft
) -> None:
    assert watch.watch_due().watched == 1
    assert watch.watch_due().as_dict()["watched"] == 0
    with later(hours=5, minutes=59):
        assert watch.watch_due().watched == 0
    with later(hours=6, minutes=1):
        assert watch.watch_due().watched == 1


def test_directory_whose_reader_died_is_read_an_hour_later(
    connection: AppConnection, microsoft: Microsoft
) -> None:
    def die() -> None:
        raise SystemExit

    microsoft.before["applications"] = die
    with pytest.raises(SystemExit):
        watch.watch_due()
    microsoft.before.clear()
    assert watch.watch_due().watched == 0
    with later(minutes=61):
        assert watch.watch_due().watched == 1


@pytest.mark.parametrize(("status", "again"), [(503, True), (403, False)])
def test_failure_is_tried_again_soon_where_that_may_help(
    connection: AppConnection, microsoft: Microsoft, status: int, again: bool
) -> None:
    microsoft.fail("applications", status, {"error": {"code": "Odd"}})
    assert watch.watch_due().failed == 1
    assert watch.watch_due().failed == 0
    with later(minutes=16):
        assert watch.watch_due().failed == again


def test_reconnecting_makes_it_due(
    browser: Browser,
    connection: AppConnection,
    microsoft: Microsoft,
    django_capture_on_commit_callbacks: Any,
) -> None:
    watch.watch_due()
    form = {"tenant": str(connection.tenant_id)}
    response = browser.post(browser.url("connection_reconnect", connection.pk), form)
    assert response.context
    query = dict(
        part.split("=", 1)
        for part in response.context["authorization_url"].split("?")[1].split("&")
    )
    microsoft.nonce = query["nonce"]
    with django_capture_on_commit_callbacks(execute=True):
        assert browser.come_back({"state": query["state"]}).status_code == 303
    assert watch.watch_due().watched == 1


def test_reconnect_during_a_reading_asks_for_another(
    connection: AppConnection, microsoft: Microsoft
) -> None:
    def reconnect() -> None:
        microsoft.before.clear()
        AppConnection.objects.update(watch_due_at=None)

    microsoft.before["applications"] = reconnect
    assert watch.watch_due().watched == 1
    assert watch.watch_due().watched == 1


def test_two_processes_read_a_directory_once(
    connection: AppConnection, microsoft: Microsoft
) -> None:
    def claim(execute: Any, sql: str, *args: Any) -> Any:
        if sql.startswith('UPDATE "infisical_azure_appconnection"') and not others:
            others.append(None)
            others[0] = watch.watch_one(connection.pk)
        return execute(sql, *args)

    others: list[Any] = []
    with database.execute_wrapper(claim):
        mine = watch.watch_due()
    assert (mine.watched, mine.skipped, others[0].watched) == (0, 1, 1)
    assert microsoft.count("applications") == 1


def test_of_many_at_once_one_reads(committed: None, microsoft: Microsoft) -> None:
    organization = make_organization("Tailspin Toys")
    user = User.objects.create_user("ada", "ada@site.example", "pass")
    add_member(organization, user)
    Browser(user, organization, microsoft).connect()
    pk = AppConnection.objects.get().pk
    together = threading.Barrier(4)

    def race(_: int) -> tuple[int, int]:
        together.wait()
        try:
            summary = watch.watch_one(pk)
        finally:
            connections.close_all()
        return summary.watched, summary.skipped

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(race, range(4))) == [(0, 1), (0, 1), (0, 1), (1, 0)]
    assert microsoft.count("applications") == 1


def test_row_that_a_later_reader_has_stamped_is_not_forgotten_by_an_earlier_one(
    connection: AppConnection, microsoft: Microsoft
) -> None:
    def other_reads() -> None:
        microsoft.before.clear()
        microsoft.applications = page_with(secret(1), secret(2))
        watch.watch(connection)
        microsoft.applications = page_with(secret(1))

    microsoft.before["applications"] = other_reads
    watch.watch(connection)
    assert names() == ["secret-1", "secret-2"]


def test_all_batches_are_read_until_told_to_stop(
    connection: AppConnection, microsoft: Microsoft, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "_BATCH", 2)
    values = {f.attname: getattr(connection, f.attname) for f in connection._meta.concrete_fields}
    for number in range(4):
        AppConnection.objects.create(**{**values, "id": None, "name": f"copy-{number}"})
    assert len(set(watch.due())) == len(list(watch.due())) == 5
    stop = threading.Event()
    stop.set()
    summary = watch.watch_due(stop=stop)
    assert (summary.watched, summary.failed) == (0, 0)
    summary = watch.watch_due()  # The copies have no token.
    assert (summary.watched, summary.failed) == (1, 4)


def test_connection_that_is_gone_is_skipped(connection: AppConnection) -> None:
    pk = connection.pk
    connection.delete()
    assert watch.watch_one(pk).skipped == 1


# Telling


def tell(connection: AppConnection, microsoft: Microsoft, *secrets: dict[str, Any]) -> None:
    show(microsoft, page_with(*secrets))
    watch.watch(connection)


def test_each_threshold_is_told_once(
    caring: None, connection: AppConnection, microsoft: Microsoft
) -> None:
    heard: list[Any] = []

    def hear(connection: AppConnection, secrets: Any, days: int, **kwargs: Any) -> None:
        heard.append((days, [one.name for one in secrets]))

    secret_expiring.connect(hear)
    secrets = [secret(1, 40.5), secret(2, 29.5), secret(3, 6.5), secret(4, 0.5), secret(5, -1.5)]
    secrets += [secret(6, -8), secret(7, endDateTime=None)]
    try:
        tell(connection, microsoft, *secrets)
        tell(connection, microsoft, *secrets)
        assert heard == [(1, ["secret-5", "secret-4"]), (7, ["secret-3"]), (30, ["secret-2"])]
        heard.clear()
        with later(days=11):
            tell(connection, microsoft, *secrets)
        assert heard == [(1, ["secret-3"]), (30, ["secret-1"])]
        heard.clear()
        with later(days=23):
            tell(connection, microsoft, *secrets)
        assert heard == [(7, ["secret-2"])]
    finally:
        secret_expiring.disconnect(hear)
    assert len(mail.outbox) == 3


@pytest.mark.parametrize(
    ("changes", "state", "tells"),
    [
        ({}, "current", False),
        ({}, "retiring", False),
        ({"problem": "ForbiddenByRbac"}, "current", True),
        ({"problem": "ForbiddenByRbac"}, "retiring", False),
        ({"paused_at": 0}, "current", True),
        ({"due_at": -2}, "current", True),
        # One that was given up may be in use.
        ({"paused_at": 0}, "given up", True),
    ],
)
def test_rotation_at_work_needs_no_warning(
    caring: None,
    browser: Browser,
    rotation: Rotation,
    microsoft: Microsoft,
    changes: dict[str, Any],
    state: str,
    tells: bool,
) -> None:
    now = timezone.now()
    days = {name: now + timedelta(days=at) for name, at in changes.items() if name != "problem"}
    Rotation.objects.update(**{"due_at": now + timedelta(days=5), **changes, **days})
    rotation.secrets.create(
        state="current" if state == "current" else "retiring",
        key_id=key(1),
        retire_at=None if state == "given up" else now,
    )
    tell(rotation.connection, microsoft, secret(1, 6.5))
    assert len(mail.outbox) == tells
    assert "Rotated here" in browser.get(browser.url("secret_expiring_list")).content.decode()


def test_mail_lists_all_of_a_connection(
    caring: None, browser: Browser, connection: AppConnection, microsoft: Microsoft
) -> None:
    tell(connection, microsoft, secret(1, 29.5), secret(2, -0.5), secret(3, 300))
    (message,) = mail.outbox
    assert message.subject == "Azure connection production: 2 client secrets expire"
    assert message.to == ["owner@site.example"]
    (html,) = message.alternatives  # type: ignore[attr-defined]
    for text in (str(message.body), html[0]):
        assert text.index("Expired today") < text.index("Expires in 29 days")
        assert "HR" in text
        assert "secret-1" in text
        assert "secret-3" not in text
        assert f"https://site.example{browser.url('secret_expiring_list')}" in text
        assert "The directory was last read on" in text
        assert "CAN" not in text
    assert "more" not in str(message.body)


def test_long_mail_ends_somewhere(
    caring: None, connection: AppConnection, microsoft: Microsoft
) -> None:
    tell(connection, microsoft, *(secret(number, 20.5) for number in range(203)))
    (message,) = mail.outbox
    assert "and 3 more" in str(message.body)
    assert not WatchedSecret.objects.filter(warned_days=None).exists()


def test_renewed_secret_counts_anew(
    caring: None, connection: AppConnection, microsoft: Microsoft
) -> None:
    tell(connection, microsoft, secret(1, 5.5))
    tell(connection, microsoft, secret(2, 25.5))
    assert [m.subject for m in mail.outbox] == [
        "Azure connection production: 1 client secret expires"
    ] * 2


def test_known_secret_is_told_of_though_the_directory_can_not_be_read(
    caring: None, connection: AppConnection, microsoft: Microsoft
) -> None:
    tell(connection, microsoft, secret(1, 31.5))
    assert mail.outbox == []
    microsoft.fail("applications", 503, "")
    with later(days=2):
        assert watch.watch(connection).failed == 1
    assert len(mail.outbox) == 1


def test_warning_that_could_not_be_sent_is_sent_with_the_next_reading(
    caring: None, connection: AppConnection, microsoft: Microsoft, settings: Any, caplog: Any
) -> None:
    working = settings.INFISICAL_AZURE
    settings.INFISICAL_AZURE = {**working, "HOST": "tests.test_watch.CarelessHost"}
    show(microsoft, page_with(secret(1, 5.5)))
    assert watch.watch(connection).watched == 1
    assert f"Nobody was told of client secrets of connection {connection.pk}" in caplog.text
    assert WatchedSecret.objects.get().warned_days is None
    settings.INFISICAL_AZURE = working
    watch.watch(connection)
    assert len(mail.outbox) == 1
    assert WatchedSecret.objects.get().warned_days == 7


def test_nobody_is_told_where_no_threshold_is_set(
    caring: None, connection: AppConnection, microsoft: Microsoft, settings: Any
) -> None:
    settings.INFISICAL_AZURE = {**settings.INFISICAL_AZURE, "EXPIRY_WARNINGS": []}
    tell(connection, microsoft, secret(1, 0.5))
    assert mail.outbox == []


# The command and the task


def run(*arguments: str) -> str:
    out = io.StringIO()
    call_command("infisical_azure_watch", *arguments, stdout=out)
    return out.getvalue()


def test_command_says_what_it_did(connection: AppConnection) -> None:
    assert run("--once").startswith("1 watched with 1 client secrets, 0 failed, 0 skipped in ")
    summary = json.loads(run("--json"))
    assert summary.pop("seconds") >= 0
    assert summary == {"watched": 0, "failed": 0, "skipped": 0, "secrets": 0}


def test_command_fails_when_a_directory_could_not_be_read(
    connection: AppConnection, microsoft: Microsoft
) -> None:
    microsoft.fail("applications", 503, "")
    with pytest.raises(CommandError, match=r"^1 of them failed; see the log"):
        run()


def test_task_watches_each_connection_that_is_due(
    connection: AppConnection, microsoft: Microsoft
) -> None:
    tasks = pytest.importorskip("infisical_azure.tasks")
    app.conf.update(task_always_eager=True, task_eager_propagates=True)
    try:
        tasks.watch_due.delay()
        tasks.watch_due.delay()
        assert tasks.watch_connection.delay(str(connection.pk)).get()["skipped"] == 1
    finally:
        app.conf.update(task_always_eager=False, task_eager_propagates=False)
    assert microsoft.count("applications") == 1


# The secret of this site itself


def own(days: float, hint: str | None = OWN_HINT) -> dict[str, Any]:
    return {"value": [application("Site", secret(1, days, hint=hint)) | {"appId": CLIENT_ID}]}


def ids() -> list[str | None]:
    return [message.id for message in check_own_secret(None, databases=["default"])]


@pytest.mark.parametrize(
    ("days", "hint", "words"),
    [
        (20.5, OWN_HINT, "Expires in 20 days"),
        (-3.5, OWN_HINT, "Expired 3 days ago"),
        (31, OWN_HINT, ""),
        (20.5, "xyz", ""),
        (20.5, None, ""),
    ],
)
def test_end_of_the_sites_own_secret_is_told(
    browser: Browser,
    connection: AppConnection,
    microsoft: Microsoft,
    days: float,
    hint: str | None,
    words: str,
) -> None:
    microsoft.applications = own(days, hint)
    watch.watch(connection)
    in_list = browser.get(browser.url("connection_list")).content.decode()
    staff = Client()
    staff.force_login(User.objects.create_superuser("root"))
    in_admin = staff.get("/admin/infisical_azure/appconnection/").content.decode()
    assert (f"The client secret of this site itself: {words}" in in_list) == bool(words)
    assert (f"signs in at Microsoft: {words}" in in_admin) == bool(words)
    assert ids() == (["infisical_azure.W009"] if words else [])
    assert (own_secret_expiry() is not None) == (hint == OWN_HINT)


def test_people_who_may_not_act_do_not_read_it(
    browser: Browser, connection: AppConnection, microsoft: Microsoft
) -> None:
    microsoft.applications = own(1)
    watch.watch(connection)
    url = browser.url("connection_list")
    assert "INF_APP_CONNECTION" in browser.get(url).content.decode()
    remove_member(browser.organization, browser.user)
    add_member(browser.organization, browser.user, "view")
    assert "INF_APP_CONNECTION" not in browser.get(url).content.decode()


@pytest.mark.parametrize("name", ["CLIENT_ID", "CLIENT_SECRET"])
def test_unset_client_has_no_secret_that_ends(
    connection: AppConnection, microsoft: Microsoft, settings: Any, name: str
) -> None:
    microsoft.applications = own(1)
    watch.watch(connection)
    setattr(settings, f"INF_APP_CONNECTION_AZURE_{name}", "")
    assert own_secret_expiry() is None


def test_check_asks_the_database_only_when_told(
    connection: AppConnection, django_assert_num_queries: Any
) -> None:
    with django_assert_num_queries(0):
        assert check_own_secret(None) == []
        assert check_own_secret(None, databases=["elsewhere"]) == []


def test_check_before_the_first_migrate_finds_nothing(connection: AppConnection) -> None:
    def fail(execute: Any, sql: str, *args: Any) -> Any:
        if "watchedsecret" in sql:
            raise DatabaseError("no such table")
        return execute(sql, *args)

    with database.execute_wrapper(fail):
        assert ids() == []


def test_check_is_bound(connection: AppConnection, microsoft: Microsoft) -> None:
    microsoft.applications = own(1)
    watch.watch(connection)
    out = io.StringIO()
    call_command("check", databases=["default"], stderr=out)
    assert "infisical_azure.W009" in out.getvalue()
    assert "CANARY" not in out.getvalue()
    assert RefreshToken.objects.exists()
