"""What ends soon: the page, its timeline, the spreadsheet and the calendar."""

from __future__ import annotations

import csv
import io
import re
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.test import Client
from django.utils import timezone

from infisical_azure.models import AppConnection, Feed, WatchedSecret

from .conftest import Browser
from .hostapp.host import add_member, make_organization, remove_member
from .microsoft import APPLICATION, APPLICATION_CLIENT_ID, TENANT

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def at_noon() -> Any:
    with time_machine.travel(NOON, tick=False):
        yield


@pytest.fixture
def connection(browser: Browser) -> AppConnection:
    return AppConnection.objects.create(
        organization=browser.organization,
        name="production",
        tenant_id=TENANT,
        tenant_name="Contoso",
        account_object_id=TENANT,
        status="ready",
        watched_at=NOON - timedelta(hours=2),
    )


def seen(connection: AppConnection, days: float | None, **more: Any) -> WatchedSecret:
    ends_at = None if days is None else timezone.now() + timedelta(days=days)
    return WatchedSecret.objects.create(
        connection=connection,
        **{
            "application_id": APPLICATION,
            "app_id": APPLICATION_CLIENT_ID,
            "application_name": "Payroll Export",
            "key_id": uuid.uuid4(),
            "name": f"ends-in-{days}",
            "hint": "~Hi",
            "expires_at": ends_at,
            "seen_at": timezone.now(),
            **more,
        },
    )


def content(browser: Browser, **query: str) -> str:
    response = browser.get(browser.url("secret_expiring_list"), query)
    assert response.status_code == 200
    return response.content.decode()


# The page


def test_page_shows_what_has_ended_or_will_soonest_first(
    browser: Browser, connection: AppConnection
) -> None:
    for days in (89, 3, -29, None, 91, -31):
        seen(connection, days)
    text = content(browser)
    places = [text.index(f"ends-in-{days}<") for days in (-29, 3, 89)]
    assert places == sorted(places)
    for days in (None, 91, -31):
        assert f"ends-in-{days}<" not in text
    for words in ("Payroll Export", "production", "~Hi…", "Expired 29 days ago", "Contoso"):
        assert words in text
    assert "1 has expired in the last 30 days, 1 expires within 30 days," in squeezed(text)
    assert "1 in the 60 days after that." in squeezed(text)
    assert browser.url("application_detail", connection.pk, APPLICATION) in text


def squeezed(text: str) -> str:
    return " ".join(text.split())


def test_timeline_has_a_bar_for_each_week(browser: Browser, connection: AppConnection) -> None:
    for days in (-1, -2, 1, 7, 7.1, 30, 83, 85):
        seen(connection, days)
    response = browser.get(browser.url("secret_expiring_list"))
    timeline = response.context["timeline"]
    assert [bar.count for bar in timeline.bars] == [2, 2, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1]
    assert [bar.height for bar in timeline.bars[:4]] == [100, 100, 50, 0]
    assert [str(bar.level) for bar in timeline.bars] == ["expired", *["soon"] * 5, *["fine"] * 7]
    assert (timeline.expired, timeline.soon, timeline.later) == (2, 4, 2)
    text = response.content.decode()
    assert "style=" not in text
    assert re.search(r'<div class="infisical-azure-bars" aria-hidden="true">', text)
    assert '<rect y="50" width="1" height="50" />' in text


def test_page_takes_few_queries_and_never_counts_all(
    browser: Browser, connection: AppConnection, django_assert_max_num_queries: Any
) -> None:
    for _ in range(53):
        seen(connection, 3)
    with django_assert_max_num_queries(12) as queries:
        text = content(browser)
    assert not any("COUNT(*)" in query["sql"] for query in queries.captured_queries)
    assert (text.count("ends-in-3<"), "Next page" in text) == (50, True)
    text = content(browser, page="2")
    assert (text.count("ends-in-3<"), "Next page" in text) == (3, False)
    assert "Previous page" in text
    response = browser.get(browser.url("secret_expiring_list"), {"page": "3"})
    assert response.status_code == 404


def test_page_asks_nobody_at_microsoft(
    browser: Browser, connection: AppConnection, microsoft: Any
) -> None:
    seen(connection, 3, name="", hint="", application_name="")
    text = content(browser)
    assert "Without a name" in text
    assert APPLICATION_CLIENT_ID in text
    assert microsoft.requests == []


