"""Canaries in applications' client secrets, searched for wherever people look at them."""

from __future__ import annotations

import contextvars
import io
import os
import uuid
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection as database
from django.test import Client
from django.urls import reverse

from infisical_azure import watch
from infisical_azure.models import (
    AppConnection,
    Destination,
    HeldSecret,
    HistoryEntry,
    IssuedSecret,
    IssuedValue,
    RotatedSecret,
    Rotation,
    WatchedSecret,
)

from .conftest import Browser
from .microsoft import (
    ACCESS_TOKEN,
    APPLICATION,
    CLIENT_SECRET,
    REFRESH_TOKEN,
    Microsoft,
    client_secret,
)
from .rotations import Azure, act, advance, later, refer, url
from .test_leaks import (
    Injector,
    Sinks,
    debug,
    inject_everywhere,
    listening,
    stored,
)

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("hooks")]
__all__ = ["debug"]
#: Of so many moments one is tried; set it to 1 for all of them.
STEP = int(os.environ.get("LEAK_STEP", "3"))
HOST = "tests.test_watch.CaringHost"


def dumped(sinks: Sinks) -> None:
    """Add every row of every table, and what our models say of themselves."""
    stored(sinks)
    with database.cursor() as cursor:
        for table in database.introspection.table_names(cursor):
            cursor.execute(f"SELECT * FROM {database.ops.quote_name(table)}")  # noqa: S608
            for row in cursor.fetchall():
                sinks.add(f"table {table}", str(row))
    for model in (
        Destination, HeldSecret, HistoryEntry, IssuedSecret, IssuedValue, RotatedSecret, Rotation,
        WatchedSecret,
    ):  # fmt: skip
        for row in model._default_manager.all():
            sinks.add("repr", f"{row!r} {row} {row.__dict__} {getattr(row, 'secret', '')!r}")


def values_of(azure: Azure, made: set[str]) -> dict[str, str]:
    """Return the values of all client secrets that were ever made, by what they are."""
    rotated = {f"rotated {key}": f"CANARY~{key}" for key in made}
    tokens = {"access token": ACCESS_TOKEN, "refresh token": REFRESH_TOKEN}
    return {"issued": CLIENT_SECRET, **tokens, **rotated}


def pages(browser: Browser, rotation: Rotation, key: str) -> list[str]:
    pk = rotation.connection_id
    vault = rotation.destinations.get(kind="key-vault")
    return [
        browser.url("application_list", pk),
        browser.url("application_detail", pk, APPLICATION),
        browser.url("secret_add", pk, APPLICATION),
        browser.url("secret_remove", pk, APPLICATION, key),
        browser.url("rotation_add", pk, APPLICATION),
        url(browser, rotation),
        url(browser, rotation, "rotation_edit"),
        url(browser, rotation, "destination_add"),
        browser.url("destination_remove", pk, rotation.pk, vault.pk),
        url(browser, rotation, "rotation_remove"),
        browser.url("secret_expiring_list"),
        browser.url("secret_expiring_csv"),
    ]


