"""A client secret is issued once for each form, and its value is given to who holds the form."""

from __future__ import annotations

import threading
import uuid
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.contrib.auth.models import User
from django.db import connection as database
from django.db import connections
from django.utils import timezone

from infisical_azure import upkeep
from infisical_azure.models import AppConnection, HistoryEntry, IssuedSecret, IssuedValue

from .conftest import Browser
from .hostapp.host import add_member
from .microsoft import APPLICATION, CLIENT_SECRET, KEY_ID, NEW_KEY, Microsoft, application
from .rotations import later

pytestmark = pytest.mark.django_db
SPENT = "This form was sent before"
UNCERTAIN = "may have been made all the same"
REFUSED = {"error": {"code": "Authorization_RequestDenied", "message": "CANARY-message"}}


class Form:
    """The form of one person, which can be sent again."""

    def __init__(self, browser: Browser, connection: AppConnection) -> None:
        self.browser = browser
        self.url = browser.url("secret_add", connection.pk, APPLICATION)
        self.saved_url = browser.url("secret_saved", connection.pk, APPLICATION)
        self.fields = {"name": "build server", "lifetime": "30", "attempt": str(uuid.uuid4())}

    def send(self, **fields: str) -> Any:
        return self.browser.post(self.url, self.fields | fields)

    def is_shown(self) -> bool:
        return CLIENT_SECRET in self.send().content.decode()

    def say_saved(self, **fields: str) -> Any:
        return self.browser.post(self.saved_url, {"attempt": self.fields["attempt"]} | fields)


@pytest.fixture
def form(browser: Browser, connection: AppConnection) -> Form:
    return Form(browser, connection)


def someone_else(browser: Browser) -> Browser:
    person = User.objects.create_user("grace")
    add_member(browser.organization, person)
    return Browser(person, browser.organization)


def asked(browser: Browser, form: Form, **facts: Any) -> IssuedSecret:
    """Save what a request has saved that is still at Microsoft, or died there."""
    made: IssuedSecret = IssuedSecret.objects.create(
        pk=form.fields["attempt"],
        connection=AppConnection.objects.get(),
        user=browser.user,
        application_id=APPLICATION,
        app_id=APPLICATION,
        name="build server",
        expires_at=timezone.now() + timedelta(days=30),
        **facts,
    )
    return made


# The second click


def test_form_that_is_sent_again_shows_the_same_value(form: Form, microsoft: Microsoft) -> None:
    first = form.send()
    assert CLIENT_SECRET in first.content.decode()
    microsoft.fail("application", 503, {})  # The directory is not needed for it.
    second = form.send()
    assert second.content.decode().count(CLIENT_SECRET) == 1
    assert NEW_KEY in second.content.decode()
    assert "no-store" in second["Cache-Control"]
    assert microsoft.count("add_password") == 1
    entries = HistoryEntry.objects.filter(act__startswith="secret-").order_by("pk")
    assert list(entries.values_list("act", "outcome")) == [
        ("secret-issued", "begun"), ("secret-issued", "done"),
        ("secret-shown", "done"), ("secret-shown", "done"),
    ]  # fmt: skip


def test_second_click_that_overtakes_the_answer_waits_for_the_same_value(
    committed: None, browser: Browser, microsoft: Microsoft
) -> None:
    browser.connect()
    form, has_looked, shown = Form(browser, AppConnection.objects.get()), threading.Event(), []

    def watch(execute: Any, sql: str, *args: Any) -> Any:
        result = execute(sql, *args)
        if "issuedsecret" in sql:
            has_looked.set()
        return result

    def click() -> None:
        with database.execute_wrapper(watch):
            shown.append(form.is_shown())
        connections.close_all()

    second = threading.Thread(target=click)

    def overtake() -> None:
        second.start()
        assert has_looked.wait(10)

    microsoft.before["add_password"] = overtake
    assert form.is_shown()
    second.join()
    assert shown == [True]
    assert microsoft.count("add_password") == 1


def test_second_click_that_is_no_later_than_the_first_waits_too(
    browser: Browser, form: Form, microsoft: Microsoft
) -> None:
    """Another request asks between our look and our own claim."""

    def ask() -> None:
        if not IssuedSecret.objects.exists():
            asked(browser, form, state="issued", key_id=NEW_KEY)
            give(browser)

    microsoft.before["application"] = ask
    assert form.is_shown()
    assert microsoft.count("add_password") == 0


