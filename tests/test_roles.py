"""Who may do what: every URL of urls.py, by every method, as everybody."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from html import unescape
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection as database
from django.db import transaction
from django.db.models import Model
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import URLPattern, resolve, reverse

from infisical_azure import urls
from infisical_azure.host import Host, get_host
from infisical_azure.models import AppConnection, Authorization, Feed, Rotation
from infisical_azure.permissions import ASKED

from .conftest import Browser
from .hostapp.host import ACTIONS, add_member, make_organization
from .microsoft import APPLICATION, KEY_ID, TENANT, Microsoft
from .test_expiring import seen

pytestmark = pytest.mark.django_db

METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE")
#: Each page of an organization: the permission that it asks for, and the methods it has.
TABLE = {
    "connection_list": ("view", "GET"),
    "connection_options": ("add", "GET"),
    "azure_connection_add": ("add", "GET POST PUT"),
    "secret_expiring_list": ("view", "GET"),
    "secret_expiring_csv": ("view", "GET"),
    "feed_add": ("view", "POST"),
    "feed_remove": ("view", "POST"),
    "problem": ("view", "GET"),
    "connection_detail": ("view", "GET"),
    "connection_edit": ("change", "GET POST PUT"),
    "connection_reconnect": ("change", "GET POST PUT"),
    "connection_test": ("change", "POST"),
    "connection_remove": ("delete", "GET POST PUT"),
    "application_list": ("view", "GET"),
    "application_detail": ("view", "GET"),
    "secret_add": ("manage_client_secrets", "GET POST PUT"),
    "secret_saved": ("manage_client_secrets", "POST"),
    "secret_remove": ("manage_client_secrets", "GET POST PUT"),
    "rotation_add": ("manage_rotations", "GET POST PUT"),
    "rotation_detail": ("view", "GET"),
    "rotation_act": ("manage_rotations", "POST"),
    "rotation_edit": ("manage_rotations", "GET POST PUT"),
    "destination_add": ("manage_rotations", "GET POST PUT"),
    "destination_remove": ("manage_rotations", "GET POST"),
    "rotation_remove": ("manage_rotations", "GET POST PUT"),
}
#: What asks for no login: Microsoft's answers, and calendars that have a link.
OPEN = {"azure_oauth_callback": "GET", "azure_oauth_problem": "GET", "feed": "GET"}
#: Where only the callback leads, and the page that shows a new client secret.
LED_ELSEWHERE = {"problem", "secret_saved"}
#: Pages that lead to all others.
LINKING = (
    "connection_list",
    "connection_options",
    "connection_detail",
    "secret_expiring_list",
    "application_list",
    "application_detail",
    "rotation_detail",
)
DATA = {"rotation_act": {"act": "pause"}}


def every_url() -> dict[str, URLPattern]:
    return {str(p.name): p for p in [*urls.oauth_urlpatterns, *urls.organization_urlpatterns]}


def test_every_url_has_a_row() -> None:
    assert set(every_url()) == {*TABLE, *OPEN}, "Say who may open it, and by which methods."
    assert {right for right, _methods in TABLE.values()} == set(ASKED)
    assert ACTIONS.split() == list(ASKED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One organization with a row of everything that URLs name."""

    organization: Model
    ids: dict[str, Any]

    def url(self, name: str, **others: Any) -> str:
        ids = {"organization": get_host().get_key(self.organization), **self.ids, **others}
        if name == "problem":
            ids["pk"] = self.ids["authorization"]
        wanted = every_url()[name].pattern.converters
        if name in TABLE or name == "feed":
            wanted = {"organization": None, **wanted}
        return reverse(f"infisical_azure:{name}", kwargs={key: ids[key] for key in wanted})


@pytest.fixture
def place(browser: Browser, connection: AppConnection, rotation: Rotation) -> Place:
    authorization = Authorization.objects.get()
    authorization.note_problem("cancelled", None)
    ids = {
        "pk": connection.pk,
        "application": APPLICATION,
        "key": KEY_ID,
        "rotation": rotation.pk,
        "destination": rotation.destinations.get().pk,
        "authorization": authorization.pk,
        "token": Feed.objects.make(browser.organization, browser.user),
        "code": "cancelled",
    }
    return Place(organization=browser.organization, ids=ids)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Spare the thousands of tracebacks of what is refused."""
    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)


@contextmanager
def undone() -> Iterator[None]:
    """Undo in the end what the block does to the database."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