def test_life_of_client_secrets_leaves_no_value_anywhere(
    browser: Browser,
    rotation: Rotation,
    azure: Azure,
    microsoft: Microsoft,
    debug: bool,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings.INFISICAL_AZURE = {**settings.INFISICAL_AZURE, "HOST": HOST}
    microsoft.before["applications"] = azure.show
    refer(rotation)
    rotation.destinations.create(kind="app-configuration", place="store", name="plain")
    hook = rotation.destinations.create(kind="hook", place="vaulty", name="jobs")
    made: set[str] = set()
    noted = azure.add

    def add() -> None:
        noted()
        made.update(azure.ours)

    microsoft.before["add_password"] = add
    User.objects.create_superuser("root")
    staff = Client()
    staff.force_login(User.objects.get(username="root"))

    def look() -> None:
        for page in pages(browser, rotation, azure.secrets[-1]["keyId"]):
            response = browser.get(page)
            assert response.status_code == 200
            sinks.add_response(response)
        for model, args in (("appconnection", [rotation.connection_id]), ("historyentry", [])):
            page = f"admin:infisical_azure_{model}_{'change' if args else 'changelist'}"
            sinks.add_response(staff.get(reverse(page, args=args)))
        watch.watch(rotation.connection)
        dumped(sinks)

    with listening() as sinks:
        # Issued by a person: the value is on that one page, and nowhere else.
        form = {"name": "by hand", "lifetime": "30", "attempt": str(uuid.uuid4())}
        del microsoft.before["add_password"]
        shown = browser.post(browser.url("secret_add", rotation.connection_id, APPLICATION), form)
        assert CLIENT_SECRET in shown.content.decode()
        assert CLIENT_SECRET not in str(dict(shown.items())) + str(shown.cookies)
        microsoft.before["add_password"] = add
        # Rotated, with everything going wrong on the way that can quote a value.
        azure.loses = 1
        advance(rotation, "failed")
        look()
        with later(minutes=2):
            microsoft.proofs = [7000215]
            advance(rotation, "waiting")
            held = HeldSecret.objects.get()
            assert held.secret.reveal() == f"CANARY~{held.of.key_id}"
            look()
            quote = f"rejected {held.secret.reveal()}"
            for kind in ("vault_set", "store_set"):
                microsoft.fail(kind, 400, {"error": {"code": quote, "message": quote}})
            hook.name = "broken"  # It raises an exception that quotes the value.
            hook.save()
            advance(rotation, "failed")
            look()
            for kind in ("vault_set", "store_set"):
                microsoft.fail(kind, None, OSError(quote))
            advance(rotation, "failed")
            look()
            microsoft.override = {"remove_password": (204, {}, "")}
            hook.name = "jobs"
            hook.save()
            sinks.add_response(act(browser, rotation, "rotate"))
            assert rotation.secrets.get().state == "current"
            told = io.StringIO()
            for command in ("rotate", "watch"):
                call_command(f"infisical_azure_{command}", json=True, stdout=told, stderr=told)
            sinks.add("printed", told.getvalue())
            look()
    assert len(made) == 2
    assert {where for where, _ in sinks.texts} >= {"log", "mail", "page", "repr", "printed"}
    assert {f"table {RotatedSecret._meta.db_table}"} < {where for where, _ in sinks.texts}
    assert sinks.search(values_of(azure, made)) == []


@pytest.fixture
def short(settings: Any) -> None:
    """One proof is enough where each line of it is broken."""
    settings.INFISICAL_AZURE = {**settings.INFISICAL_AZURE, "ROTATION_PROOFS": 1}
    settings.DEBUG = False


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_exception_after_any_step_of_a_rotation_shows_no_value(
    browser: Browser, rotation: Rotation, azure: Azure, microsoft: Microsoft, short: None
) -> None:
    browser.raise_request_exception = False
    made: set[str] = set()
    rotation.destinations.create(kind="app-configuration", place="store", name="plain")
    page = url(browser, rotation, "rotation_act")

    def run(injector: Injector) -> Any:
        made.update(azure.ours)
        azure.secrets = [client_secret("somebody else's", days=300)]
        rotation.secrets.all().delete()
        Rotation.objects.update(lease_until=None, sweep_at=None, problem="", failures=0)
        with injector:
            return browser.post(page, {"act": "rotate"})

    everywhere(run, made, azure)


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_exception_after_any_step_of_an_issue_shows_no_value(
    browser: Browser,
    connection: AppConnection,
    azure: Azure,
    microsoft: Microsoft,
    short: None,
) -> None:
    browser.raise_request_exception = False
    page = browser.url("secret_add", connection.pk, APPLICATION)
    made: set[str] = set()

    def run(injector: Injector) -> Any:
        made.update(azure.ours)
        azure.secrets = [client_secret("somebody else's", days=300)]
        form = {"name": "by hand", "lifetime": "30", "attempt": str(uuid.uuid4())}
        with injector:
            response = browser.post(page, form)
        # Where all went well despite it, the page is the one that shows the value.
        return response if response.status_code != 200 else browser.get(page)

    everywhere(run, made, azure)


def everywhere(run: Any, made: set[str], azure: Azure) -> None:
    """Raise at each line that a run takes, the first and the last time; search what is left."""
    run(Injector())  # What is done once in a process is done now.
    scout = Injector()
    assert contextvars.copy_context().run(run, scout).status_code < 400
    assert len(scout.lines) > 150
    moments = sorted(scout.moments())[::STEP]
    with listening() as sinks:
        hits = inject_everywhere(run, moments, sinks)
        dumped(sinks)
    assert hits == len(moments)
    assert len(made) > 5
    assert sinks.search(values_of(azure, made)) == []