def give(browser: Browser) -> None:
    IssuedValue.objects.create(
        of=IssuedSecret.objects.get(),
        user=browser.user,
        secret=CLIENT_SECRET,
        kept_until=timezone.now() + timedelta(seconds=30),
    )


@pytest.mark.parametrize("is_first", [True, False])
def test_second_click_tries_itself_where_nothing_was_issued(
    browser: Browser, form: Form, microsoft: Microsoft, is_first: bool
) -> None:
    microsoft.fail("add_password", 403, REFUSED)
    assert "The connected account may not do this" in form.send().content.decode()
    assert not IssuedSecret.objects.exists()
    del microsoft.override["add_password"]

    # The other one is at Microsoft, since before we looked or since after; then it is refused.
    looks: list[str] = []
    if is_first:
        asked(browser, form)
    else:
        microsoft.before["application"] = lambda: asked(browser, form)

    def watch(execute: Any, sql: str, *args: Any) -> Any:
        if sql.startswith("SELECT") and "issuedsecret" in sql:
            looks.append(sql)
            if len(looks) == 4:
                IssuedSecret.objects.all().delete()
        return execute(sql, *args)

    with database.execute_wrapper(watch):
        assert form.is_shown()
    assert len(looks) > 4
    assert microsoft.count("add_password") == 2


def test_second_click_does_not_wait_for_ever(
    browser: Browser, form: Form, microsoft: Microsoft
) -> None:
    asked(browser, form)
    with time_machine.travel(timezone.now()) as clock:

        def pass_time(execute: Any, sql: str, *args: Any) -> Any:
            if "issuedsecret" in sql:
                clock.shift(13)
            return execute(sql, *args)

        with database.execute_wrapper(pass_time):
            response = form.send()
    assert response.status_code == 409
    assert "Reload this page in a minute" in response.content.decode()
    assert microsoft.count("add_password") == 0


# The end of the minute


def test_value_is_gone_after_a_minute(form: Form, microsoft: Microsoft) -> None:
    form.send()
    with later(seconds=50):
        assert form.is_shown()
    with later(seconds=61):
        response = form.send()
        assert response.status_code == 409
        assert SPENT in response.content.decode()
        assert "CANARY" not in response.content.decode()
    assert microsoft.count("add_password") == 1


def test_value_is_gone_once_it_is_saved(form: Form, microsoft: Microsoft) -> None:
    content = form.send().content.decode()
    assert form.saved_url in content
    assert form.fields["attempt"] in content
    response = form.say_saved()
    assert response.status_code == 302
    assert response["Location"] == form.url.removesuffix("secrets/add/")
    assert not IssuedValue.objects.exists()
    assert SPENT in form.send().content.decode()
    assert microsoft.count("add_password") == 1


@pytest.mark.parametrize("fields", [{"attempt": "x"}, {"attempt": "\0"}, {"attempt": KEY_ID}])
def test_other_key_deletes_nothing(form: Form, fields: dict[str, str]) -> None:
    form.send()
    assert form.say_saved(**fields).status_code == 302
    assert form.is_shown()


@pytest.mark.parametrize("how", ["due", "run", "next"])
def test_value_whose_minute_is_over_is_deleted(form: Form, how: str) -> None:
    acts = {"due": lambda: list(upkeep.due()), "run": upkeep.refresh_due, "next": form.send}
    form.send()
    kept = IssuedValue.objects.filter(pk=form.fields["attempt"])
    form.fields["attempt"] = str(uuid.uuid4())
    acts[how]()
    assert kept.exists()
    form.fields["attempt"] = str(uuid.uuid4())
    with later(seconds=61):
        acts[how]()
        assert not kept.exists()


# Other people, other forms


def test_key_of_another_person_gives_nothing(
    browser: Browser, form: Form, connection: AppConnection, microsoft: Microsoft
) -> None:
    form.send()
    other = Form(someone_else(browser), connection)
    other.fields = form.fields
    response = other.send()
    assert response.status_code == 409
    assert "CANARY" not in response.content.decode()
    other.say_saved()
    assert form.is_shown()
    assert microsoft.count("add_password") == 1


def test_key_of_the_form_of_another_application_gives_nothing(
    form: Form, microsoft: Microsoft
) -> None:
    form.send()
    microsoft.applications["value"] = [application("Other") | {"id": KEY_ID}]
    form.url = form.url.replace(APPLICATION, KEY_ID)
    assert SPENT in form.send().content.decode()
    assert microsoft.count("add_password") == 1


