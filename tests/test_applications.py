"""The directory's applications on their pages, and what is done to their client secrets."""

from __future__ import annotations

import json
import re
import uuid
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from django.utils import timezone

from infisical_azure.models import AppConnection, HistoryEntry

from .conftest import Browser
from .held_tokens import expire
from .hostapp.host import add_member, remove_member
from .microsoft import (
    APPLICATION,
    CLIENT_ID,
    CLIENT_SECRET,
    CORRELATION,
    GRAPH,
    KEY_ID,
    NEW_KEY,
    Microsoft,
    application,
    client_secret,
    error,
)
from .rotations import later

pytestmark = pytest.mark.django_db
LISTING = f"{GRAPH}/v1.0/applications"
NEXT = f"{LISTING}?$select=id&$skiptoken=RFNwdAIAAQ"


def page(browser: Browser, connection: AppConnection, name: str = "application_list") -> str:
    args = {
        "application_list": [],
        "application_detail": [APPLICATION],
        "secret_add": [APPLICATION],
        "secret_remove": [APPLICATION, KEY_ID],
    }[name]
    return browser.url(name, connection.pk, *args)


def show(
    browser: Browser, connection: AppConnection, name: str = "application_list", **query: str
) -> Any:
    return browser.get(page(browser, connection, name), query)


def asked(microsoft: Microsoft, kind: str = "applications") -> Any:
    """Return the one request of that kind."""
    (request,) = [request for found, request in microsoft.requests if found == kind]
    return request


def query_of(request: Any) -> dict[str, str]:
    return {key: value[0] for key, value in parse_qs(urlsplit(request.url).query).items()}


def add(browser: Browser, connection: AppConnection, **form: Any) -> Any:
    form = {"name": "build server", "lifetime": "180", "attempt": str(uuid.uuid4()), **form}
    return browser.post(page(browser, connection, "secret_add"), form)


def remove(browser: Browser, connection: AppConnection, name: str = "ci") -> Any:
    return browser.post(page(browser, connection, "secret_remove"), {"name": name})


def graph_error(code: str) -> dict[str, Any]:
    return {"error": {"code": code, "message": "CANARY-message"}}


# The list


def test_list_costs_one_request_for_what_it_shows(
    browser: Browser, connection: AppConnection, microsoft: Microsoft
) -> None:
    response = show(browser, connection)
    assert "Payroll Export" in response.content.decode()
    assert "Expires in 12 days" in response.content.decode()
    assert [kind for kind, _ in microsoft.requests] == ["applications"]
    request = asked(microsoft)
    assert query_of(request) == {
        "$select": "id,appId,displayName,passwordCredentials",
        "$top": "25",
        "$orderby": "displayName",
    }
    assert "ConsistencyLevel" not in request.headers


@pytest.mark.parametrize(
    ("search", "asks"),
    [
        ("payroll", {"$search": '"displayName:payroll"'}),
        ('a "b" \\c', {"$search": '"displayName:a \\"b\\" \\\\c"'}),
        (f" {CLIENT_ID} ", {"$filter": f"appId eq '{CLIENT_ID}'"}),
    ],
)
def test_search_is_done_by_graph(
    browser: Browser,
    connection: AppConnection,
    microsoft: Microsoft,
    search: str,
    asks: dict[str, str],
) -> None:
    response = show(browser, connection, search=search)
    assert response.context["search"] == search.strip()
    assert asks.items() <= query_of(asked(microsoft)).items()
    is_eventual = asked(microsoft).headers.get("ConsistencyLevel") == "eventual"
    assert is_eventual == ("$search" in asks)


@pytest.mark.parametrize("search", ["", "pay"])
def test_next_page_is_graphs_link_letter_by_letter(
    browser: Browser, connection: AppConnection, microsoft: Microsoft, search: str
) -> None:
    link = f"{NEXT}&$search=%22displayName%3Apay%22" if search else NEXT
    microsoft.applications["@odata.nextLink"] = link
    content = show(browser, connection, search=search).content.decode()
    (after,) = re.findall(r'after=([^"]+)" rel="next"', content)
    microsoft.requests.clear()
    del microsoft.applications["@odata.nextLink"]
    content = show(browser, connection, search=search, after=unquote(after)).content.decode()
    assert unquote(asked(microsoft).url) == unquote(link)
    assert (asked(microsoft).headers.get("ConsistencyLevel") == "eventual") == bool(search)
    assert "Next page" not in content
    assert "First page" in content


