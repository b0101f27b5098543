"""What people want of a rotation while a process works on it is not lost."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.core.exceptions import ObjectDoesNotExist
from django.db import OperationalError, connections
from django.utils import timezone

from infisical_azure import rotation as engine
from infisical_azure.anew import raised_anew
from infisical_azure.models import AppConnection, Destination, RotatedSecret, Rotation
from infisical_azure.signals import rotation_failed, rotation_recovered
from infisical_azure.workers import threads

from .conftest import Browser
from .database import meanwhile
from .microsoft import Microsoft
from .rotations import DAY, Azure, act, advance, later, listen, refer, states, url
from .test_destinations import change, deliver_to, look, remove

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("hooks")]
HOST = "tests.test_watch.CaringHost"


def once(microsoft: Microsoft, call: str, wish: Callable[[], object]) -> None:
    """Let somebody want something while Microsoft is asked this, the next time."""
    before = microsoft.before.get(call, bool)

    def act_once() -> None:
        microsoft.before[call] = before
        before()
        wish()

    microsoft.before[call] = act_once


def test_destination_that_is_added_during_the_last_delivery_gets_the_same_one(
    browser: Browser, rotation: Rotation, azure: Azure, microsoft: Microsoft
) -> None:
    once(microsoft, "vault_set", lambda: deliver_to(browser, rotation, name="late"))
    advance(rotation)
    (secret,) = rotation.secrets.all()
    assert set(rotation.destinations.values_list("delivered", flat=True)) == {secret.pk}
    assert secret.state == "current"


def test_destination_that_keeps_failing_is_not_waited_for_once_it_is_removed(
    browser: Browser, rotation: Rotation, azure: Azure, microsoft: Microsoft
) -> None:
    rotation.destinations.create(kind="hook", place="vaulty", name="jobs")
    Rotation.objects.update(failures=8)
    microsoft.fail("vault_set", None, ConnectionError("no such host"))
    vault = rotation.destinations.get(kind="key-vault")
    once(microsoft, "vault_set", lambda: remove(browser, vault))
    advance(rotation, "skipped")
    assert rotation.wake_at
    assert rotation.wake_at <= timezone.now()
    assert rotation.problem == ""
    advance(rotation)


def test_one_that_is_wanted_during_a_failure_is_tried_at_once_and_told_of_anew(
    browser: Browser, rotation: Rotation, azure: Azure, microsoft: Microsoft
) -> None:
    heard = listen(rotation_failed)
    microsoft.fail("vault_set", 403, {})
    advance(rotation, "failed")
    once(microsoft, "vault_set", lambda: engine.rotate_now(rotation, browser.user))
    advance(rotation, "skipped")
    assert rotation.wake_at
    assert rotation.wake_at <= timezone.now()
    assert len(heard) == 1
    advance(rotation, "failed")
    assert len(heard) == 2
    advance(rotation, "failed")
    assert len(heard) == 2


def test_one_that_is_wanted_while_another_is_waited_for_begins_at_once(
    browser: Browser, rotation: Rotation, azure: Azure, microsoft: Microsoft
) -> None:
    advance(rotation)
    engine.rotate_now(rotation, browser.user)
    advance(rotation)
    with later(minutes=2):
        RotatedSecret.objects.filter(state="retiring").update(retire_at=timezone.now())
        azure.is_shown = False
        once(microsoft, "application", lambda: engine.rotate_now(rotation, browser.user))
        advance(rotation, "waiting")
        assert rotation.wake_at
        assert rotation.wake_at <= timezone.now()
        advance(rotation, "waiting")
    assert states(rotation) == ["retiring", "retiring", "current"]


def test_rotation_that_stops_itself_heeds_who_resumes_it_meanwhile(
    browser: Browser, rotation: Rotation, azure: Azure, microsoft: Microsoft
) -> None:
    microsoft.fail("add_password", 404, {"error": {"code": "Request_ResourceNotFound"}})
    advance(rotation, "failed")
    once(microsoft, "add_password", lambda: engine.rotate_now(rotation, browser.user))
    advance(rotation, "skipped")
    assert not rotation.is_paused
    assert rotation.wake_at


def test_recovery_is_told_of_when_a_person_brought_it_about(
    browser: Browser, rotation: Rotation, azure: Azure, microsoft: Microsoft
) -> None:
    failed, recovered = listen(rotation_failed), listen(rotation_recovered)
    microsoft.fail("vault_set", 403, {})
    advance(rotation, "failed")
    del microsoft.override["vault_set"]
    act(browser, rotation, "rotate")
    assert (len(failed), len(recovered)) == (1, 1)


def test_reference_that_goes_with_its_target_meanwhile_breaks_nothing(
    rotation: Rotation, azure: Azure, microsoft: Microsoft
) -> None:
    refer(rotation)
    rotation.destinations.create(kind="hook", place="vaulty", name="jobs")
    vault = rotation.destinations.get(kind="key-vault")
    once(microsoft, "vault_set", lambda: engine.remove_destination(vault))
    advance(rotation)
    assert microsoft.count("store_set") == 0
    assert rotation.destinations.get().delivered == rotation.secrets.get()


def test_failure_that_needs_a_person_is_told_rather_than_one_that_passes(
    rotation: Rotation, azure: Azure, microsoft: Microsoft
) -> None:
    for name, kind in (("1", "app-configuration"), ("2", "app-configuration")):
        rotation.destinations.create(kind=kind, place="store", name=name)
    forbidden = {"error": {"code": "Forbidden", "innererror": {"code": "ForbiddenByRbac"}}}
    microsoft.fail("store_set", 503, {})
    microsoft.fail("vault_set", 403, forbidden)
    advance(rotation, "failed")
    assert rotation.problem == "ForbiddenByRbac"


def test_watch_does_not_cancel_the_search_for_what_was_lost(
    rotation: Rotation, azure: Azure, microsoft: Microsoft
) -> None:
    azure.loses = 1
    advance(rotation, "failed")
    orphan = azure.secrets.pop()  # It turns up much later than anybody expects.
    with later(seconds=70):
        advance(rotation)
        azure.is_shown = False
        look(rotation, azure, microsoft)
        azure.is_shown = True
        advance(rotation)
        assert rotation.missed_at is None
    azure.secrets.append(orphan)
    with later(minutes=17):
        advance(rotation)
    assert orphan not in azure.secrets
    assert len(azure.ours) == 1


def test_overlap_ends_with_the_client_secret_itself(
    browser: Browser, rotation: Rotation, azure: Azure
) -> None:
    schedule = {"interval": 7 * DAY, "overlap": DAY, "lifetime": 15 * DAY}
    engine.reschedule(rotation, **schedule)
    advance(rotation)
    change(browser, rotation, interval="180", overlap="30")
    with later(hours=2):
        advance(rotation)
        old = rotation.secrets.get(state="retiring")
        assert old.retire_at == old.expires_at


def test_lost_one_is_not_said_to_work(
    browser: Browser,
    rotation: Rotation,
    azure: Azure,
    microsoft: Microsoft,
    settings: Any,
    mailoutbox: list[Any],
) -> None:
    settings.INFISICAL_AZURE = {**settings.INFISICAL_AZURE, "HOST": HOST}
    advance(rotation)
    azure.secrets.pop()
    with later(hours=1):
        look(rotation, azure, microsoft)
        advance(rotation, "failed")
        (mail,) = mailoutbox
        assert "The client secret in use works no longer." in mail.body
        assert "works no longer" in browser.get(url(browser, rotation)).content.decode()
        advance(rotation)
        content = browser.get(url(browser, rotation)).content.decode()
    assert "works no longer, and is forgotten" in content
    assert "then it is removed" not in content


def test_one_in_use_is_shown_however_many_came_to_nothing(
    browser: Browser, rotation: Rotation, azure: Azure
) -> None:
    advance(rotation)
    for number in range(20):
        rotation.secrets.create(
            state="removed", intended_at=timezone.now() + timedelta(seconds=number + 1)
        )
    assert "None yet" not in browser.get(url(browser, rotation)).content.decode()


def test_alarm_comes_though_somebody_wants_the_next_one_meanwhile(
    browser: Browser, rotation: Rotation, azure: Azure, microsoft: Microsoft
) -> None:
    heard = listen(rotation_failed)
    advance(rotation)
    azure.secrets.pop()
    with later(hours=1):
        look(rotation, azure, microsoft)
        once(microsoft, "application", lambda: engine.rotate_now(rotation, browser.user))
        advance(rotation, "skipped")
        assert heard == []
        advance(rotation, "failed")
        assert (rotation.problem, len(heard)) == ("current_secret_missing", 1)
        advance(rotation)
    assert len(azure.ours) == 1


def test_alarm_comes_though_the_process_dies_before_it_is_noted(
    rotation: Rotation, azure: Azure, microsoft: Microsoft
) -> None:
    heard = listen(rotation_failed)
    advance(rotation)
    azure.secrets.pop()
    with later(hours=1):
        look(rotation, azure, microsoft)

        def die(execute: Any, sql: str, *rest: Any) -> Any:
            if '"failing_since" =' in sql:
                raise SystemExit
            return execute(sql, *rest)

        with connections["default"].execute_wrapper(die), pytest.raises(SystemExit):
            engine.advance(rotation.pk)
    with later(hours=2):
        advance(rotation, "failed")
    assert len(heard) == 2  # Rather twice than not at all.


def test_pause_is_no_recovery(rotation: Rotation, azure: Azure, microsoft: Microsoft) -> None:
    failed, recovered = listen(rotation_failed), listen(rotation_recovered)
    advance(rotation)
    with later(days=31):
        advance(rotation)
    with later(days=34):
        denied = {"error": {"code": "Authorization_RequestDenied"}}
        microsoft.fail("remove_password", 403, denied)
        advance(rotation, "failed")
        engine.pause(rotation)
        advance(rotation, "waiting")
        assert rotation.problem == "Authorization_RequestDenied"
        assert (len(failed), len(recovered)) == (1, 0)


def test_failure_that_nobody_foresaw_is_told_of_and_keeps_no_other_from_its_turn(
    browser: Browser,
    rotation: Rotation,
    azure: Azure,
    microsoft: Microsoft,
    caplog: pytest.LogCaptureFixture,
) -> None:
    heard = listen(rotation_failed)
    microsoft.fail("vault_set", None, KeyError("CANARY"))
    hook = rotation.destinations.create(kind="hook", place="vaulty", name="jobs")
    advance(rotation, "failed")
    hook.refresh_from_db()
    assert hook.delivered
    assert (rotation.problem, len(heard)) == ("unforeseen", 1)
    assert rotation.wake_at
    assert rotation.wake_at > timezone.now()
    assert "stopped: KeyError at " in caplog.text
    assert "CANARY" not in caplog.text
    content = browser.get(url(browser, rotation)).content.decode()
    assert "did not foresee" in content


# What is given up


def test_delivered_one_that_seems_dead_stays_until_its_successor_is_in_use(
    browser: Browser, rotation: Rotation, azure: Azure, microsoft: Microsoft
) -> None:
    rotation.destinations.create(kind="app-configuration", place="store", name="hr")
    microsoft.fail("store_set", 403, {})
    advance(rotation, "failed")
    (delivered,) = azure.ours
    with later(days=1):
        azure.is_shown, microsoft.proofs = False, [7000215] * 9
        advance(rotation, "waiting")
        assert states(rotation) == ["retiring", "issued"]
        assert delivered in azure.ours
        assert "was given up" in browser.get(url(browser, rotation)).content.decode()
        azure.is_shown, microsoft.proofs = True, []
        del microsoft.override["store_set"]
        advance(rotation)
        assert delivered in azure.ours
    with later(days=4):
        advance(rotation)
        assert states(rotation) == ["removed", "current"]
        assert delivered not in azure.ours


def test_one_that_was_wrongly_taken_for_removed_is_swept_away(
    rotation: Rotation, azure: Azure, microsoft: Microsoft
) -> None:
    microsoft.proofs = [7000215] * 9
    advance(rotation, "waiting")
    (given_up,) = azure.ours
    with later(days=1):
        azure.is_shown = False
        microsoft.fail("remove_password", 400, {"error": {"code": "Odd"}})
        advance(rotation, "waiting")
        assert states(rotation) == ["removed", "issued"]
        assert given_up in azure.ours
        azure.is_shown, microsoft.proofs = True, []
        microsoft.override["remove_password"] = (204, {}, "")
        advance(rotation)
    with later(days=1, minutes=16):
        advance(rotation)
    assert given_up not in azure.ours
    assert states(rotation) == ["removed", "current"]


# What code chooses


def test_schedule_of_less_than_days_stays_as_it_is(browser: Browser, rotation: Rotation) -> None:
    half = timedelta(hours=12)
    Rotation.objects.update(interval=half, overlap=half, lifetime=30 * DAY)
    content = browser.get(url(browser, rotation, "rotation_edit")).content.decode()
    assert '<option value="now" selected>12:00:00</option>' in content
    sent = {"interval": "now", "overlap": "now", "lifetime": "90"}
    assert change(browser, rotation, **sent).status_code == 302
    rotation.refresh_from_db()
    assert (rotation.interval, rotation.overlap) == (half, half)
    assert rotation.lifetime == 90 * DAY


def test_interval_of_nothing_fills_no_directory(rotation: Rotation, azure: Azure) -> None:
    Rotation.objects.update(interval=timedelta(0))
    advance(rotation)
    assert len(azure.ours) == 1
    assert rotation.due_at > timezone.now()


def test_schedule_of_less_than_days_can_be_left(browser: Browser, rotation: Rotation) -> None:
    Rotation.objects.update(
        interval=timedelta(days=7, hours=12), lifetime=timedelta(hours=12), overlap=DAY
    )
    sent = {"interval": "7", "overlap": "1", "lifetime": "0"}
    assert change(browser, rotation, **sent).status_code == 302
    rotation.refresh_from_db()
    assert (rotation.interval, rotation.lifetime) == (7 * DAY, 15 * DAY)


# What is gone


def test_rotation_that_is_ended_meanwhile_is_skipped(
    rotation: Rotation, azure: Azure, microsoft: Microsoft
) -> None:
    advance(rotation)
    with later(days=31):
        advance(rotation)
    with later(days=34):
        once(microsoft, "application", lambda: Rotation.objects.all().delete())
        assert engine.advance(rotation.pk) == "skipped"


def test_row_that_is_missing_is_an_error_and_keeps_no_lease(
    rotation: Rotation, azure: Azure
) -> None:
    advance(rotation)
    with later(days=31):
        advance(rotation)
    RotatedSecret.objects.filter(state="current").delete()
    with later(days=34), pytest.raises(ObjectDoesNotExist):
        engine.advance(rotation.pk)
    rotation.refresh_from_db()
    assert rotation.lease_until is None


def test_change_of_what_is_gone_is_refused(rotation: Rotation) -> None:
    gone = Rotation(pk=uuid.uuid4(), connection=rotation.connection)
    with pytest.raises(Rotation.DoesNotExist), engine.changing(gone):
        pass


def test_destination_whose_target_is_removed_meanwhile_is_not_added(
    browser: Browser, rotation: Rotation, azure: Azure
) -> None:
    rotation.destinations.create(kind="hook", place="vaulty", name="jobs")
    vault = rotation.destinations.get(kind="key-vault")

    def remove_after_the_form_has_looked(execute: Any, sql: str, *rest: Any) -> Any:
        if sql.startswith('UPDATE "infisical_azure_rotation"'):
            Destination.objects.filter(pk=vault.pk).delete()
        return execute(sql, *rest)

    reference = {"kind": "key-vault-reference", "place": "team-store", "name": "hr"}
    with connections["default"].execute_wrapper(remove_after_the_form_has_looked):
        response = deliver_to(browser, rotation, refers_to=str(vault.pk), **reference)
    assert "removed meanwhile" in response.content.decode()
    assert not rotation.destinations.filter(name="hr").exists()


def test_page_of_a_rotation_that_is_ended_meanwhile_is_gone(
    browser: Browser, rotation: Rotation
) -> None:
    def end_first(execute: Any, sql: str, *rest: Any) -> Any:
        if sql.startswith('UPDATE "infisical_azure_rotation"'):
            Rotation.objects.all().delete()
        return execute(sql, *rest)

    with connections["default"].execute_wrapper(end_first):
        assert change(browser, rotation).status_code == 404


def test_ended_rotation_needs_no_end() -> None:
    assert engine.end(uuid.uuid4())


@pytest.mark.parametrize(("status", "is_removed"), [(503, False), (403, True)])
def test_connection_stays_while_microsoft_is_away_but_not_for_a_refusal(
    browser: Browser,
    rotation: Rotation,
    azure: Azure,
    microsoft: Microsoft,
    caplog: pytest.LogCaptureFixture,
    status: int,
    is_removed: bool,
) -> None:
    microsoft.proofs = [7000215]
    advance(rotation, "waiting")
    microsoft.fail("remove_password", status, {"error": {"code": "Odd"}})
    page = browser.url("connection_remove", rotation.connection_id)
    with later(minutes=16):
        browser.post(page, {"name": "production"})
    assert AppConnection.objects.exists() != is_removed
    assert ("left behind" in caplog.text) == is_removed


def test_end_while_it_is_worked_on_pauses_it(browser: Browser, rotation: Rotation) -> None:
    Rotation.objects.update(lease_until=timezone.now() + timedelta(minutes=1))
    assert not engine.end(rotation.pk)
    rotation.refresh_from_db()
    assert rotation.is_paused


def test_rotation_that_is_resumed_while_its_end_is_put_off_goes_on_at_once(
    browser: Browser, rotation: Rotation, azure: Azure, microsoft: Microsoft
) -> None:
    microsoft.proofs = [7000215]
    advance(rotation, "waiting")
    puts_off = r'UPDATE "infisical_azure_rotation" SET "lease_until" = (NULL|%s), "wake_at"'
    with meanwhile(puts_off, lambda: engine.resume(rotation, browser.user)):
        assert not engine.end(rotation.pk, user=browser.user)
    rotation.refresh_from_db()
    assert (rotation.is_paused, rotation.lease_until) == (False, None)
    assert rotation.wake_at <= timezone.now()


def test_connection_stays_while_something_may_turn_up(
    browser: Browser, rotation: Rotation, azure: Azure, microsoft: Microsoft
) -> None:
    microsoft.proofs = [7000215]
    advance(rotation, "waiting")
    page = browser.url("connection_remove", rotation.connection_id)
    response = browser.post(page, {"name": "production"})
    assert "quarter of an hour" in response.content.decode()
    assert AppConnection.objects.exists()
    with later(minutes=16):
        assert browser.post(page, {"name": "production"}).status_code == 302
    assert azure.ours == []


# Threads that keep their connections


def test_time_limit_of_celery_reaches_the_task() -> None:
    class SoftTimeLimitExceeded(Exception):
        """As billiard's."""

    def ask() -> None:
        raise SoftTimeLimitExceeded

    with pytest.raises(SoftTimeLimitExceeded):
        raised_anew(ask)


@pytest.mark.parametrize("breaks", ["block", "close"])
def test_workers_end_whatever_breaks(monkeypatch: pytest.MonkeyPatch, breaks: str) -> None:
    closed: list[str] = []

    def close_all() -> None:
        closed.append(threading.current_thread().name)
        if breaks == "close" and len(closed) == 1:
            raise OSError

    monkeypatch.setattr(connections, "close_all", close_all, raising=False)
    error = OSError if breaks == "close" else ZeroDivisionError

    def work() -> None:
        with threads(2) as pool:
            assert list(pool.map(abs, [-1, -2])) == [1, 2]
            if breaks == "block":
                raise ZeroDivisionError

    with pytest.raises(error):
        work()
    assert len(set(closed)) == 2


def test_end_that_the_database_fails_leaves_no_lease(rotation: Rotation) -> None:
    def fail() -> None:
        raise OperationalError

    record = 'INSERT INTO "infisical_azure_historyentry"'
    with meanwhile(record, fail), pytest.raises(OperationalError):
        engine.end(rotation.pk)
    rotation.refresh_from_db()
    assert (rotation.is_paused, rotation.lease_until) == (False, None)