def test_empty_page_says_why(browser: Browser, connection: AppConnection) -> None:
    text = content(browser)
    assert "Nothing expires soon" in text
    assert "never been read" not in text
    assert "Download as CSV" not in text
    AppConnection.objects.update(watched_at=None)
    text = content(browser)
    assert "Not known yet" in text
    assert "Never read" in text
    assert "<code>manage.py infisical_azure_watch</code>" in text
    AppConnection.objects.all().delete()
    assert "No connections yet" in content(browser)


def test_other_organizations_are_not_shown(browser: Browser, connection: AppConnection) -> None:
    connection.pk, connection.organization = uuid.uuid4(), make_organization("Elsewhere")
    connection._state.adding = True
    connection.save()
    seen(connection, 3)
    assert "ends-in-3" not in content(browser)
    response = browser.get(browser.url("secret_expiring_csv"))
    assert "ends-in-3" not in response.content.decode()


def test_list_leads_to_it(browser: Browser, connection: AppConnection) -> None:
    text = browser.get(browser.url("connection_list")).content.decode()
    assert browser.url("secret_expiring_list") in text


@pytest.mark.parametrize(
    ("name", "method"),
    [
        ("secret_expiring_list", "get"),
        ("secret_expiring_csv", "get"),
        ("feed_add", "post"),
        ("feed_remove", "post"),
    ],
)
def test_people_without_the_permission_see_nothing(
    browser: Browser, connection: AppConnection, name: str, method: str
) -> None:
    remove_member(browser.organization, browser.user)
    assert getattr(browser, method)(browser.url(name)).status_code == 404
    add_member(browser.organization, browser.user, "add")
    assert getattr(browser, method)(browser.url(name)).status_code == 403
    browser.logout()
    assert getattr(browser, method)(browser.url(name)).status_code == 302


# The spreadsheet


def test_spreadsheet_has_a_line_for_each(browser: Browser, connection: AppConnection) -> None:
    one = seen(connection, 3, starts_at=NOON)
    seen(connection, -3, name='a "b", c')
    response = browser.get(browser.url("secret_expiring_csv"))
    assert response["Content-Type"] == "text/csv; charset=utf-8"
    assert response["Content-Disposition"] == 'attachment; filename="expiring-client-secrets.csv"'
    head, expired, soon = csv.reader(io.StringIO(response.content.decode()))
    assert dict(zip(head, soon, strict=True)) == {
        "application": "Payroll Export",
        "client_id": APPLICATION_CLIENT_ID,
        "connection": "production",
        "name": "ends-in-3",
        "hint": "~Hi",
        "key_id": str(one.key_id),
        "starts": "2026-11-23T12:00:00Z",
        "expires": "2026-11-26T12:00:00Z",
        "state": "Expires in 3 days",
    }
    assert (expired[3], expired[6]) == ('a "b", c', "")


@pytest.mark.parametrize("sign", ["=", "+", "-", "@", "\t", "\r"])
def test_no_cell_is_a_formula(browser: Browser, connection: AppConnection, sign: str) -> None:
    seen(connection, 3, name=f"{sign}cmd()", application_name=f"{sign}x", hint=f"{sign}ab")
    text = browser.get(browser.url("secret_expiring_csv")).content.decode()
    _, line = csv.reader(io.StringIO(text, newline=""))
    assert (line[0], line[3], line[4]) == (f"'{sign}x", f"'{sign}cmd()", f"'{sign}ab")


# The calendar


def make_link(browser: Browser) -> str:
    response = browser.post(browser.url("feed_add"))
    assert "no-store" in response["Cache-Control"]
    (link,) = re.findall(r'value="https://site.example(/[^"]+\.ics)"', response.content.decode())
    return str(link)


def calendar(link: str) -> str:
    response = Client().get(link)
    assert response.status_code == 200
    assert response["Content-Type"] == "text/calendar; charset=utf-8"
    assert response["Cache-Control"] == "private"
    return response.content.decode()


def test_link_is_shown_once_and_stored_as_a_hash(
    browser: Browser, connection: AppConnection
) -> None:
    assert "Create calendar link" in content(browser)
    link = make_link(browser)
    token = link.rsplit("/", 1)[1].removesuffix(".ics")
    feed = Feed.objects.get()
    assert token not in str(vars(feed))
    assert token not in str(feed)
    text = content(browser)
    assert token not in text
    assert "Replace calendar link" in text
    assert browser.get(browser.url("feed_add")).status_code == 405