def test_page_that_graph_no_longer_keeps_is_the_first_one(
    browser: Browser, connection: AppConnection, microsoft: Microsoft
) -> None:
    microsoft.applications["@odata.nextLink"] = NEXT
    after = show(browser, connection).context["after"]
    microsoft.requests.clear()
    with later(hours=2):
        assert show(browser, connection, after=after).status_code == 200
    (request,) = [request for kind, request in microsoft.requests if kind == "applications"]
    assert "skiptoken" not in request.url


def test_page_of_another_search_or_of_nobody_is_refused(
    browser: Browser, connection: AppConnection, microsoft: Microsoft
) -> None:
    microsoft.applications["@odata.nextLink"] = NEXT
    after = show(browser, connection).context["after"]
    microsoft.requests.clear()
    assert show(browser, connection, after=f"{after}x").status_code == 404
    assert show(browser, connection, after=after, search="x").status_code == 404
    assert microsoft.requests == []


def test_link_that_is_not_graphs_is_not_followed(
    browser: Browser, connection: AppConnection, microsoft: Microsoft
) -> None:
    microsoft.applications["@odata.nextLink"] = "https://evil.example/v1.0/applications?x"
    response = show(browser, connection)
    assert response.status_code == 200
    assert "Next page" not in response.content.decode()


@pytest.mark.parametrize(
    ("applications", "search", "words"),
    [
        ({"value": []}, "", "No applications"),
        ({"value": []}, "zzz", "Nothing found"),
        ({"value": [], "@odata.nextLink": NEXT}, "", "There are more"),
        ({"value": [{"displayName": "no ids"}, "odd"]}, "", "No applications"),
        ({}, "", "No applications"),
    ],
)
def test_empty_page_says_why(
    browser: Browser,
    connection: AppConnection,
    microsoft: Microsoft,
    applications: dict[str, Any],
    search: str,
    words: str,
) -> None:
    microsoft.applications = applications
    assert words in show(browser, connection, search=search).content.decode()


def test_list_says_what_ends_next_and_counts_what_has_ended(
    browser: Browser, connection: AppConnection, microsoft: Microsoft
) -> None:
    for_ever = client_secret(endDateTime=None)
    microsoft.applications["value"] = [
        application("HR") | {"passwordCredentials": secrets}
        for secrets in (
            [client_secret(days=days) for days in (90, -40, 3.5)],
            [client_secret(days=days) for days in (-40.5, -5.5)],
            [client_secret(days=-1), for_ever],
            [],
        )
    ]
    response = show(browser, connection)
    seen = [(expiry and expiry.text, expired) for _, expiry, expired in response.context["rows"]]
    assert seen == [
        ("Expires in 3 days", 1),
        ("Expired 5 days ago", 2),
        ("Never expires", 1),
        (None, 0),
    ]
    assert response.content.decode().count("(1 expired)") == 2
    assert "(2 expired)" not in response.content.decode()


# One application


def test_application_shows_its_secrets_in_the_order_of_their_end(
    browser: Browser, connection: AppConnection, microsoft: Microsoft
) -> None:
    microsoft.applications["value"] = [
        application(
            "HR",
            client_secret("for ever", endDateTime=None, hint=None, startDateTime=None),
            client_secret("legacy", days=-40.5),
            client_secret("today", days=-0.5),
            client_secret(None, days=0.5),
            client_secret("far", days=400.5, endDateTime="2999-01-01T00:00:00"),
            client_secret("no id", keyId="x"),
        )
    ]
    content = show(browser, connection, "application_detail").content.decode()
    words = ["Expired 40 days ago", "Expired today", "Without a name", "Expires within a day"]
    words += ["Expires in", "Never expires"]
    places = [content.index(text) for text in words]
    assert places == sorted(places)
    assert "no id" not in content
    assert "CAN…" in content


def test_each_failure_says_what_to_do(
    browser: Browser, connection: AppConnection, microsoft: Microsoft
) -> None:
    for status, code, shown, words in (
        (403, "Authorization_RequestDenied", 502, "Application Administrator"),
        (404, "Request_ResourceNotFound", 404, "The application is not there"),
        (400, "Odd", 502, "Microsoft Graph refused the request"),
        (429, "TooManyRequests", 502, "too many requests"),
        (503, "ServiceUnavailable", 502, "could not be reached"),
    ):
        headers = {"request-id": CORRELATION, "Retry-After": "9"}
        microsoft.fail("application", status, graph_error(code), **headers)
        response = show(browser, connection, "application_detail")
        assert response.status_code == shown
        assert words in response.content.decode()
        assert CORRELATION in response.content.decode()
        assert "CANARY" not in response.content.decode()


