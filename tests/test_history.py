"""The history: only ever added to, whoever asks, until its time is over."""

from __future__ import annotations

import io
import uuid
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.contrib.auth.models import AnonymousUser, User
from django.core.management import call_command
from django.db import IntegrityError, transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone, translation
from django.utils.connection import ConnectionDoesNotExist

from infisical_azure import history
from infisical_azure.exceptions import (
    DeliveryError,
    Fault,
    Reaction,
    RemoteError,
    TokenUnavailableError,
)
from infisical_azure.history import Act, Outcome, record
from infisical_azure.models import AppConnection, Authorization, HistoryEntry, Rotation

from .conftest import Browser

pytestmark = pytest.mark.django_db
LIST = reverse("admin:infisical_azure_historyentry_changelist")


@pytest.fixture
def entry(connection: AppConnection, browser: Browser) -> HistoryEntry:
    return record(Act.CONNECTION_TESTED, connection, user=browser.user)


def facts(entry: HistoryEntry, *names: str) -> tuple[Any, ...]:
    entry.refresh_from_db()
    return tuple(getattr(entry, name) for name in names)


# What is written


def test_entry_of_a_connection(entry: HistoryEntry, connection: AppConnection) -> None:
    assert facts(entry, "act", "outcome", "organization_id", "connection_id") == (
        Act.CONNECTION_TESTED,
        Outcome.DONE,
        str(connection.organization_id),
        connection.pk,
    )
    assert facts(entry, "connection_name", "actor") == ("production", "ada")
    assert entry.actor_id == str(User.objects.get(username="ada").pk)
    assert str(entry) == "Test connection: Done"


def test_entry_of_a_destination_names_its_rotation(rotation: Rotation) -> None:
    destination = rotation.destinations.get()
    entry = record(Act.DESTINATION_ADDED, destination)
    assert facts(entry, "destination_id", "rotation_id", "connection_id", "application_id") == (
        destination.pk,
        rotation.pk,
        rotation.connection_id,
        uuid.UUID(str(rotation.application_id)),
    )
    assert facts(entry, "name", "application_name", "actor") == ("team / hr-secret", "HR", "")


def test_entry_of_a_round_trip(browser: Browser, connection: AppConnection) -> None:
    browser.begin(name="second")
    round_trip = Authorization.objects.get(name="second")
    names = ("organization_id", "connection_id", "connection_name")
    organization_id = str(browser.organization.pk)
    entry = record(Act.SIGNED_IN, round_trip, user=AnonymousUser(), outcome=Outcome.FAILED)
    assert facts(entry, *names, "actor_id") == (organization_id, None, "second", "")
    round_trip.connection = connection
    entry = record(Act.SIGNED_IN, round_trip)
    assert facts(entry, *names) == (organization_id, connection.pk, "production")


def test_entry_of_an_organization(browser: Browser) -> None:
    entry = record(Act.FEED_ADDED, browser.organization)
    assert facts(entry, "organization_id", "connection_id") == (str(browser.organization.pk), None)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (RemoteError(Fault(service="S", error="E" * 99, correlation_id="c")), ("E" * 64, "c")),
        (RemoteError(Fault(service="S")), ("no_usable_answer", "")),
        (
            TokenUnavailableError(
                connection_id=uuid.uuid4(),
                reaction=Reaction.RETRY,
                problem="throttled",
                correlation_id="d",
            ),
            ("throttled", "d"),
        ),
        (DeliveryError("its text is not kept"), ("DeliveryError", "")),
    ],
)
def test_error_is_kept_as_code_and_id(
    connection: AppConnection, error: Exception, expected: tuple[str, str]
) -> None:
    entry = record(Act.CONNECTION_TESTED, connection, outcome=Outcome.FAILED, error=error)
    assert facts(entry, "problem", "correlation_id") == expected


def test_names_from_elsewhere_fit_and_hold_no_controls(connection: AppConnection) -> None:
    entry = record(Act.SECRET_ISSUED, connection, name="a\x00\n\u202eb" + "c" * 300)
    assert facts(entry, "name") == ("ab" + "c" * 254,)


def test_what_is_rolled_back_is_not_told_of(connection: AppConnection) -> None:
    before = HistoryEntry.objects.count()
    with transaction.atomic():
        record(Act.CONNECTION_EDITED, connection)
        transaction.set_rollback(True)
    assert HistoryEntry.objects.count() == before


def test_one_attempt_has_one_entry_of_each_outcome(connection: AppConnection) -> None:
    attempt = uuid.uuid4()
    record(Act.SECRET_ISSUED, connection, outcome=Outcome.BEGUN, attempt=attempt)
    record(Act.SECRET_ISSUED, connection, attempt=attempt)
    with pytest.raises(IntegrityError), transaction.atomic():
        record(Act.SECRET_ISSUED, connection, outcome=Outcome.BEGUN, attempt=attempt)