def test_calendar_has_an_all_day_event_for_each(
    browser: Browser, connection: AppConnection
) -> None:
    one = seen(connection, 3, name="a,b;c\\d")
    seen(connection, 365, name="")
    for days in (-31, 367, None):
        seen(connection, days)
    link = make_link(browser)
    text = calendar(link)
    assert text == calendar(link)
    assert text.count("\n") == text.count("\r\n")
    assert all(len(line.encode()) <= 75 for line in text.split("\r\n"))
    unfolded = text.replace("\r\n ", "")
    lines = unfolded.split("\r\n")
    assert lines[:3] == [
        "BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//infisical_azure//Client secrets//EN"
    ]  # fmt: skip
    assert lines[-2:] == ["END:VCALENDAR", ""]
    assert lines.count("BEGIN:VEVENT") == 2
    for line in (
        f"UID:{connection.pk}.{one.key_id}@infisical-azure",
        "DTSTAMP:20261123T120000Z",
        "DTSTART;VALUE=DATE:20261126",
        "DTEND;VALUE=DATE:20261127",
        r"SUMMARY:Payroll Export: the client secret a\,b\;c\\d expires",
        "SUMMARY:Payroll Export: the client secret without a name expires",
        "DESCRIPTION:Connection: production",
        "X-WR-CALNAME:Client secrets of Tailspin Toys",
        "URL:https://site.example" + browser.url("application_detail", connection.pk, APPLICATION),
    ):
        assert line in lines
    assert "~Hi" not in text


def test_long_and_foreign_names_are_folded_between_characters(
    browser: Browser, connection: AppConnection
) -> None:
    name = "Ünïcödé-秘密🔑" * 12
    seen(connection, 3, application_name=name, name="line\r\nbreak\rhere\n")
    text = calendar(make_link(browser))
    assert all(len(line.encode()) <= 75 for line in text.split("\r\n"))
    unfolded = text.replace("\r\n ", "")
    assert f"SUMMARY:{name}: the client secret line\\nbreak\\nhere\\n expires\r\n" in unfolded


def test_day_is_the_sites(browser: Browser, connection: AppConnection, settings: Any) -> None:
    seen(connection, 3.6)  # 02:24 in UTC
    settings.TIME_ZONE = "America/New_York"
    assert "DTSTART;VALUE=DATE:20261126" in calendar(make_link(browser))


def test_new_link_replaces_the_one_before(browser: Browser, connection: AppConnection) -> None:
    first, second = make_link(browser), make_link(browser)
    assert Client().get(first).status_code == 404
    assert "BEGIN:VCALENDAR" in calendar(second)
    assert Client().get(second.replace(".ics", "x.ics")).status_code == 404
    assert Client().post(second).status_code == 405


def test_removed_link_works_no_more(browser: Browser, connection: AppConnection) -> None:
    link = make_link(browser)
    response = browser.post(browser.url("feed_remove"))
    assert "The calendar link works no more" in browser.get(response["Location"]).content.decode()
    assert Client().get(link).status_code == 404


def test_link_shows_what_its_creator_may_see(browser: Browser, connection: AppConnection) -> None:
    link = make_link(browser)
    remove_member(browser.organization, browser.user)
    assert Client().get(link).status_code == 404
    add_member(browser.organization, browser.user, "add")
    assert Client().get(link).status_code == 404
    remove_member(browser.organization, browser.user)
    add_member(browser.organization, browser.user, "view")
    calendar(link)
    browser.user.is_active = False
    browser.user.save()
    assert Client().get(link).status_code == 404


def test_link_of_another_organization_is_another(
    browser: Browser, connection: AppConnection
) -> None:
    seen(connection, 3)
    elsewhere = make_organization("Elsewhere")
    add_member(elsewhere, browser.user)
    here, browser.organization = browser.organization, elsewhere
    link = make_link(browser)
    assert Feed.objects.count() == 1
    assert "BEGIN:VEVENT" not in calendar(link)
    browser.organization = here
    assert "BEGIN:VEVENT" in calendar(make_link(browser))
    assert Feed.objects.count() == 2
