"""Files are sent in parts, and what fails in the middle neither leaks nor passes for a whole."""

from __future__ import annotations

import csv
import gc
import io
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import time_machine
from django.db import connection as database
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone, translation

from infisical_azure.downloads import stream
from infisical_azure.exceptions import UnforeseenError
from infisical_azure.models import AppConnection, WatchedSecret

from .conftest import Browser
from .microsoft import APPLICATION, APPLICATION_CLIENT_ID
from .test_expiring import make_link, seen

pytestmark = pytest.mark.django_db
CANARY = "CANARY-of-a-row"


def many(connection: AppConnection, count: int) -> None:
    """Have so many client secrets, 130 of which end at the same time."""
    now = timezone.now()
    WatchedSecret.objects.bulk_create(
        WatchedSecret(
            connection=connection,
            application_id=APPLICATION,
            app_id=APPLICATION_CLIENT_ID,
            key_id=uuid.uuid4(),
            name=f"n-{number}-{CANARY}",
            expires_at=now + timedelta(days=1, minutes=number // 130),
            seen_at=now,
        )
        for number in range(count)
    )


def names(text: str) -> list[str]:
    return [line["name"] for line in csv.DictReader(io.StringIO(text))]


@pytest.fixture
def spreadsheet(browser: Browser, connection: AppConnection) -> str:
    return browser.url("secret_expiring_csv")


@pytest.mark.parametrize("count", [0, 1, 499, 500, 501, 1250])
def test_every_row_is_in_the_file_once(
    browser: Browser, connection: AppConnection, spreadsheet: str, count: int
) -> None:
    many(connection, count)
    response = browser.get(spreadsheet)
    with CaptureQueriesContext(database) as queries:
        text = response.getvalue().decode()
    assert names(text) == [f"n-{number}-{CANARY}" for number in range(count)]
    assert len(queries) == count // 500  # The first batch was read before.
    assert all("LIMIT 500" in query["sql"] for query in queries)


@pytest.mark.slow
def test_memory_stays_flat(browser: Browser, connection: AppConnection, spreadsheet: str) -> None:
    many(connection, 10_000)
    response = browser.get(spreadsheet)
    lines = 0
    for part in response:
        held = sum(isinstance(thing, WatchedSecret) for thing in gc.get_objects())
        assert held <= 1000
        assert part.count(b"\n") <= 501
        lines += part.count(b"\n")
    assert lines == 10_001


def test_calendar_is_whole_and_has_at_most_a_thousand_events(
    browser: Browser, connection: AppConnection
) -> None:
    many(connection, 1100)
    response = Client().get(make_link(browser))
    assert response.streaming
    lines = response.getvalue().decode().split("\r\n")
    assert (lines[0], lines[-2], lines[-1]) == ("BEGIN:VCALENDAR", "END:VCALENDAR", "")
    assert lines.count("BEGIN:VEVENT") == lines.count("END:VEVENT") == 1000


@time_machine.travel(datetime(2026, 11, 23, 22, 30, tzinfo=UTC))
def test_parts_are_made_in_the_language_and_zone_of_the_request(
    browser: Browser, connection: AppConnection
) -> None:
    many(connection, 500)
    seen(connection, 3, name="")
    link = make_link(browser)
    with translation.override("de"), timezone.override(ZoneInfo("Asia/Tokyo")):
        response = Client().get(link, headers={"Accept-Language": "de"})
    events = response.getvalue().decode().replace("\r\n ", "").split("BEGIN:VEVENT")
    assert all("läuft ab" in event for event in (events[1], events[501]))
    assert "DTSTART;VALUE=DATE:20261127" in events[501]
    assert translation.get_language() == "en-us"


# What fails


class Broken:
    """A database that fails from a number of statements on."""

    def __init__(self, after: int) -> None:
        self.left = after

    def __call__(self, execute: Any, sql: str, *args: Any) -> Any:
        if "watchedsecret" in sql:
            self.left -= 1
            if self.left < 0:
                raise ValueError(CANARY)
        return execute(sql, *args)


def test_failure_in_the_middle_breaks_the_transfer_off_and_leaks_nothing(
    browser: Browser, connection: AppConnection, spreadsheet: str
) -> None:
    many(connection, 600)
    with database.execute_wrapper(Broken(after=1)):
        response = browser.get(spreadsheet)
        parts = iter(response)
        assert next(parts).count(b"\n") == 501
        with pytest.raises(UnforeseenError) as caught:
            next(parts)
    assert CANARY not in str(caught.value)
    assert caught.value.__cause__ is caught.value.__context__ is None
    shown = caught.tb
    while shown is not None:
        assert shown.tb_frame is caught.tb.tb_frame or CANARY not in str(shown.tb_frame.f_locals)
        shown = shown.tb_next


def test_failure_at_the_beginning_is_answered_as_anywhere_else(
    browser: Browser, spreadsheet: str
) -> None:
    browser.raise_request_exception = False
    with database.execute_wrapper(Broken(after=0)):
        response = browser.get(spreadsheet)
    assert response.status_code == 500
    assert CANARY not in response.content.decode()


def test_transfer_that_nobody_waits_for_makes_no_more_parts() -> None:
    made = []

    def parts() -> Iterator[str]:
        for number in range(3):
            made.append(number)
            yield str(number)

    response = stream(parts(), content_type="text/plain")
    assert response["Content-Type"] == "text/plain; charset=utf-8"
    assert next(iter(response)) == b"0"
    response.close()
    assert made == [0]