@pytest.mark.parametrize("choice", [*Act, *Outcome])
def test_act_and_outcome_have_words_for_people(choice: Any) -> None:
    made_of_its_name = choice.name.replace("_", " ").title()
    with translation.override("de"):
        assert choice.label != made_of_its_name


def test_end_that_failed_or_was_told_of_elsewhere_explains_nothing(
    connection: AppConnection,
) -> None:
    elsewhere = AppConnection(pk=uuid.uuid4(), organization=connection.organization)
    key = {"key_id": uuid.uuid4()}
    secrets = connection.watched_secrets
    secrets.create(**key, application_id=uuid.uuid4(), app_id=uuid.uuid4(), seen_at=timezone.now())
    record(Act.SECRET_ISSUED, elsewhere, **key)
    record(Act.SECRET_ISSUED, connection, outcome=Outcome.UNCERTAIN, **key)
    entries = HistoryEntry.objects.issued_and_not_gone
    assert list(entries(connection.pk, secrets.all())) == []
    issued = record(Act.SECRET_ISSUED, connection, **key)
    record(Act.SECRET_REMOVED, connection, outcome=Outcome.FAILED, **key)
    record(Act.SECRET_REMOVED, elsewhere, **key)
    assert list(entries(connection.pk, secrets.all())) == [issued]
    record(Act.SECRET_REMOVED, connection, **key)
    assert list(entries(connection.pk, secrets.all())) == []


# Nothing changes it


@pytest.mark.parametrize(
    "change",
    [
        lambda entry: entry.save(),
        lambda entry: entry.delete(),
        lambda entry: HistoryEntry.objects.update(actor="nobody"),
        lambda entry: HistoryEntry.objects.all().delete(),
        lambda entry: HistoryEntry.objects.bulk_update([entry], ["actor"]),
        lambda entry: HistoryEntry.objects.bulk_create([entry], update_conflicts=True),
        lambda entry: HistoryEntry.objects.update_or_create({"actor": "x"}, pk=entry.pk),
        lambda entry: HistoryEntry._base_manager.filter(pk=entry.pk).delete(),
        lambda entry: HistoryEntry._base_manager.filter(pk=entry.pk).update(actor="x"),
    ],
)
def test_entry_can_be_neither_changed_nor_deleted(entry: HistoryEntry, change: Any) -> None:
    entry.actor = "nobody"
    with pytest.raises(TypeError, match="append-only"), transaction.atomic():
        change(entry)
    assert facts(entry, "actor") == ("ada",)


def test_entry_is_saved_in_the_database_that_is_wanted() -> None:
    with pytest.raises(ConnectionDoesNotExist):
        HistoryEntry(act=Act.FEED_ADDED, organization_id="1").save(using="elsewhere")


def test_copy_can_not_overwrite_the_original(entry: HistoryEntry) -> None:
    copy = HistoryEntry(pk=entry.pk, act=Act.FEED_ADDED, organization_id="1")
    with pytest.raises(IntegrityError), transaction.atomic():
        copy.save()
    assert facts(entry, "act") == (Act.CONNECTION_TESTED,)


def test_entry_outlives_all_that_it_tells_of(entry: HistoryEntry, browser: Browser) -> None:
    browser.organization.delete()
    browser.user.delete()
    assert not AppConnection.objects.exists()
    assert facts(entry, "actor", "connection_name") == ("ada", "production")


# The pages


def shown(browser: Browser, url: str, **query: str) -> list[HistoryEntry]:
    """Return the entries that a page shows."""
    response = browser.get(url, query)
    assert response.status_code == 200
    assert "<h2>Activity</h2>" in response.content.decode()
    return list(response.context["entries"])


def test_pages_show_what_was_done_to_the_thing_itself(browser: Browser, rotation: Rotation) -> None:
    connection = rotation.connection
    own = record(Act.CONNECTION_TESTED, connection, user=browser.user)
    issued = record(Act.SECRET_ISSUED, connection, application_id=rotation.application_id)
    paused = record(Act.ROTATION_PAUSED, rotation)
    for about in (
        AppConnection(pk=uuid.uuid4(), organization=browser.organization),
        browser.organization,
    ):
        record(Act.CONNECTION_TESTED, about)
    for name, args, expected in (
        ("connection_detail", [connection.pk], [paused, issued, own]),
        ("application_detail", [connection.pk, rotation.application_id], [paused, issued]),
        ("rotation_detail", [connection.pk, rotation.pk], [paused]),
    ):
        assert shown(browser, browser.url(name, *args))[:3] == expected, name
    assert len(shown(browser, browser.url("connection_detail", connection.pk))) == 4


