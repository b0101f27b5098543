"""The pages of a rotation, and the unattended work on all of them."""

from __future__ import annotations

import io
import threading
import uuid
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.core.management import call_command
from django.db import OperationalError
from django.db import connection as database
from django.utils import timezone

from infisical_azure import rotation_upkeep, tasks
from infisical_azure.models import (
    AppConnection,
    Destination,
    HeldSecret,
    HistoryEntry,
    Rotation,
)
from infisical_azure.obstacles import rotation_obstacle
from infisical_azure.rotation_upkeep import rotate_due

from .conftest import Browser
from .hostapp.host import add_member, remove_member
from .microsoft import APPLICATION, KEY_ID, Microsoft
from .rotations import Azure, act, advance, states, url

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("hooks")]
FORM = {
    "interval": "30",
    "overlap": "3",
    "lifetime": "0",
    "kind": "key-vault",
    "place": "team",
    "name": "hr-secret",
    "label": "",
}


def add(browser: Browser, connection: AppConnection, **form: str) -> Any:
    return browser.post(
        browser.url("rotation_add", connection.pk, APPLICATION), FORM | {"label": ""} | form
    )


# Setting up


def test_rotation_is_set_up_and_begins_at_once(
    browser: Browser, connection: AppConnection, azure: Azure, microsoft: Microsoft
) -> None:
    assert browser.get(browser.url("rotation_add", connection.pk, APPLICATION)).status_code == 200
    response = add(browser, connection)
    made = Rotation.objects.get()
    assert response["Location"] == url(browser, made)
    assert made.created_by == browser.user
    assert (made.interval.days, made.overlap.days, made.lifetime.days) == (30, 3, 48)
    content = browser.get(response["Location"]).content.decode()
    assert "Works" in content
    assert azure.ours[0] in content
    assert "by ada" in content
    assert "CANARY" not in content
    content = browser.get(browser.url("application_detail", connection.pk, APPLICATION))
    assert "Rotated here" in content.content.decode()
    assert "replaced every 30 days" in content.content.decode()


def test_application_has_one_rotation(
    browser: Browser, connection: AppConnection, azure: Azure
) -> None:
    add(browser, connection)
    assert "has a rotation" in add(browser, connection, name="another").content.decode()
    assert Destination.objects.count() == 1


def test_rotation_of_a_connection_that_is_removed_meanwhile_is_not_set_up(
    browser: Browser, connection: AppConnection, azure: Azure, microsoft: Microsoft
) -> None:
    microsoft.before["application"] = AppConnection.objects.all().delete
    assert add(browser, connection).status_code == 404
    assert not Rotation.objects.exists()
    assert not HistoryEntry.objects.filter(act="rotation-added").exists()


def test_two_rotations_set_up_at_once_do_not_deliver_to_the_same_place(
    browser: Browser, connection: AppConnection, azure: Azure, microsoft: Microsoft
) -> None:
    def add_another() -> None:
        del microsoft.before["application"]
        another = Rotation.objects.create(
            connection=connection,
            application_id=uuid.uuid4(),
            app_id=uuid.uuid4(),
            application_name="Payroll",
            interval=timedelta(days=30),
            lifetime=timedelta(days=90),
            overlap=timedelta(days=3),
        )
        another.destinations.create(kind="key-vault", place="team", name="hr-secret")

    microsoft.before["application"] = add_another
    content = add(browser, connection).content.decode()
    assert "The rotation of Payroll delivers there already." in content
    assert Rotation.objects.count() == Destination.objects.count() == 1


@pytest.mark.parametrize(
    ("form", "field"),
    [
        ({"interval": "1"}, "interval"),
        ({"place": ""}, "place"),
        ({"place": "team.evil.example/x?"}, "place"),
        ({"name": "with space"}, "name"),
        ({"kind": "app-configuration", "name": ".."}, "name"),
        ({"kind": "hook", "place": "unknown"}, "place"),
        ({"kind": "mars"}, "kind"),
    ],
)
def test_bad_input_saves_nothing(
    browser: Browser, connection: AppConnection, azure: Azure, form: dict[str, str], field: str
) -> None:
    assert field in add(browser, connection, **form).context["form"].errors
    assert not Rotation.objects.exists()


