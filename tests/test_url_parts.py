"""Characters that no database stores, in each part of each URL."""

from __future__ import annotations

import itertools
import re
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from django.db.models import Model
from django.http import HttpRequest
from django.test import Client
from django.urls import URLPattern, URLResolver, reverse
from django.utils.module_loading import import_string

from infisical_azure import urls
from infisical_azure.models import AppConnection, Rotation

from .conftest import Browser
from .microsoft import APPLICATION, Microsoft

pytestmark = pytest.mark.django_db
BASE = import_string(__import__("tests.settings", fromlist=["x"]).INFISICAL_AZURE["HOST"])
PART = re.compile(r"<(?:(\w+):)?(\w+)>")
#: NUL alone and within, half a character in UTF-8, no UTF-8 at all, a character that is none.
BAD = ["%00", "a%00b", "%ED%A0%80", "%FF", "%EF%BF%BF"]


class SlugHost(BASE):  # type: ignore[misc,valid-type]
    """Looks for what it is given, as a host does whose organizations have slugs."""

    def get_organization(self, request: HttpRequest, key: str) -> Model:
        assert "\0" not in key, "PostgreSQL would refuse it."
        list(AppConnection.objects.filter(name=key))
        return super().get_organization(request, key)  # type: ignore[no-any-return]


def routes(patterns: Any, before: str = "/organization/") -> Iterator[str]:
    for pattern in patterns:
        route = before + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from routes(pattern.url_patterns, route)
        else:
            assert isinstance(pattern, URLPattern)
            yield route


ROUTES = list(routes(urls.urlpatterns))


@pytest.fixture
def parts(browser: Browser, rotation: Rotation, settings: Any) -> dict[str, str]:
    """Whatever URLs name, as it is found."""
    settings.INFISICAL_AZURE = {
        **settings.INFISICAL_AZURE, "HOST": "tests.test_url_parts.SlugHost",
    }  # fmt: skip
    key = browser.url("connection_list").split("/")[2]
    known = {
        "organization": key,
        "pk": rotation.connection_id,
        "application": APPLICATION,
        "rotation": rotation.pk,
        "destination": rotation.destinations.get().pk,
        "token": "x" * 43,
        "code": "cancelled",
    }
    return {name: str(value) for name, value in known.items()}


def test_every_route_is_found() -> None:
    assert len(ROUTES) >= 26
    assert {kind for route in ROUTES for kind, _ in PART.findall(route)} == {
        "str", "uuid", "slug", "infisical_azure_token"
    }  # fmt: skip


def test_what_no_database_stores_is_not_found_in_any_part_of_a_url(
    browser: Browser, parts: dict[str, str], microsoft: Microsoft
) -> None:
    stranger = Client()
    for route in ROUTES:
        names = [name for _, name in PART.findall(route)]
        for name in names:
            for number, bad in enumerate(BAD):
                values = {other: parts.get(other, str(uuid.uuid4())) for other in names}
                url = PART.sub(lambda part, v=values | {name: bad}: v[part[2]], route)
                client = stranger if number == 1 else browser
                for ask in (client.get, client.post):
                    response = ask(url)
                    # Who sends something to a calendar is told so before it is looked for.
                    is_sent = ask == client.post and ".ics" in url
                    assert response.status_code in ({404, 405} if is_sent else {404}), url
    assert microsoft.requests == []


QUERY = "page search after connected again code state error x"


def test_query_strings_with_it_break_no_page(
    browser: Browser, parts: dict[str, str], microsoft: Microsoft
) -> None:
    for route, value in zip(ROUTES, itertools.cycle(["a%00b", "%00", "%FF"]), strict=False):
        url = PART.sub(lambda part: parts.get(part[2], str(uuid.uuid4())), route)
        plain = browser.get(url).status_code
        for name in QUERY.split():
            status = browser.get(f"{url}?{name}={value}").status_code
            assert status == plain or (status == 404 and name == "after"), (url, name)
    searches = [r.url for kind, r in microsoft.requests if kind == "applications"]
    assert searches
    assert not any("%00" in url for url in searches)


@pytest.mark.parametrize(
    "name",
    ["code", "state", "error", "error_description", "error_subcode", "iss", "session_state",
     "admin_consent", "claims"],
)  # fmt: skip
@pytest.mark.parametrize("known", [True, False])
def test_answers_with_it_break_no_callback(
    browser: Browser, microsoft: Microsoft, name: str, known: bool
) -> None:
    sent = browser.begin().sent if known else {"state": "x"}
    answer: dict[str, Any] = {"error": "invalid_grant", "code": None} if "error_" in name else {}
    response = browser.come_back(sent, **answer | {name: "a\0b"})
    assert response.status_code == 303
    assert browser.get(response["Location"]).status_code < 500


def test_page_of_a_problem_is_asked_for_by_its_code() -> None:
    url = reverse("infisical_azure:azure_oauth_problem", args=["cancelled"])
    assert Client().get(url.replace("cancelled", "%00")).status_code == 404