def test_entry_says_who_what_and_how_it_went(browser: Browser, connection: AppConnection) -> None:
    record(
        Act.SECRET_REMOVED,
        connection,
        user=browser.user,
        outcome=Outcome.UNCERTAIN,
        error=RemoteError(Fault(service="S", error="Timeout", correlation_id="corr-1")),
        application_name="HR",
        name="<b>ci</b>",
    )
    content = browser.get(browser.url("connection_detail", connection.pk)).content.decode()
    for words in ("Remove client secret: &lt;b&gt;ci&lt;/b&gt;", "by ada", "HR", "corr-1",
                  "Timeout", "Uncertain: Microsoft did not answer"):  # fmt: skip
        assert words in content


def test_newest_entries_come_first_in_pages(browser: Browser, connection: AppConnection) -> None:
    url = browser.url("connection_detail", connection.pk)
    entries = [record(Act.CONNECTION_TESTED, connection) for _ in range(20)][::-1]
    assert shown(browser, url) == entries
    assert 'rel="next"' in browser.get(url).content.decode()
    assert [entry.act for entry in shown(browser, url, page="2")] == [Act.CONNECTION_ADDED]
    assert browser.get(url, {"page": "3"}).status_code == 404


def test_what_was_begun_is_shown_until_it_has_ended(
    browser: Browser, connection: AppConnection
) -> None:
    url = browser.url("connection_detail", connection.pk)
    attempt, another = uuid.uuid4(), uuid.uuid4()
    begun = record(Act.SECRET_ISSUED, connection, outcome=Outcome.BEGUN, attempt=attempt)
    record(Act.SECRET_ISSUED, connection, attempt=another)
    assert begun in shown(browser, url)
    record(Act.SECRET_ISSUED, connection, outcome=Outcome.FAILED, attempt=attempt)
    assert begun not in shown(browser, url)
    assert len(shown(browser, url)) == 3


# Staff


@pytest.fixture
def staff(entry: HistoryEntry) -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    return client


def test_staff_finds_the_entries_of_a_removed_connection(
    staff: Client, entry: HistoryEntry
) -> None:
    AppConnection.objects.all().delete()
    for words in (entry.connection_id, entry.connection_name, "ada", entry.organization_id):
        content = staff.get(LIST, {"q": str(words), "at__year": entry.at.year}).content.decode()
        assert "Test connection" in content, words
    assert "0 history" in staff.get(LIST, {"q": "somebody else"}).content.decode()
    page = staff.get(reverse("admin:infisical_azure_historyentry_change", args=[entry.pk]))
    assert "production" in page.content.decode()


def test_superuser_can_only_read(staff: Client, entry: HistoryEntry) -> None:
    name = "admin:infisical_azure_historyentry"
    change, delete = (reverse(f"{name}_{act}", args=[entry.pk]) for act in ("change", "delete"))
    assert staff.post(reverse(f"{name}_add"), {"act": "feed-added"}).status_code == 403
    assert staff.post(change, {"actor": "nobody"}).status_code == 403
    assert staff.post(delete, {"post": "yes"}).status_code == 403
    chosen = {"_selected_action": [str(entry.pk)], "action": "delete_selected", "post": "yes"}
    staff.post(LIST, chosen)
    assert facts(entry, "actor") == ("ada",)


# Until its time is over


def test_command_deletes_what_is_old(entry: HistoryEntry, settings: Any) -> None:
    settings.INFISICAL_AZURE = {**settings.INFISICAL_AZURE, "HISTORY_DAYS": 30}
    number = HistoryEntry.objects.count()
    with time_machine.travel(timezone.now() + timedelta(days=29)):
        assert purged() == "0 history entries older than 30 days deleted."
    with time_machine.travel(timezone.now() + timedelta(days=31)):
        fresh = record(Act.CONNECTION_TESTED, AppConnection.objects.get())
        expected = f"{number} history entries older than 30 days"
        assert purged("--dry-run") == f"{expected} would be deleted."
        assert HistoryEntry.objects.count() == number + 1
        assert purged() == f"{expected} deleted."
    assert HistoryEntry.objects.get() == fresh


def purged(*arguments: str) -> str:
    out = io.StringIO()
    call_command("infisical_azure_purge", *arguments, stdout=out)
    return out.getvalue().strip()


def test_purge_deletes_in_chunks(connection: AppConnection, django_assert_num_queries: Any) -> None:
    with time_machine.travel(timezone.now() - timedelta(days=500)):
        for _ in range(1001):
            record(Act.CONNECTION_TESTED, connection)
    with django_assert_num_queries(5):
        assert history.purge() == 1001


def test_task_purges(entry: HistoryEntry) -> None:
    tasks = pytest.importorskip("infisical_azure.tasks")
    number = HistoryEntry.objects.count()
    with time_machine.travel(timezone.now() + timedelta(days=401)):
        assert tasks.purge_history() == number