@pytest.mark.parametrize(
    ("status", "query", "words"),
    [
        (503, {}, "Try again"),
        (403, {"search": "pay"}, "Try again"),
        (400, {"after": NEXT}, "List the applications"),
    ],
)
def test_failed_list_leads_on(
    browser: Browser,
    connection: AppConnection,
    microsoft: Microsoft,
    status: int,
    query: dict[str, str],
    words: str,
) -> None:
    if "after" in query:
        microsoft.applications["@odata.nextLink"] = NEXT
        query = {"after": show(browser, connection).context["after"]}
    microsoft.fail("applications", status, graph_error("Odd"))
    response = show(browser, connection, **query)
    ((href, text),) = re.findall(r'button-main" href="([^"]*)">([^<]*)', response.content.decode())
    assert text == words
    address = page(browser, connection)
    assert href == (f"{address}?search=pay" if "search" in query else address)


def test_application_that_can_not_be_read_is_no_application(
    browser: Browser, connection: AppConnection, microsoft: Microsoft
) -> None:
    microsoft.applications["value"] = [{"displayName": "no ids"}]
    response = show(browser, connection, "application_detail")
    assert response.status_code == 502
    assert "no-store" in response["Cache-Control"]
    assert response["X-Frame-Options"] == "DENY"


def test_connection_without_access_says_so(
    browser: Browser, connection: AppConnection, microsoft: Microsoft, settings: Any
) -> None:
    expire()
    microsoft.fail("token", 400, error(50173))
    response = show(browser, connection)
    assert response.status_code == 502
    assert "The access was revoked at Microsoft" in response.content.decode()
    assert "Open the connection</a>" in response.content.decode()
    assert "Try again</a>" not in response.content.decode()
    settings.INFISICAL_AZURE = {**settings.INFISICAL_AZURE, "CLOUDS": ["china"]}
    assert "no longer enabled" in show(browser, connection).content.decode()


def test_token_that_graph_rejects_is_replaced_once(
    browser: Browser, connection: AppConnection, microsoft: Microsoft
) -> None:
    microsoft.fail("applications", 401, graph_error("InvalidAuthenticationToken"))
    microsoft.before["token"] = lambda: microsoft.override.pop("applications")
    assert show(browser, connection).status_code == 200
    assert microsoft.count("applications") == 2


# Issuing


def outcomes(act: str) -> list[str]:
    """Return how the acts of this kind went, as the history tells it."""
    entries = HistoryEntry.objects.filter(act=act).order_by("pk")
    return list(entries.values_list("outcome", flat=True))


def test_secret_is_issued_and_shown_once(
    browser: Browser, connection: AppConnection, microsoft: Microsoft
) -> None:
    assert 'name="attempt"' in show(browser, connection, "secret_add").content.decode()
    microsoft.requests.clear()
    response = add(browser, connection)
    assert response.content.decode().count(CLIENT_SECRET) == 1
    assert "no-store" in response["Cache-Control"]
    sent = json.loads(asked(microsoft, "add_password").body)["passwordCredential"]
    assert sent["displayName"] == "build server"
    lasts = timezone.datetime.fromisoformat(sent["endDateTime"]) - timezone.now()
    assert 179 <= lasts.days <= 180
    assert outcomes("secret-issued") == ["begun", "done"]
    issued, shown = HistoryEntry.objects.filter(key_id=NEW_KEY).order_by("pk")
    assert (issued.act, shown.act) == ("secret-issued", "secret-shown")
    for entry in (issued, shown):
        assert (entry.actor, entry.outcome, entry.name) == ("ada", "done", "build server")
        assert entry.application_name == "Payroll Export"
        assert "CANARY" not in str(vars(entry))
    microsoft.applications["value"] = [
        application("HR", client_secret("build server", keyId=NEW_KEY))
    ]
    content = show(browser, connection, "application_detail").content.decode()
    assert CLIENT_SECRET not in content
    assert "Issued here" in content
    assert "by ada" in content


@pytest.mark.parametrize(
    "form", [{"name": ""}, {"lifetime": "9999"}, {"attempt": "x"}, {"name": "x" * 121}]
)
def test_bad_input_asks_nobody(
    browser: Browser, connection: AppConnection, microsoft: Microsoft, form: dict[str, str]
) -> None:
    response = add(browser, connection, **form)
    assert response.context["form"].errors
    assert microsoft.count("add_password") == 0