@pytest.mark.parametrize("kind", ["hook", "app-configuration"])
def test_other_kinds_can_be_chosen(
    browser: Browser, connection: AppConnection, azure: Azure, kind: str
) -> None:
    place = "vaulty" if kind == "hook" else "store"
    assert add(browser, connection, kind=kind, place=place, name="a key").status_code == 302


def test_hook_is_no_choice_where_the_site_has_none(
    browser: Browser, connection: AppConnection, azure: Azure, settings: Any
) -> None:
    settings.INFISICAL_AZURE = {**settings.INFISICAL_AZURE, "SECRET_HOOKS": {}}
    form = add(browser, connection, kind="hook", place="vaulty").context["form"]
    assert "kind" in form.errors


# Watching and acting


def test_page_follows_a_rotation(
    browser: Browser, rotation: Rotation, azure: Azure, microsoft: Microsoft
) -> None:
    def page() -> str:
        return browser.get(url(browser, rotation)).content.decode()

    assert "Nothing yet" in page()
    microsoft.proofs = [7000215]
    advance(rotation, "waiting")
    assert "To be proven" in page()
    advance(rotation)
    act(browser, rotation, "rotate")
    assert states(rotation) == ["retiring", "current"]
    assert "by ada" in page()
    assert "then it is removed" in page()
    paused = browser.get(act(browser, rotation, "pause")["Location"])
    assert "The rotation is paused" in paused.content.decode()
    assert ">Resume<" in page()
    assert "then it is removed" not in page()
    assert "once the rotation is resumed" in page()
    act(browser, rotation, "resume")
    assert ">Resume<" not in page()
    assert act(browser, rotation, "explode").status_code == 404


@pytest.mark.parametrize(
    ("problem", "words"),
    [
        ("ForbiddenByRbac", "Key Vault Secrets Officer"),
        ("Authorization_RequestDenied", "owner of the application"),
        ("grant_revoked", "The access was revoked at Microsoft"),
        ("delivery_failed", "function for that failed"),
        ("throttled", "too many requests"),
        ("unheard_of", "Microsoft Graph refused the request"),
    ],
)
def test_failure_says_who_must_act(
    browser: Browser, rotation: Rotation, problem: str, words: str
) -> None:
    Rotation.objects.update(problem=problem, failing_since=timezone.now(), correlation_id="abc-1")
    content = browser.get(url(browser, rotation)).content.decode()
    assert words in content
    assert "abc-1" in content
    assert rotation_obstacle(Rotation(problem="")) is None


@pytest.mark.parametrize(
    ("problem", "words"),
    [
        ("destination_unavailable", "The destination could not be reached"),
        ("microsoft_unavailable", "Microsoft could not be reached"),
        ("ForbiddenByFirewall", "firewall keeps this site out"),
        ("ForbiddenByRbac", "may not write to the destination"),
        ("graph_refused", "does not take the new client secret"),
        ("throttled", "too many requests"),
    ],
)
def test_failure_of_a_delivery_is_the_destinations(
    browser: Browser, rotation: Rotation, problem: str, words: str
) -> None:
    rotation.secrets.create(state="proven", key_id=KEY_ID)
    Rotation.objects.update(problem=problem, failing_since=timezone.now())
    content = browser.get(url(browser, rotation)).content.decode()
    assert words in content
    assert "lacks the new one" in content
    assert "Try again now" in content


@pytest.mark.parametrize(
    ("fault", "words"), [(None, "delivered and in use"), (403, "That failed"), ("lease", "minute")]
)
def test_outcome_is_told(
    browser: Browser, rotation: Rotation, azure: Azure, microsoft: Microsoft, fault: Any, words: str
) -> None:
    if fault == "lease":
        Rotation.objects.update(lease_until=timezone.now() + timedelta(minutes=1))
    elif fault:
        denied = {"error": {"code": "Authorization_RequestDenied"}}
        microsoft.fail("add_password", fault, denied)
    response = act(browser, rotation, "rotate")
    assert words in browser.get(response["Location"]).content.decode()


