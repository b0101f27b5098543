"""Removing a connection: what must wait, what stays in Azure, and who removed it."""

from __future__ import annotations

import threading
import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection as database
from django.db import connections
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from infisical_azure.models import (
    AppConnection,
    HistoryEntry,
    IssuedSecret,
    Rotation,
    WatchedSecret,
)
from infisical_azure.removal import what_stays

from .conftest import Browser
from .microsoft import (
    APPLICATION,
    CLIENT_SECRET,
    KEY_ID,
    NEW_KEY,
    OTHER_TENANT,
    TENANT,
    Microsoft,
)
from .rotations import DAY, Azure, advance, later

pytestmark = pytest.mark.django_db
ISSUING = "A client secret is being issued through it at this moment"
AT_WORK = "One of its rotations is being worked on"


def remove(browser: Browser, connection: AppConnection) -> Any:
    url = browser.url("connection_remove", connection.pk)
    return browser.post(url, {"name": "production"}, follow=True)


def issue(browser: Browser, connection: AppConnection) -> str:
    url = browser.url("secret_add", connection.pk, APPLICATION)
    form = {"name": "build server", "lifetime": "30", "attempt": str(uuid.uuid4())}
    return str(browser.post(url, form, follow=True).content.decode())


def issued(connection: AppConnection, name: str, **facts: Any) -> IssuedSecret:
    now = timezone.now()
    known = {
        "key_id": uuid.uuid4(),
        "state": "issued",
        "asked_at": now - DAY,
        "expires_at": now + 30 * DAY,
        "application_id": APPLICATION,
        "app_id": KEY_ID,
        "application_name": "HR",
    }
    made: IssuedSecret = connection.issued_secrets.create(name=name, **known | facts)
    return made


@pytest.fixture
def staff(connection: AppConnection) -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    return client


class Admin:
    """The Django admin's two ways to delete a connection."""

    def __init__(self, staff: Client, pk: uuid.UUID, how: str) -> None:
        self.staff, self.how = staff, how
        self.list = reverse("admin:infisical_azure_appconnection_changelist")
        self.page = reverse("admin:infisical_azure_appconnection_delete", args=[pk])
        self.chosen = {"_selected_action": [str(pk)], "action": "delete_selected"}

    def ask(self) -> str:
        if self.how == "page":
            return str(self.staff.get(self.page).content.decode())
        return str(self.staff.post(self.list, self.chosen).content.decode())

    def delete(self) -> str:
        where, what = (self.page, {}) if self.how == "page" else (self.list, self.chosen)
        response = self.staff.post(where, what | {"post": "yes"}, follow=True)
        return str(response.content.decode())


@pytest.fixture(params=["page", "action"])
def admin(staff: Client, connection: AppConnection, request: pytest.FixtureRequest) -> Admin:
    return Admin(staff, connection.pk, request.param)


# What stays


def test_pages_tell_what_ends_and_what_stays(
    browser: Browser, admin: Admin, rotation: Rotation, azure: Azure
) -> None:
    connection = rotation.connection
    advance(rotation)
    Rotation.objects.update(due_at=timezone.now())
    advance(rotation)
    issued(connection, "nightly")
    issued(connection, "nameless", application_name="", expires_at=timezone.now() + 40 * DAY)
    issued(connection, "lost", key_id=None, state="uncertain")
    issued(connection, "over", expires_at=timezone.now() - DAY)
    page = browser.get(browser.url("connection_remove", connection.pk)).content.decode()
    for text in (page, admin.ask()):
        assert text.count("The rotation of HR ends") == 1
        assert text.count(" of HR stays valid until") == 3
        assert "The client secret “nightly” of HR stays valid until" in text
        assert f"The client secret “nameless” of {KEY_ID} stays valid until" in text
        for secret in rotation.secrets.all():
            assert text.count(f"“{secret.marker}”") == 1
        assert "The client secret “lost” of HR may exist until" in text
        assert "“over”" not in text
        assert "CANARY" not in text
    assert [secret.name for secret in what_stays(connection)][-1] != "nightly"


def test_page_of_a_connection_that_made_nothing_says_nothing(
    browser: Browser, connection: AppConnection
) -> None:
    page = browser.get(browser.url("connection_remove", connection.pk)).content.decode()
    assert "stays valid" not in page
    assert "The rotation of" not in page