def test_lifetime_that_a_policy_forbids_can_be_corrected(
    browser: Browser, connection: AppConnection, microsoft: Microsoft
) -> None:
    microsoft.fail("add_password", 400, graph_error("CredentialInvalidLifetimeAsPerAppPolicy"))
    response = add(browser, connection)
    assert "Choose a shorter lifetime" in str(response.context["form"].errors["lifetime"])
    assert outcomes("secret-issued") == ["begun", "failed"]
    del microsoft.override["add_password"]
    assert CLIENT_SECRET in add(browser, connection).content.decode()


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("CredentialTypeNotAllowedAsPerAppPolicy", "forbids client secrets"),
        ("Directory_ResourceSizeExceeded", "The application is full"),
    ],
)
def test_refusal_is_explained(
    browser: Browser, connection: AppConnection, microsoft: Microsoft, code: str, words: str
) -> None:
    microsoft.fail("add_password", 400, graph_error(code))
    response = add(browser, connection)
    assert response.status_code == 502
    assert words in response.content.decode()


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (504, graph_error("GatewayTimeout")),
        (200, {"keyId": NEW_KEY}),
        (200, {"secretText": CLIENT_SECRET}),
        (200, "no json"),
        (None, ConnectionError("lost")),
    ],
)
def test_lost_answer_is_no_refusal(
    browser: Browser, connection: AppConnection, microsoft: Microsoft, status: int, body: Any
) -> None:
    microsoft.fail("add_password", status, body)
    response = add(browser, connection)
    assert "may have been made all the same" in response.content.decode()
    assert "If it is there, remove it" in response.content.decode()
    assert "CANARY" not in response.content.decode()
    assert outcomes("secret-issued") == ["begun", "uncertain"]
    assert outcomes("secret-shown") == []
    assert microsoft.count("add_password") == 1


def test_what_was_not_begun_is_not_uncertain(
    browser: Browser, connection: AppConnection, microsoft: Microsoft
) -> None:
    microsoft.fail("application", 503, graph_error("ServiceUnavailable"))
    for content in (add(browser, connection).content, remove(browser, connection).content):
        assert "Microsoft could not be reached" in content.decode()
        assert "all the same" not in content.decode()
    assert outcomes("secret-issued") == outcomes("secret-removed") == []


def test_write_of_somebody_else_is_waited_for(
    browser: Browser, connection: AppConnection, microsoft: Microsoft
) -> None:
    microsoft.fail("add_password", 409, graph_error("Directory_ConcurrencyViolation"))

    def after_one() -> None:
        if microsoft.count("add_password") == 2:
            del microsoft.override["add_password"]

    microsoft.before["add_password"] = after_one
    assert CLIENT_SECRET in add(browser, connection).content.decode()
    assert microsoft.count("add_password") == 2


def test_write_of_somebody_else_is_not_waited_for_for_ever(
    browser: Browser, connection: AppConnection, microsoft: Microsoft
) -> None:
    microsoft.fail("add_password", 409, graph_error("Directory_ConcurrencyViolation"))
    response = add(browser, connection)
    assert "Somebody else is changing" in response.content.decode()
    assert microsoft.count("add_password") == 3


# Removing


def test_secret_is_removed_once_its_name_is_typed(
    browser: Browser, connection: AppConnection, microsoft: Microsoft
) -> None:
    assert "That is not the name" in remove(browser, connection, "other").content.decode()
    assert microsoft.count("remove_password") == 0
    response = remove(browser, connection)
    assert json.loads(asked(microsoft, "remove_password").body) == {"keyId": KEY_ID}
    assert outcomes("secret-removed") == ["begun", "done"]
    removed = HistoryEntry.objects.filter(act="secret-removed")[0]
    assert (removed.actor, removed.name, str(removed.key_id)) == ("ada", "ci", KEY_ID)
    assert "The client secret ci is removed" in browser.get(response["Location"]).content.decode()


@pytest.mark.parametrize(
    ("days", "words"), [(-3, "nothing can sign in with it"), (3, "stops working within minutes")]
)
def test_removal_says_what_it_does(
    browser: Browser, connection: AppConnection, microsoft: Microsoft, days: int, words: str
) -> None:
    microsoft.applications["value"] = [application("HR", client_secret(days=days))]
    assert words in show(browser, connection, "secret_remove").content.decode()