def test_one_that_is_wanted_while_another_is_under_way_is_that_one(
    browser: Browser, rotation: Rotation, azure: Azure, microsoft: Microsoft
) -> None:
    microsoft.proofs = [7000215]
    advance(rotation, "waiting")
    act(browser, rotation, "rotate")
    rotation.refresh_from_db()
    assert states(rotation) == ["current"]
    assert rotation.wanted_by is None


def test_label_is_only_kept_for_app_configuration(
    browser: Browser, connection: AppConnection, azure: Azure
) -> None:
    add(browser, connection, label="production")
    assert Destination.objects.get().label == ""


def test_delivered_secret_is_warned_of_before_it_is_removed(
    browser: Browser, rotation: Rotation, azure: Azure, microsoft: Microsoft
) -> None:
    advance(rotation)
    page = browser.url("secret_remove", rotation.connection_id, APPLICATION, azure.ours[0])
    assert "A rotation delivered it" in browser.get(page).content.decode()
    page = browser.url("secret_remove", rotation.connection_id, APPLICATION, KEY_ID)
    assert "A rotation delivered it" not in browser.get(page).content.decode()


def test_reader_sees_and_changes_nothing(browser: Browser, rotation: Rotation) -> None:
    remove_member(browser.organization, browser.user)
    add_member(browser.organization, browser.user, "view")
    content = browser.get(url(browser, rotation)).content.decode()
    assert "Rotate now" not in content
    assert act(browser, rotation, "rotate").status_code == 403
    assert add(browser, rotation.connection).status_code == 403
    assert browser.get(url(browser, rotation, "rotation_remove")).status_code == 403


# Ending


def finish(browser: Browser, rotation: Rotation, name: str = "HR") -> Any:
    return browser.post(url(browser, rotation, "rotation_remove"), {"name": name})


def test_end_keeps_what_is_in_use(browser: Browser, rotation: Rotation, azure: Azure) -> None:
    advance(rotation)
    assert "That is not the name" in finish(browser, rotation, "x").content.decode()
    response = finish(browser, rotation)
    assert "The rotation of HR is ended" in browser.get(response["Location"]).content.decode()
    assert not Rotation.objects.exists()
    assert len(azure.ours) == 1


QUARTER = timedelta(minutes=16)


def in_a_quarter() -> Any:
    return time_machine.travel(timezone.now() + QUARTER)


def test_end_removes_what_was_never_proven(
    browser: Browser, rotation: Rotation, azure: Azure, microsoft: Microsoft
) -> None:
    microsoft.proofs = [7000215]
    advance(rotation, "waiting")
    assert "quarter of an hour" in finish(browser, rotation).content.decode()
    rotation.refresh_from_db()
    assert rotation.is_paused
    with in_a_quarter():
        assert finish(browser, rotation).status_code == 302
    assert azure.ours == []
    assert not HeldSecret.objects.exists()


def test_end_keeps_what_may_have_arrived(
    browser: Browser, rotation: Rotation, azure: Azure, microsoft: Microsoft
) -> None:
    microsoft.fail("vault_set", 504, {})
    advance(rotation, "failed")
    assert finish(browser, rotation).status_code == 302
    assert len(azure.ours) == 1


def test_end_waits_for_an_answer_that_was_lost(
    browser: Browser, rotation: Rotation, azure: Azure, microsoft: Microsoft
) -> None:
    azure.loses, azure.is_shown = 1, False
    advance(rotation, "failed")
    finish(browser, rotation)
    with time_machine.travel(timezone.now() + timedelta(seconds=61)):
        finish(browser, rotation)
        assert states(rotation) == ["removed"]
        advance(rotation, "waiting")
    azure.is_shown = True
    with time_machine.travel(timezone.now() + 2 * QUARTER):
        assert finish(browser, rotation).status_code == 302
    assert azure.ours == []