def test_secret_that_certainly_arrived_nowhere_does_not_stay(
    rotation: Rotation, azure: Azure, microsoft: Microsoft
) -> None:
    microsoft.proofs = [7000215]
    advance(rotation, "waiting")
    assert what_stays(rotation.connection) == []
    rotation.secrets.update(offered_at=timezone.now())
    assert [secret.key_id for secret in what_stays(rotation.connection)] == [
        rotation.secrets.get().key_id
    ]


def test_secret_that_a_person_removed_does_not_stay(
    browser: Browser, connection: AppConnection, azure: Azure
) -> None:
    issue(browser, connection)
    (staying,) = what_stays(connection)
    assert (staying.name, str(staying.key_id)) == ("build server", azure.ours[0])
    url = browser.url("secret_remove", connection.pk, APPLICATION, azure.ours[0])
    browser.post(url, {"name": "build server"})
    assert what_stays(connection) == []
    assert not hasattr(IssuedSecret.objects.get(), "value")


@pytest.mark.parametrize(("tenant", "stays"), [(TENANT, False), (OTHER_TENANT, True)])
def test_secret_that_another_connection_removed_does_not_stay(
    browser: Browser, connection: AppConnection, azure: Azure, tenant: str, stays: bool
) -> None:
    issue(browser, connection)
    browser.connect(name="second", tenant=tenant)
    second = AppConnection.objects.get(name="second")
    url = browser.url("secret_remove", second.pk, APPLICATION, azure.ours[0])
    browser.post(url, {"name": "build server"})
    assert bool(what_stays(connection)) is stays


@pytest.mark.parametrize(
    ("read", "is_seen", "stays"),
    [
        (None, False, True),
        (-timedelta(hours=23), True, True),
        (-timedelta(hours=23), False, False),
        (-timedelta(hours=24) + timedelta(minutes=10), False, True),
    ],
)
def test_secret_that_the_directory_no_longer_has_does_not_stay(
    connection: AppConnection, read: timedelta | None, is_seen: bool, stays: bool
) -> None:
    secret = issued(connection, "nightly")
    connection.watched_at = None if read is None else timezone.now() + read
    connection.save()
    if is_seen:
        WatchedSecret.objects.create(
            connection=connection,
            application_id=APPLICATION,
            app_id=KEY_ID,
            key_id=secret.key_id,
            seen_at=timezone.now(),
        )
    assert bool(what_stays(connection)) == stays


# While a client secret is being issued


def test_removal_waits_while_a_client_secret_is_issued(
    browser: Browser, connection: AppConnection, microsoft: Microsoft
) -> None:
    answers = []
    microsoft.before["add_password"] = lambda: answers.append(remove(browser, connection))
    assert CLIENT_SECRET in issue(browser, connection)
    assert ISSUING in answers[0].content.decode()
    assert AppConnection.objects.exists()
    assert "is removed" in remove(browser, connection).content.decode()


def test_admin_waits_while_a_client_secret_is_issued(
    admin: Admin, browser: Browser, connection: AppConnection, microsoft: Microsoft
) -> None:
    answers: list[str] = []
    microsoft.before["add_password"] = lambda: answers.append(admin.delete())
    assert CLIENT_SECRET in issue(browser, connection)
    assert ISSUING in answers[0]
    assert "uccessfully" not in answers[0]
    assert AppConnection.objects.exists()
    assert "uccessfully" in admin.delete()


def test_process_that_died_while_it_issued_does_not_keep_the_connection(
    browser: Browser, connection: AppConnection
) -> None:
    secret = issued(connection, "lost", state="asked", key_id=None, asked_at=timezone.now())
    assert ISSUING in remove(browser, connection).content.decode()
    with later(minutes=2):
        assert secret.is_uncertain
        assert "is removed" in remove(browser, connection).content.decode()


class Late:
    """Something that is done when the removal has looked, or when it is about to lock."""

    LOCKS = 'UPDATE "infisical_azure_refreshtoken"'
    LOOKS = 'SELECT "infisical_azure_rotation"."id"'

    def __init__(self, act: Any, when: str = LOCKS) -> None:
        self.act, self.when, self.is_done = act, when, False

    def __call__(self, execute: Any, sql: str, *args: Any) -> Any:
        is_then = sql.startswith(self.when) and sql.count(",") < 2
        if is_then and not self.is_done:
            self.is_done = True
            self.act()
        return execute(sql, *args)


