"""What ends soon: the page, its timeline, the spreadsheet and the calendar."""

from __future__ import annotations

import csv
import hashlib
import html
import io
import itertools
import re
import sys
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.conf import settings
from django.contrib.auth.models import Group, User
from django.core.exceptions import PermissionDenied
from django.core.signals import got_request_exception
from django.db import DatabaseError
from django.db import connection as database
from django.db.models import Model
from django.http import HttpRequest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django.utils.module_loading import import_string
from django.views.debug import ExceptionReporter

from infisical_azure import calendar_links
from infisical_azure.models import AppConnection, Feed, HistoryEntry, Rotation, WatchedSecret

from .conftest import Browser
from .hostapp.host import add_member, make_organization, remove_member
from .microsoft import APPLICATION, APPLICATION_CLIENT_ID, TENANT

pytestmark = pytest.mark.django_db
BASE = import_string(settings.INFISICAL_AZURE["HOST"])
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
    assert "ends-in-3" not in response.getvalue().decode()


def test_organization_that_rotates_a_client_secret_alone_sees_that(
    browser: Browser, connection: AppConnection
) -> None:
    key_id, here, elsewhere = uuid.uuid4(), browser.organization, make_organization("Elsewhere")
    add_member(elsewhere, browser.user)
    rotation = Rotation.objects.create(
        connection=connection,
        application_id=APPLICATION,
        app_id=APPLICATION_CLIENT_ID,
        interval=timedelta(days=30),
        lifetime=timedelta(days=90),
        overlap=timedelta(days=2),
        due_at=NOON + timedelta(days=2),
    )
    rotation.secrets.create(key_id=key_id, state="current")
    seen(connection, 3, key_id=key_id)
    for name, organization, is_shown in (("another", here, True), ("theirs", elsewhere, False)):
        connection.pk, connection.name = uuid.uuid4(), name
        connection.organization = browser.organization = organization
        connection._state.adding = True
        connection.save()
        seen(connection, 3, key_id=key_id)
        assert ("Rotated here" in content(browser)) is is_shown
        # Nor does the calendar of others leave out what the rotation will replace.
        assert ("BEGIN:VEVENT" in calendar(make_link(browser))) is not is_shown


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
    head, expired, soon = csv.reader(io.StringIO(response.getvalue().decode()))
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
    text = browser.get(browser.url("secret_expiring_csv")).getvalue().decode()
    _, line = csv.reader(io.StringIO(text, newline=""))
    assert (line[0], line[3], line[4]) == (f"'{sign}x", f"'{sign}cmd()", f"'{sign}ab")


SEPARATORS = [",", ";", "\t", "|", "\r", "\n"]
FORMULAS = ["=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20", "\u2212"]


def test_no_cell_is_a_formula_whatever_separates_cells(
    browser: Browser, connection: AppConnection
) -> None:
    for separator, sign, between in itertools.product(
        ["", *SEPARATORS], FORMULAS, ["", ' "', "\ufeff\u200b"]
    ):
        seen(connection, 3, name=f"{separator and 'x'}{separator}{between}{sign}cmd|' /C calc'!A0")
    text = browser.get(browser.url("secret_expiring_csv")).getvalue().decode()
    assert text.count("cmd") == 7 * len(FORMULAS) * 3
    for delimiter in SEPARATORS[:4]:
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
        rows += [line.split(delimiter) for line in text.splitlines()]
        for cell in itertools.chain.from_iterable(rows):
            assert not cell.strip(' "\ufeff\u200b').startswith(tuple(FORMULAS)), (delimiter, cell)


def test_cells_without_formulas_are_as_they_were(
    browser: Browser, connection: AppConnection
) -> None:
    names = ["a=b", "build-server", "x; y", "me@site.example", "1+1, 2", "秘密 1"]
    for name in names:
        seen(connection, 3, name=name)
    text = browser.get(browser.url("secret_expiring_csv")).getvalue().decode()
    assert {row[3] for row in csv.reader(io.StringIO(text))} == {"name", *names}


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
    return response.getvalue().decode()


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
    first = make_link(browser)
    with time_machine.travel(NOON + timedelta(days=1), tick=False):
        second = make_link(browser)
    assert Feed.objects.get().created_at == NOON + timedelta(days=1)
    assert Client().get(first).status_code == 404
    assert "BEGIN:VCALENDAR" in calendar(second)
    assert Client().get(second.replace(".ics", "x.ics")).status_code == 404
    assert Client().post(second).status_code == 405