def member(client: Client, organization: Model, actions: str) -> None:
    """Sign a new person in who may do these actions in the organization."""
    user = User.objects.create_user("max")
    add_member(organization, user, actions)
    Authorization.objects.update(user=user)
    client.force_login(user)


def anonymous(client: Client, organization: Model) -> None:
    pass


def inactive(client: Client, organization: Model) -> None:
    member(client, organization, ACTIONS)
    User.objects.filter(username="max").update(is_active=False)


def stranger(client: Client, organization: Model) -> None:
    member(client, make_organization("Elsewhere"), ACTIONS)


def member_with_rights_elsewhere(client: Client, organization: Model) -> None:
    member(client, organization, "")
    add_member(make_organization("Elsewhere"), User.objects.get(username="max"))


def superuser(client: Client, organization: Model) -> None:
    user = User.objects.create_superuser("root")
    Authorization.objects.update(user=user)
    client.force_login(user)


def having(actions: str) -> Callable[[Client, Model], None]:
    return lambda client, organization: member(client, organization, actions)


#: Everybody, with what they are answered: a status, or the actions that they may do.
ROLES: dict[str, tuple[Callable[[Client, Model], None], int | str]] = {
    "anonymous": (anonymous, 302),
    "inactive": (inactive, 302),
    "stranger": (stranger, 404),
    "member with rights elsewhere": (member_with_rights_elsewhere, ""),
    "superuser": (superuser, ACTIONS if settings.ORGANIZATION == "group" else 404),
    "member": (having(""), ""),
    **{f"member who may {action}": (having(action), action) for action in ASKED},
    "member who may do everything": (having(ACTIONS), ACTIONS),
}


def expected(name: str, method: str, answer: int | str) -> set[int]:
    """Return the right statuses."""
    if isinstance(answer, int):
        return {answer}
    right, methods = TABLE[name]
    if right not in answer.split():
        return {403}
    has = {*methods.split(), *(["HEAD", "OPTIONS"] if "GET" in methods else [])}
    return {200, 302} if method in has else {405}


@pytest.mark.parametrize("name", TABLE)
def test_table(name: str, place: Place, microsoft: Microsoft) -> None:
    wrong = []
    url = place.url(name)
    for role, (enter, answer) in ROLES.items():
        with undone():
            client = Client()
            enter(client, place.organization)
            for method in METHODS:
                data = DATA.get(name) if method == "POST" else None
                microsoft.requests.clear()
                with undone(), CaptureQueriesContext(database) as queries:
                    response = (
                        client.generic(method, url) if data is None else client.post(url, data)
                    )
                allowed = expected(name, method, answer)
                leads_to_login = response.get("Location") == f"/login/?next={url}"
                if response.status_code not in allowed or leads_to_login != (answer == 302):
                    wrong.append((role, method, response.status_code))
                if not allowed & {200}:
                    assert microsoft.requests == []
                    assert not [q for q in queries if is_change(q["sql"])]
    assert wrong == []


def is_change(sql: str) -> bool:
    return "infisical_azure_" in sql and not sql.startswith("SELECT")


@pytest.mark.parametrize("name", OPEN)
def test_what_asks_for_no_login(name: str, place: Place) -> None:
    url = place.url(name)
    for enter in (anonymous, stranger, superuser):
        with undone():
            client = Client()
            enter(client, place.organization)
            for method in METHODS:
                status = client.generic(method, url).status_code
                if method == "GET" or (method, name) == ("HEAD", "feed"):
                    assert status in {200, 303, 400}
                elif method not in {"HEAD", "OPTIONS"}:
                    assert status == 405


@pytest.mark.parametrize(
    "name", [name for name in TABLE if "pk" in every_url()[name].pattern.converters]
)
def test_nothing_of_another_organization_is_found(
    name: str, place: Place, microsoft: Microsoft
) -> None:
    elsewhere = make_organization("Elsewhere")
    url = place.url(name, organization=get_host().get_key(elsewhere))
    client = Client()
    member(client, elsewhere, ACTIONS)
    for method in ("GET", "POST"):
        allowed = {404} if method in TABLE[name][1] else {405}
        assert client.generic(method, url).status_code in allowed
    assert microsoft.requests == []