def test_name_is_confirmed_as_the_page_shows_it(
    browser: Browser, connection: AppConnection, microsoft: Microsoft
) -> None:
    microsoft.applications["value"] = [application("HR", client_secret("build  server "))]
    assert remove(browser, connection, "build server").status_code == 302


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Pacific/Honolulu"])
@pytest.mark.parametrize("at", ["9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z"])
def test_end_of_time_is_shown_in_every_time_zone(
    browser: Browser, connection: AppConnection, microsoft: Microsoft, zone: str, at: str
) -> None:
    found = client_secret("for ever", startDateTime=at, endDateTime=at)
    microsoft.applications["value"] = [application("HR", found)]
    with timezone.override(zone):
        assert show(browser, connection).status_code == 200
        assert "for ever" in show(browser, connection, "application_detail").content.decode()


def test_nameless_secret_is_confirmed_by_its_id(
    browser: Browser, connection: AppConnection, microsoft: Microsoft
) -> None:
    microsoft.applications["value"] = [application("HR", client_secret(None))]
    assert remove(browser, connection, KEY_ID[:8]).status_code == 302


def test_secret_that_is_not_there_has_no_page(browser: Browser, connection: AppConnection) -> None:
    url = browser.url("secret_remove", connection.pk, APPLICATION, NEW_KEY)
    assert browser.get(url).status_code == 404


@pytest.mark.parametrize(("status", "code"), [(400, "Request_BadRequest"), (404, "Request_Gone")])
def test_secret_that_is_gone_counts_as_removed(
    browser: Browser, connection: AppConnection, microsoft: Microsoft, status: int, code: str
) -> None:
    microsoft.fail("remove_password", status, graph_error(code))
    microsoft.before["remove_password"] = lambda: microsoft.applications["value"].__setitem__(
        0, application("HR", client_secret("other", keyId=NEW_KEY))
    )
    assert remove(browser, connection).status_code == 302


def test_secret_of_an_application_that_is_gone_counts_as_removed(
    browser: Browser, connection: AppConnection, microsoft: Microsoft
) -> None:
    microsoft.fail("remove_password", 404, graph_error("Request_ResourceNotFound"))
    gone = graph_error("Request_ResourceNotFound")
    microsoft.before["remove_password"] = lambda: microsoft.fail("application", 404, gone)
    assert remove(browser, connection).status_code == 302
    assert outcomes("secret-removed") == ["begun", "done"]


@pytest.mark.parametrize("look", [None, 403])
def test_refused_removal_of_a_secret_that_is_there_is_told(
    browser: Browser, connection: AppConnection, microsoft: Microsoft, look: int | None
) -> None:
    microsoft.fail("remove_password", 400, graph_error("Request_BadRequest"))
    denied = graph_error("Authorization_RequestDenied")
    if look:
        microsoft.before["remove_password"] = lambda: microsoft.fail("application", look, denied)
    assert remove(browser, connection).status_code == 502
    assert outcomes("secret-removed") == ["begun", "failed"]


def test_lost_answer_to_a_removal_is_uncertain(
    browser: Browser, connection: AppConnection, microsoft: Microsoft
) -> None:
    microsoft.fail("remove_password", None, ConnectionError("lost"))
    content = remove(browser, connection).content.decode()
    assert outcomes("secret-removed") == ["begun", "uncertain"]
    assert "may have been made all the same" in content
    assert "Before you try again" in content
    assert page(browser, connection, "application_detail") in content


@pytest.mark.parametrize(("hint", "warns"), [("ope", True), ("xyz", False), (None, False)])
def test_own_secret_is_warned_of(
    browser: Browser,
    connection: AppConnection,
    microsoft: Microsoft,
    settings: Any,
    hint: str | None,
    warns: bool,
) -> None:
    settings.INF_APP_CONNECTION_AZURE_CLIENT_SECRET = "operators~own"
    found = application("Site", client_secret(hint=hint))
    microsoft.applications["value"] = [found | {"appId": CLIENT_ID}]
    content = show(browser, connection, "secret_remove").content.decode()
    assert ("This site itself signs in" in content) == warns


# Who may


def test_reading_and_changing_are_asked_for_apart(
    browser: Browser, connection: AppConnection, microsoft: Microsoft
) -> None:
    remove_member(browser.organization, browser.user)
    add_member(browser.organization, browser.user, "view")
    for name, status in (
        ("application_list", 200),
        ("application_detail", 200),
        ("secret_add", 403),
        ("secret_remove", 403),
    ):
        assert show(browser, connection, name).status_code == status
    content = show(browser, connection, "application_detail").content.decode()
    assert "Add client secret" not in content
    assert "Remove" not in content
    assert add(browser, connection).status_code == 403
    assert remove(browser, connection).status_code == 403
    assert microsoft.count("add_password") + microsoft.count("remove_password") == 0