def test_removed_link_works_no_more(browser: Browser, connection: AppConnection) -> None:
    link = make_link(browser)
    response = browser.post(browser.url("feed_remove"))
    assert "The calendar link works no more" in browser.get(response["Location"]).content.decode()
    assert Client().get(link).status_code == 404


def leave(browser: Browser) -> None:
    remove_member(browser.organization, browser.user)


def lose_the_right(browser: Browser) -> None:
    remove_member(browser.organization, browser.user)
    add_member(browser.organization, browser.user, "add")


def be_deactivated(browser: Browser) -> None:
    type(browser.user).objects.update(is_active=False)


@pytest.mark.parametrize("change", [leave, lose_the_right, be_deactivated])
def test_link_of_who_may_no_longer_see_it_ends_for_good(
    browser: Browser, connection: AppConnection, change: Any
) -> None:
    link = make_link(browser)
    calendar(link)
    change(browser)
    assert Client().get(link).status_code == 404
    remove_member(browser.organization, browser.user)
    add_member(browser.organization, browser.user)
    browser.user.is_active = True
    browser.user.save()
    assert Client().get(link).status_code == 404
    newest = HistoryEntry.objects.latest("pk")
    assert (newest.act, newest.actor) == ("feed-removed", "")
    assert "Create calendar link" in content(browser)
    calendar(make_link(browser))


class RefusingHost(BASE):  # type: ignore[misc,valid-type]
    """Tells members of other organizations that they are not let in."""

    def get_organization(self, request: HttpRequest, key: str) -> Model:
        raise PermissionDenied


def test_link_is_not_found_where_the_host_refuses_its_creator(
    browser: Browser, connection: AppConnection, settings: Any
) -> None:
    link = make_link(browser)
    settings.INFISICAL_AZURE = {
        **settings.INFISICAL_AZURE, "HOST": "tests.test_expiring.RefusingHost",
    }  # fmt: skip
    assert Client().get(link).status_code == 404


def test_link_of_who_came_back_stays_dead_though_nobody_read_it(
    browser: Browser, connection: AppConnection
) -> None:
    link = make_link(browser)
    browser.user.is_active = False
    browser.user.save()
    browser.user.is_active = True
    browser.user.save()
    assert Client().get(link).status_code == 404


def test_link_that_is_replaced_while_the_one_before_ends_is_kept(
    browser: Browser, connection: AppConnection
) -> None:
    make_link(browser)
    (old,) = Feed.objects.all()
    link = make_link(browser)
    calendar_links.end(Feed.objects.filter(pk=old.pk, token_hash=old.token_hash))
    calendar(link)


@pytest.mark.parametrize("everybody", [True, False])
@pytest.mark.parametrize("reverse", [True, False])
def test_links_of_who_leaves_a_group_end(
    browser: Browser, connection: AppConnection, settings: Any, reverse: bool, everybody: bool
) -> None:
    settings.INFISICAL_AZURE_ORGANIZATION_MODEL = "auth.Group"
    link, here, person = make_link(browser), browser.organization, browser.user
    near, far = (here, person) if reverse else (person, here)
    other = User.objects.create_user("max") if reverse else make_organization("Elsewhere")
    leavers = calendar_links.end_of_leavers
    for action, keys in (("pre_remove", {far.pk}), ("post_remove", {other.pk})):
        leavers(instance=near, action=action, reverse=reverse, pk_set=keys)
        calendar(link)
    action, left = ("post_clear", None) if everybody else ("post_remove", {far.pk})
    leavers(instance=near, action=action, reverse=reverse, pk_set=left)
    assert Client().get(link).status_code == 404


def test_group_is_asked_only_where_it_is_an_organization(
    browser: Browser, connection: AppConnection
) -> None:
    link, other = make_link(browser), Group.objects.create(name="other")
    browser.user.groups.add(other)
    browser.user.groups.remove(other)
    calendar(link)
    remove_member(browser.organization, browser.user)
    add_member(browser.organization, browser.user)
    is_group = settings.ORGANIZATION == "group"
    assert Client().get(link).status_code == (404 if is_group else 200)