@pytest.mark.parametrize("name", [n for n, (_right, methods) in TABLE.items() if "POST" in methods])
def test_post_needs_a_csrf_token(name: str, place: Place, microsoft: Microsoft) -> None:
    client = Client(enforce_csrf_checks=True)
    member(client, place.organization, ACTIONS)
    assert client.post(place.url(name), DATA.get(name)).status_code == 403
    assert microsoft.requests == []


# What a host is asked


class CuriousHost(Host):
    """A host that notes what it is asked, and says yes."""

    organization: Model
    asked: list[tuple[str, Any]]

    def get_organization(self, request: Any, key: str) -> Model:
        return self.organization

    def has_permission(
        self, user: Any, permission: str, organization: Model, connection: Any
    ) -> bool:
        assert organization == self.organization
        self.asked.append((permission, connection))
        return True


@pytest.fixture
def asked(place: Place, settings: Any) -> list[tuple[str, Any]]:
    CuriousHost.organization, CuriousHost.asked = place.organization, []
    host = {"HOST": "tests.test_roles.CuriousHost"}
    settings.INFISICAL_AZURE = {**settings.INFISICAL_AZURE, **host}
    return CuriousHost.asked


@pytest.mark.parametrize("name", TABLE)
def test_host_is_asked_about_the_connection_of_the_page(
    name: str, place: Place, asked: list[tuple[str, Any]], connection: AppConnection
) -> None:
    client = Client()
    member(client, place.organization, "")
    client.generic(TABLE[name][1].split()[0], place.url(name), DATA.get(name))
    is_about_one = name != "problem" and "pk" in every_url()[name].pattern.converters
    assert asked[0] == (ASKED[TABLE[name][0]], connection if is_about_one else None)
    assert {about for _permission, about in asked} == {asked[0][1]}


def test_host_is_asked_about_the_connection_that_did_not_reconnect(
    place: Place, asked: list[tuple[str, Any]], connection: AppConnection
) -> None:
    Authorization.objects.update(connection=connection)
    client = Client()
    member(client, place.organization, "")
    assert client.get(place.url("problem")).status_code == 200
    assert asked == [(ASKED["view"], connection)]


def test_host_is_asked_about_the_connection_that_comes_back(
    browser: Browser, asked: list[tuple[str, Any]], connection: AppConnection
) -> None:
    browser.connect(name="second")
    assert asked == [(ASKED["add"], None)] * 2
    page = browser.post(browser.url("connection_reconnect", connection.pk), {"tenant": TENANT})
    sent = parse_qs(urlsplit(page.context["authorization_url"]).query)
    asked.clear()
    browser.come_back({"state": sent["state"][0]})
    assert asked == [(ASKED["change"], connection)]


def test_host_is_asked_about_all_connections_for_a_calendar_and_a_tab(
    browser: Browser, place: Place, asked: list[tuple[str, Any]]
) -> None:
    assert Client().get(place.url("feed")).status_code == 200
    browser.get(f"/bar/{place.organization.pk}/")
    assert asked == [(ASKED["view"], None)] * 2


# What pages lead to

_LINK = re.compile(r'(?:href|action)="(/organization/[^"]*)"')


def linked(client: Client, place: Place, allowed: set[str]) -> set[str]:
    """Return the names of the URLs to which the pages that somebody may open lead."""
    pages = ""
    for name in LINKING:
        if name in allowed:
            pages += client.get(place.url(name)).content.decode()
    with undone():  # Without a rotation, there is one to be set up.
        Rotation.objects.all().delete()
        if "application_detail" in allowed:
            pages += client.get(place.url("application_detail")).content.decode()
    return {str(resolve(unescape(url).split("?")[0]).url_name) for url in _LINK.findall(pages)}


@pytest.mark.parametrize("action", ["", *ASKED])
def test_pages_lead_to_all_that_a_person_may_do_and_to_nothing_else(
    action: str, place: Place, connection: AppConnection
) -> None:
    seen(connection, 3)
    client = Client()
    user = User.objects.create_user("max")
    add_member(place.organization, user, f"view {action}")
    client.force_login(user)
    Feed.objects.make(place.organization, user)
    allowed = {name for name, (right, _methods) in TABLE.items() if right in {"view", action}}
    assert linked(client, place, allowed) == allowed - LED_ELSEWHERE