@pytest.mark.parametrize("kind", ["issue", "rotation"])
def test_removal_looks_again_under_the_lock(
    browser: Browser, connection: AppConnection, kind: str
) -> None:
    with database.execute_wrapper(Late(lambda: begin(connection, kind))):
        content = remove(browser, connection).content.decode()
    assert (ISSUING if kind == "issue" else AT_WORK) in content
    assert AppConnection.objects.exists()


@pytest.mark.parametrize("kind", ["issue", "rotation"])
def test_admin_looks_again_under_the_lock(
    admin: Admin, connection: AppConnection, kind: str
) -> None:
    with database.execute_wrapper(Late(lambda: begin(connection, kind))):
        content = admin.delete()
    assert (ISSUING if kind == "issue" else AT_WORK) in content
    assert "uccessfully" not in content
    assert AppConnection.objects.exists()


def begin(connection: AppConnection, kind: str) -> None:
    if kind == "issue":
        issued(connection, "late", state="asked", key_id=None, asked_at=timezone.now())
    else:
        Rotation.objects.create(
            connection=connection,
            application_id=APPLICATION,
            app_id=KEY_ID,
            interval=DAY,
            lifetime=DAY,
            overlap=DAY,
        )


# Two at once


def removals() -> int:
    return HistoryEntry.objects.filter(act="connection-removed").count()


def test_second_remover_is_told_so_and_not_counted(
    browser: Browser, connection: AppConnection
) -> None:
    answers = []
    first = Late(lambda: answers.append(remove(browser, connection)), Late.LOOKS)
    with database.execute_wrapper(first):
        content = remove(browser, connection).content.decode()
    assert "The connection production is removed." in answers[0].content.decode()
    assert "Somebody else has removed the connection production." in content
    assert removals() == 1


def test_second_remover_in_the_admin_is_told_so_and_not_counted(
    admin: Admin, browser: Browser, connection: AppConnection
) -> None:
    with database.execute_wrapper(Late(lambda: remove(browser, connection), Late.LOOKS)):
        content = admin.delete()
    assert "uccessfully" not in content
    assert removals() == 1


def test_second_remover_in_the_admin_is_told_so(
    admin: Admin, browser: Browser, connection: AppConnection
) -> None:
    """Removed by now, though the admin still holds the object."""
    with database.execute_wrapper(Late(lambda: AppConnection.objects.all().delete())):
        assert "Somebody else has removed it" in admin.delete()


def at_once(*acts: Any) -> list[str]:
    """Do the acts in threads of their own; return the pages, in the order of the acts."""
    barrier, pages = threading.Barrier(len(acts)), [""] * len(acts)

    def run(number: int, act: Any) -> None:
        barrier.wait()
        pages[number] = act()
        connections.close_all()

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(acts)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return pages


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_two_removers_at_once_remove_once(browser: Browser, connection: AppConnection) -> None:
    other = Browser(browser.user, browser.organization)
    pages = at_once(
        *(
            lambda person=person: remove(person, connection).content.decode()
            for person in (browser, other)
        )
    )
    assert removals() == 1
    assert not AppConnection.objects.exists()
    assert sum("The connection production is removed." in page for page in pages) == 1


@pytest.mark.postgresql
@pytest.mark.parametrize("round_", range(5))
@pytest.mark.django_db(transaction=True)
def test_issue_and_removal_at_once_leave_no_secret_unknown(
    browser: Browser, connection: AppConnection, azure: Azure, round_: int
) -> None:
    other = Browser(browser.user, browser.organization)
    shown, removed = at_once(
        lambda: issue(browser, connection),
        lambda: remove(other, connection).content.decode(),
    )
    if AppConnection.objects.exists():
        assert ISSUING in removed
        assert IssuedSecret.objects.get().key_id == uuid.UUID(azure.ours[0])
        assert f"CANARY~{azure.ours[0]}" in shown
    else:
        # Removed first, or when the value was shown already: then the person knows of it.
        assert all(f"CANARY~{key}" in shown for key in azure.ours)


def test_value_of_an_issued_secret_is_deleted_with_its_connection(
    browser: Browser, connection: AppConnection
) -> None:
    issue(browser, connection)
    assert IssuedSecret.objects.get().key_id == uuid.UUID(NEW_KEY)
    remove(browser, connection)
    assert not IssuedSecret.objects.exists()