def test_host_ends_the_links_of_who_leaves(browser: Browser, connection: AppConnection) -> None:
    link, elsewhere = make_link(browser), make_organization("Elsewhere")
    calendar_links.end_links(browser.user, elsewhere)
    calendar(link)
    calendar_links.end_links(browser.user, browser.organization)
    assert Client().get(link).status_code == 404


LOGIN_REQUIRED = [*settings.MIDDLEWARE, "django.contrib.auth.middleware.LoginRequiredMiddleware"]


def test_link_needs_no_session_where_every_page_needs_one(
    browser: Browser, connection: AppConnection, settings: Any
) -> None:
    settings.MIDDLEWARE = LOGIN_REQUIRED
    link = make_link(browser)
    assert "BEGIN:VCALENDAR" in calendar(link)
    assert Client().post(link).status_code == 405
    for wrong in (
        link.replace(".ics", "x.ics"),
        re.sub(r"feeds/.*", "feeds/%00.ics", link),
        re.sub(r"/organization/[^/]+/", "/organization/%00/", link),
        link.replace(".ics", ""),
        link.replace(".ics", "/.ics"),
    ):
        response = Client().get(wrong)
        assert (response.status_code, response.has_header("Location")) == (404, False)
    calendar_links.end_links(browser.user)
    assert Client().get(link).status_code == 404


def test_code_of_the_callback_is_in_no_other_url_where_every_page_needs_a_session(
    browser: Browser, settings: Any
) -> None:
    settings.MIDDLEWARE = LOGIN_REQUIRED
    browser.logout()
    callback = reverse("infisical_azure:azure_oauth_callback")
    response = browser.get(f"{callback}?code=CANARY&state=CANARY")
    assert (response.status_code, "CANARY" in response["Location"]) == (303, False)
    assert browser.get(response["Location"]).status_code == 403


def test_token_is_in_no_frame_log_or_referrer(
    browser: Browser, connection: AppConnection, caplog: pytest.LogCaptureFixture
) -> None:
    link = make_link(browser)
    token = link.rsplit("/", 1)[1].removesuffix(".ics")
    response = Client().get(link)
    assert response["Referrer-Policy"] == "no-referrer"
    assert token not in response.getvalue().decode()
    uris = {"RAW_URI": link, "REQUEST_URI": f"https://site.example{link}"}
    reports = []

    def report(request: HttpRequest, **kwargs: Any) -> None:
        reports.append(ExceptionReporter(request, *sys.exc_info()).get_traceback_html())

    def fail(execute: Any, sql: str, *args: Any) -> Any:
        if "infisical_azure_watchedsecret" in sql:
            raise DatabaseError
        return execute(sql, *args)

    client = Client(raise_request_exception=False)
    got_request_exception.connect(report)
    try:
        with database.execute_wrapper(fail):
            assert client.get(link, **uris).status_code == 500
    finally:
        got_request_exception.disconnect(report)
    (report_of_failure,) = reports
    assert "DatabaseError" in report_of_failure
    assert token not in report_of_failure
    calendar_links.end_links(browser.user)
    client.get(link)
    client.post(link)
    assert "Not Found" in caplog.text
    assert token not in caplog.text


class FailingHost(BASE):  # type: ignore[misc,valid-type]
    """Fails at what every page needs."""

    def get_context_data(self, request: HttpRequest, organization: Model) -> dict[str, Any]:
        raise RuntimeError


def test_new_token_is_in_no_frame(
    browser: Browser, connection: AppConnection, settings: Any
) -> None:
    settings.INFISICAL_AZURE = {
        **settings.INFISICAL_AZURE, "HOST": "tests.test_expiring.FailingHost",
    }  # fmt: skip
    with pytest.raises(RuntimeError) as caught:
        browser.post(browser.url("feed_add"))
    report = ExceptionReporter(None, caught.type, caught.value, caught.tb).get_traceback_html()
    assert "<Secret>" in html.unescape(report)
    kept = Feed.objects.get().token_hash
    texts = re.findall(r"(?=([\w-]{43}))", report)
    assert kept not in {hashlib.sha256(text.encode()).hexdigest() for text in texts}


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