def test_orphan_of_a_paused_rotation_is_swept_away(
    browser: Browser, rotation: Rotation, azure: Azure, microsoft: Microsoft
) -> None:
    azure.loses = 1
    advance(rotation, "failed")
    azure.is_shown = False
    with time_machine.travel(timezone.now() + timedelta(seconds=61)):
        finish(browser, rotation)
    azure.is_shown = True
    with time_machine.travel(timezone.now() + 2 * QUARTER):
        advance(rotation)
    assert azure.ours == []


def test_end_of_an_intent_asks_nobody(
    browser: Browser, rotation: Rotation, azure: Azure, microsoft: Microsoft
) -> None:
    rotation.secrets.create()
    assert finish(browser, rotation).status_code == 302
    assert microsoft.count("application") == 0


def test_end_that_graph_refuses_leaves_all_as_it_was(
    browser: Browser, rotation: Rotation, azure: Azure, microsoft: Microsoft
) -> None:
    microsoft.proofs = [7000215]
    advance(rotation, "waiting")
    microsoft.fail("remove_password", 403, {"error": {"code": "Authorization_RequestDenied"}})
    with in_a_quarter():
        assert finish(browser, rotation).status_code == 502
    rotation.refresh_from_db()
    assert rotation.lease_until is None
    assert HeldSecret.objects.exists()


def test_end_where_the_application_is_gone(
    browser: Browser, rotation: Rotation, azure: Azure, microsoft: Microsoft
) -> None:
    microsoft.proofs = [7000215]
    advance(rotation, "waiting")
    gone = {"error": {"code": "Request_ResourceNotFound"}}
    microsoft.fail("remove_password", 404, gone)
    microsoft.fail("application", 404, gone)
    with in_a_quarter():
        assert finish(browser, rotation).status_code == 302


def test_end_after_a_lost_answer_where_the_application_is_gone(
    browser: Browser, rotation: Rotation, azure: Azure, microsoft: Microsoft
) -> None:
    azure.loses = 1
    advance(rotation, "failed")
    microsoft.fail("application", 404, {"error": {"code": "Request_ResourceNotFound"}})
    assert finish(browser, rotation).status_code == 302
    assert not Rotation.objects.exists()


def test_end_that_is_overtaken_deletes_nothing(
    browser: Browser, rotation: Rotation, azure: Azure, microsoft: Microsoft
) -> None:
    azure.loses = 1
    advance(rotation, "failed")
    before = microsoft.before["application"]
    microsoft.before["application"] = lambda: (before(), Rotation.objects.update(fence=99))
    assert "quarter of an hour" in finish(browser, rotation).content.decode()


def test_end_while_others_are_at_it_is_refused(browser: Browser, rotation: Rotation) -> None:
    Rotation.objects.update(lease_until=timezone.now() + timedelta(minutes=1))
    assert "quarter of an hour" in finish(browser, rotation).content.decode()


@pytest.mark.parametrize("works", [True, False])
def test_connection_takes_its_rotations_along(
    browser: Browser, rotation: Rotation, azure: Azure, microsoft: Microsoft, works: bool
) -> None:
    microsoft.proofs = [7000215]
    advance(rotation, "waiting")
    if not works:
        microsoft.fail("remove_password", 403, {"error": {"code": "Odd"}})
    page = browser.url("connection_remove", rotation.connection_id)
    with in_a_quarter():
        assert browser.post(page, {"name": "production"}).status_code == 302
    assert not Rotation.objects.exists()
    assert bool(azure.ours) != works


def test_name_of_a_rotation_is_no_name_for_another(
    browser: Browser, rotation: Rotation, azure: Azure
) -> None:
    page = browser.url("secret_add", rotation.connection_id, APPLICATION)
    form = {"name": "rotation x", "lifetime": "30", "attempt": str(rotation.pk)}
    assert "are for rotations" in browser.post(page, form).content.decode()
    form["name"] = "\u200b\u200d"
    assert "This field is required." in browser.post(page, form).content.decode()


# Unattended


def due_now() -> None:
    Rotation.objects.update(wake_at=timezone.now() - timedelta(seconds=1))


