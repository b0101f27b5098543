"""People, an organization, Microsoft, and one whole round trip between them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
import responses
from django.conf import settings
from django.contrib.auth.models import User
from django.db.models import Model
from django.test import Client
from django.urls import reverse

from infisical_azure.host import get_host
from infisical_azure.models import AppConnection, Destination, Rotation

from . import database
from .microsoft import APPLICATION, APPLICATION_CLIENT_ID, CODE, TENANT, Microsoft
from .rotations import DAY, Azure

if settings.ROOT_URLCONF == "tests.urls":
    from .hostapp.host import add_member, make_organization


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out what needs PostgreSQL on another database; the other run has them."""
    if "postgresql" in settings.DATABASES["default"]["ENGINE"]:
        return
    elsewhere = [item for item in items if item.get_closest_marker("postgresql")]
    items[:] = [item for item in items if item not in elsewhere]


class Browser(Client):
    """A signed-in person in one browser, on the pages of one organization."""

    def __init__(self, user: User, organization: Model, microsoft: Microsoft | None = None) -> None:
        super().__init__()
        self.user, self.organization, self.microsoft = user, organization, microsoft
        self.force_login(user)

    def url(self, name: str, *args: Any) -> str:
        key = get_host().get_key(self.organization)
        return reverse(f"infisical_azure:{name}", args=[key, *args])

    def begin(self, **form: str) -> Any:
        """Submit the form; return the response, with `.sent` the parameters for Microsoft."""
        form = {"name": "production", "tenant": TENANT, "method": "oauth", **form}
        response: Any = self.post(self.url("azure_connection_add"), form)
        location = (response.context or {}).get("authorization_url", "")
        response.location = location
        response.sent = {k: v[0] for k, v in parse_qs(urlsplit(location).query).items()}
        if self.microsoft is not None:
            self.microsoft.nonce = response.sent.get("nonce", "")
        return response

    def come_back(self, sent: dict[str, str], **answer: Any) -> Any:
        """Return from Microsoft as `sent` says, with a code unless the answer differs."""
        query = {"code": CODE, "state": sent.get("state"), "session_state": "s", **answer}
        given = {key: value for key, value in query.items() if value is not None}
        callback = reverse("infisical_azure:azure_oauth_callback")
        return self.get(f"{callback}?{urlencode(given, doseq=True)}")

    def connect(self, **form: str) -> Any:
        """Make the whole round trip and return the last response."""
        return self.come_back(self.begin(**form).sent)

    def problem(self, response: Any) -> str:
        """Follow to the problem page and return the code of the problem."""
        if response.status_code == 303:
            response = self.get(response["Location"])
        return str(response.context["problem"].code)


@pytest.fixture
def microsoft() -> Iterator[Microsoft]:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield Microsoft(mock)


@pytest.fixture
def organization(db: None) -> Model:
    return make_organization("Tailspin Toys")


@pytest.fixture
def admin_user(organization: Model) -> User:
    user = User.objects.create_user("ada", "ada@site.example", "pass")
    add_member(organization, user)
    return user


@pytest.fixture
def browser(admin_user: User, organization: Model, microsoft: Microsoft) -> Browser:
    return Browser(admin_user, organization, microsoft)


@pytest.fixture
def connection(browser: Browser, microsoft: Microsoft) -> AppConnection:
    """A connection that has just been made."""
    browser.connect()
    microsoft.requests.clear()
    return AppConnection.objects.get()


@pytest.fixture
def azure(connection: AppConnection, microsoft: Microsoft) -> Azure:
    """An application that somebody else has given a client secret."""
    return Azure(microsoft)


@pytest.fixture
def rotation(connection: AppConnection, azure: Azure) -> Rotation:
    """A rotation that is to begin, and delivers to a vault."""
    made = Rotation.objects.create(
        connection=connection,
        application_id=APPLICATION,
        app_id=APPLICATION_CLIENT_ID,
        application_name="HR",
        interval=30 * DAY,
        lifetime=90 * DAY,
        overlap=2 * DAY,
    )
    made.destinations.create(kind=Destination.Kind.KEY_VAULT, place="team", name="hr-secret")
    return made


@pytest.fixture
def hooks(settings: Any) -> None:
    """Let the site have a hook that takes client secrets."""
    hooks = {"vaulty": "tests.rotations.take"}
    settings.INFISICAL_AZURE = {**settings.INFISICAL_AZURE, "SECRET_HOOKS": hooks}


if database.is_sqlite():

    @pytest.fixture
    def committed(tmp_path: Path, django_db_blocker: Any) -> Iterator[None]:
        """Give a database that other threads and processes see."""
        with django_db_blocker.unblock(), database.sqlite_file(tmp_path / "site.sqlite3"):
            yield

else:

    @pytest.fixture
    def committed(transactional_db: None) -> None:
        """Give a database that other threads and processes see."""