def test_value_moved_to_another_person_is_not_opened(
    browser: Browser, form: Form, connection: AppConnection
) -> None:
    form.send()
    thief = someone_else(browser)
    IssuedSecret.objects.update(user=thief.user)
    IssuedValue.objects.update(user=thief.user)
    other = Form(thief, connection)
    other.fields = form.fields
    other.browser.raise_request_exception = False
    response = other.send()
    assert response.status_code == 500
    assert "CANARY" not in response.content.decode()


def test_value_is_stored_sealed_and_shows_nothing_of_itself(form: Form) -> None:
    form.send()
    value = IssuedValue.objects.get()
    with database.cursor() as cursor:
        cursor.execute("SELECT secret FROM infisical_azure_issuedvalue")
        assert b"CANARY" not in bytes(cursor.fetchone()[0])
    assert "CANARY" not in f"{value} {value!r} {vars(value)} {value.of}"
    assert form.fields["attempt"] not in form.url + form.saved_url
    assert "CANARY" not in str(dict(form.browser.session))


# Processes that die, answers that get lost


def test_process_that_dies_after_the_answer_leaves_the_value(
    form: Form, microsoft: Microsoft
) -> None:
    def die(execute: Any, sql: str, *args: Any) -> Any:
        result = execute(sql, *args)
        if sql.startswith('INSERT INTO "infisical_azure_issuedvalue"'):
            raise KeyboardInterrupt
        return result

    with database.execute_wrapper(die), pytest.raises(KeyboardInterrupt):
        form.send()
    if not IssuedValue.objects.exists():  # Died before the commit: nobody knows.
        with later(minutes=3):
            assert UNCERTAIN in form.send().content.decode()
    assert microsoft.count("add_password") == 1


def test_process_that_dies_after_the_commit_leaves_the_value(
    form: Form, microsoft: Microsoft, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*args: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("django.template.base.Template.render", die)
        with pytest.raises(KeyboardInterrupt):
            form.send()
    assert form.is_shown()
    assert microsoft.count("add_password") == 1


@pytest.mark.parametrize(("minutes", "is_over"), [(1, False), (2, True)])
def test_process_that_died_at_microsoft_is_told_as_uncertain(
    browser: Browser, form: Form, microsoft: Microsoft, minutes: int, is_over: bool
) -> None:
    secret = asked(browser, form, asked_at=timezone.now() - timedelta(minutes=minutes))
    assert secret.is_uncertain == is_over
    if is_over:
        response = form.send()
        assert response.status_code == 502
        assert UNCERTAIN in response.content.decode()
        assert "If it is there, remove it" in response.content.decode()
    assert microsoft.count("add_password") == 0


def test_lost_answer_stays_uncertain_for_the_second_click(form: Form, microsoft: Microsoft) -> None:
    microsoft.fail("add_password", 504, {})
    assert UNCERTAIN in form.send().content.decode()
    del microsoft.override["add_password"]
    assert UNCERTAIN in form.send().content.decode()
    assert microsoft.count("add_password") == 1
    assert IssuedSecret.objects.get().is_uncertain
    assert str(IssuedSecret.objects.get()) == "build server"


# A connection that is removed meanwhile


def test_connection_that_is_removed_before_is_asked_nothing(
    form: Form, microsoft: Microsoft
) -> None:
    microsoft.before["application"] = lambda: AppConnection.objects.all().delete()
    content = form.browser.get(form.send()["Location"]).content.decode()
    assert "No client secret was left in Azure" in content
    assert microsoft.count("add_password") == 0


@pytest.mark.parametrize("status", [204, 403])
def test_connection_that_is_removed_meanwhile_leaves_no_secret_unknown(
    form: Form, microsoft: Microsoft, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    microsoft.before["add_password"] = lambda: AppConnection.objects.all().delete()
    microsoft.fail("remove_password", status, REFUSED if status == 403 else "")
    content = form.browser.get(form.send()["Location"]).content.decode()
    assert microsoft.count("remove_password") == 1
    assert "CANARY" not in content + caplog.text
    entries = HistoryEntry.objects.filter(act__startswith="secret-").order_by("pk")
    assert list(entries.values_list("act", "outcome", "key_id")) == [
        ("secret-issued", "begun", None),
        ("secret-issued", "done", uuid.UUID(NEW_KEY)),
        ("secret-removed", "done" if status == 204 else "failed", uuid.UUID(NEW_KEY)),
    ]
    if status == 204:
        assert "No client secret was left in Azure" in content
    else:
        assert f"key ID {NEW_KEY}" in content
        assert f"The client secret {NEW_KEY} of the application" in caplog.text