@pytest.fixture
def shared(committed: None, browser: Browser, microsoft: Microsoft) -> Rotation:
    """A rotation in a database that other threads see."""
    browser.connect()
    Azure(microsoft)
    made = Rotation.objects.create(
        connection=AppConnection.objects.get(),
        application_id=APPLICATION,
        app_id=APPLICATION,
        interval=timedelta(days=30),
        lifetime=timedelta(days=90),
        overlap=timedelta(days=2),
    )
    made.destinations.create(kind="hook", place="vaulty", name="runner")
    return made


def test_run_advances_what_is_due(shared: Rotation, microsoft: Microsoft) -> None:
    ticks: list[int] = []
    summary = rotate_due(workers=2, tick=lambda done: ticks.append(done.total()))
    assert (summary.advanced, summary.failed, ticks) == (1, 0, [1])
    assert summary.as_dict()["advanced"] == 1
    assert rotate_due().as_dict()["advanced"] == 0


def test_command_reports(shared: Rotation) -> None:
    told = io.StringIO()
    call_command("infisical_azure_rotate", workers=1, stdout=told)
    assert told.getvalue().startswith("1 advanced, 0 waiting, 0 failed, 0 skipped in ")


def test_run_waits_for_a_secret_that_is_just_about_to_work(
    shared: Rotation, microsoft: Microsoft
) -> None:
    microsoft.proofs = [7000215]
    began = timezone.now()
    summary = rotate_due()
    assert (summary.waiting, summary.advanced) == (1, 1)
    assert timezone.now() - began >= timedelta(seconds=4)


def test_run_has_no_endless_patience(shared: Rotation, microsoft: Microsoft) -> None:
    microsoft.proofs = [7000215] * 99
    assert rotate_due(patience=timedelta(0)).waiting == 1


def test_stopped_run_begins_nothing(shared: Rotation) -> None:
    stop = threading.Event()
    stop.set()
    assert rotate_due(stop=stop).advanced == 0


def test_run_that_is_stopped_ends_what_it_does_and_begins_nothing(
    shared: Rotation, microsoft: Microsoft
) -> None:
    stop = threading.Event()
    microsoft.before["proof"] = stop.set
    Rotation.objects.create(
        connection=shared.connection,
        application_id=KEY_ID,
        app_id=KEY_ID,
        interval=shared.interval,
        lifetime=shared.lifetime,
        overlap=shared.overlap,
    )
    ticks: list[int] = []
    summary = rotate_due(stop=stop, workers=1, tick=lambda done: ticks.append(done.total()))
    assert (summary.advanced, ticks) == (1, [1])


def test_failure_of_this_site_is_counted_and_logged_once_a_run(
    shared: Rotation, microsoft: Microsoft, caplog: pytest.LogCaptureFixture
) -> None:
    microsoft.fail("add_password", None, ZeroDivisionError("CANARY~"))
    assert rotate_due().failed == 1
    assert "stopped: ZeroDivisionError at " in caplog.text
    assert "CANARY" not in caplog.text


def test_hook_that_can_not_be_imported_is_a_failed_delivery(
    shared: Rotation, settings: Any
) -> None:
    hooks = {"vaulty": "nowhere.hook"}
    settings.INFISICAL_AZURE = {**settings.INFISICAL_AZURE, "SECRET_HOOKS": hooks}
    assert rotate_due().failed == 1
    shared.refresh_from_db()
    assert shared.problem == "delivery_failed"


def test_database_that_fails_leaves_no_lease(rotation: Rotation, azure: Azure) -> None:
    def fail(execute: Any, sql: str, *args: Any) -> Any:
        if sql.startswith('INSERT INTO "infisical_azure_rotatedsecret"'):
            raise OperationalError
        return execute(sql, *args)

    with database.execute_wrapper(fail):
        assert rotation_upkeep.advance_safely(rotation.pk) == "failed"
    advance(rotation)


def test_celery_advances_each(rotation: Rotation, azure: Azure, settings: Any) -> None:
    from celery import current_app

    current_app.conf.task_always_eager = True
    try:
        tasks.rotate_due()
    finally:
        current_app.conf.task_always_eager = False
    assert states(rotation) == ["current"]
