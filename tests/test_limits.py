"""An organization has no more connections, rotations and client secrets than it may."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.db import connection as database
from django.db import connections, transaction
from django.db.models import Model
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from infisical_azure.checks import check_settings
from infisical_azure.limits import CONNECTIONS, ROTATIONS, SECRETS, Limit, LimitReachedError
from infisical_azure.models import AppConnection, IssuedSecret, Rotation

from .conftest import Browser
from .hostapp.host import make_organization
from .microsoft import APPLICATION, CLIENT_SECRET, NEW_KEY, TENANT, Microsoft, client_secret
from .rotations import DAY, Azure, advance, later
from .test_expiring import seen
from .test_rotation_pages import add as add_rotation

pytestmark = pytest.mark.django_db


@pytest.fixture
def allow(settings: Any) -> Callable[..., None]:
    def allow(**limits: int | None) -> None:
        settings.INFISICAL_AZURE = {**settings.INFISICAL_AZURE, **limits}

    return allow


def connect(organization: Model, name: str = "other") -> AppConnection:
    return AppConnection.objects.create(
        organization=organization,
        name=name,
        cloud="public",
        status="ready",
        tenant_id=TENANT,
        account_object_id=TENANT,
    )


def rotate(connection: AppConnection) -> Rotation:
    made: Rotation = Rotation.objects.create(
        connection=connection,
        application_id=uuid.uuid4(),
        app_id=APPLICATION,
        interval=30 * DAY,
        lifetime=90 * DAY,
        overlap=2 * DAY,
    )
    return made


def issued(connection: AppConnection, **facts: Any) -> IssuedSecret:
    made: IssuedSecret = IssuedSecret.objects.create(
        connection=connection,
        application_id=APPLICATION,
        app_id=APPLICATION,
        name="build server",
        **{"state": "issued", "expires_at": timezone.now() + 90 * DAY, **facts},
    )
    return made


def says(response: Any, limit: Limit) -> bool:
    """Say whether a page refuses in the words of the limit."""
    assert str(limit.most) in str(limit)
    assert limit.setting in str(limit)
    return response.status_code == 200 and str(limit) in response.content.decode()


# Connections


def test_connection_too_many_is_refused_before_microsoft_is_asked(
    browser: Browser, connection: AppConnection, microsoft: Microsoft, allow: Any
) -> None:
    allow(MAX_CONNECTIONS=1)
    connect(make_organization("Elsewhere"))
    response = browser.begin(name="second")
    assert says(response, CONNECTIONS)
    assert not response.sent
    assert microsoft.requests == []
    allow(MAX_CONNECTIONS=2)
    assert browser.begin(name="second").sent


def test_connection_that_others_have_made_too_many_is_not_saved(
    browser: Browser, organization: Model, allow: Any
) -> None:
    allow(MAX_CONNECTIONS=1)
    sent = browser.begin(name="second").sent
    connect(organization)
    response = browser.come_back(sent)
    assert AppConnection.objects.get().name == "other"
    content = browser.get(response["Location"]).content.decode()
    assert "MAX_CONNECTIONS" in content
    assert browser.problem(response) == "too_many_connections"


def test_reconnecting_makes_no_connection(
    browser: Browser, connection: AppConnection, microsoft: Microsoft, allow: Any
) -> None:
    allow(MAX_CONNECTIONS=1)
    connect(browser.organization)  # From when the limit was higher.
    page = browser.url("connection_reconnect", connection.pk)
    location = browser.post(page, {"tenant": TENANT}).context["authorization_url"]
    sent = {key: value[0] for key, value in parse_qs(urlsplit(location).query).items()}
    microsoft.nonce = sent["nonce"]
    assert f"connected={connection.pk}" in browser.come_back(sent)["Location"]


# Rotations


def test_rotation_too_many_is_refused(
    browser: Browser, connection: AppConnection, azure: Azure, microsoft: Microsoft, allow: Any
) -> None:
    allow(MAX_ROTATIONS=1)
    rotate(connect(make_organization("Elsewhere")))
    before = rotate(connect(browser.organization))
    assert says(add_rotation(browser, connection), ROTATIONS)
    assert microsoft.count("add_password") == 0
    assert Rotation.objects.filter(connection=connection).count() == 0
    before.delete()
    assert add_rotation(browser, connection).status_code == 302


# Client secrets


def add(browser: Browser, connection: AppConnection, attempt: str = "") -> Any:
    form = {"name": "build server", "lifetime": "30", "attempt": attempt or str(uuid.uuid4())}
    return browser.post(browser.url("secret_add", connection.pk, APPLICATION), form)


def test_client_secret_too_many_is_refused(
    browser: Browser, connection: AppConnection, microsoft: Microsoft, allow: Any
) -> None:
    allow(MAX_SECRETS=1)
    issued(connect(make_organization("Elsewhere")))
    issued(connect(browser.organization))
    assert says(add(browser, connection), SECRETS)
    assert microsoft.count("add_password") == 0
    assert not connection.issued_secrets.exists()
    allow(MAX_SECRETS=2)
    assert CLIENT_SECRET in add(browser, connection).content.decode()


def test_second_click_is_no_second_client_secret(
    browser: Browser, connection: AppConnection, allow: Any
) -> None:
    allow(MAX_SECRETS=1)
    attempt = str(uuid.uuid4())
    for _click in range(2):
        assert CLIENT_SECRET in add(browser, connection, attempt).content.decode()


def test_client_secret_that_was_removed_here_counts_no_longer(
    browser: Browser, connection: AppConnection, microsoft: Microsoft, allow: Any
) -> None:
    allow(MAX_SECRETS=1)
    add(browser, connection)
    known = client_secret("build server", keyId=NEW_KEY)
    microsoft.applications["value"][0]["passwordCredentials"] = [known]
    assert says(add(browser, connection), SECRETS)
    page = browser.url("secret_remove", connection.pk, APPLICATION, NEW_KEY)
    assert browser.post(page, {"name": "build server"}).status_code == 302
    assert CLIENT_SECRET in add(browser, connection).content.decode()


@pytest.mark.parametrize(
    ("state", "hours", "read", "is_seen", "counts"),
    [
        ("issued", 0, False, False, True),
        ("asked", 0, False, False, True),
        ("uncertain", 0, False, False, True),
        ("issued", 91 * 24, False, False, False),
        ("issued", 5, True, True, True),
        ("issued", 5, True, False, False),
        ("issued", 0.2, True, False, True),  # Graph lists it later.
        ("uncertain", 5, True, False, True),
    ],
)
def test_client_secret_counts_as_long_as_it_may_work(
    connection: AppConnection,
    state: str,
    hours: float,
    read: bool,
    is_seen: bool,
    counts: bool,
) -> None:
    made = issued(connection, state=state, key_id=NEW_KEY if state == "issued" else None)
    twin = connect(connection.organization)  # Its own watch knows nothing of the other's.
    seen(twin, 90, key_id=made.key_id or uuid.uuid4())
    if is_seen:
        seen(connection, 90, key_id=made.key_id)
    with later(hours=hours):
        if read:
            AppConnection.objects.update(watched_at=timezone.now())
        assert (made in IssuedSecret.objects.alive_of(connection.organization)) is counts


def test_client_secrets_of_rotations_are_not_counted(
    browser: Browser, rotation: Rotation, allow: Any
) -> None:
    allow(MAX_SECRETS=1, MAX_ROTATIONS=1)
    issued(rotation.connection)
    advance(rotation)
    with later(days=31):
        advance(rotation)
    assert rotation.secrets.count() == 2


# The settings


@pytest.mark.parametrize("name", ["MAX_CONNECTIONS", "MAX_ROTATIONS", "MAX_SECRETS"])
@pytest.mark.parametrize(("value", "is_right"), [(1, True), (None, True), (0, False), ("9", False)])
def test_limits_are_numbers_or_none(name: str, value: Any, is_right: bool, allow: Any) -> None:
    allow(**{name: value})
    found = [message.id for message in check_settings(None)]
    assert found == ([] if is_right else ["infisical_azure.E017"])


def test_defaults_are_sensible_and_none_is_no_limit(organization: Model, allow: Any) -> None:
    assert [limit.most for limit in (CONNECTIONS, ROTATIONS, SECRETS)] == [100, 500, 1000]
    allow(MAX_CONNECTIONS=None)
    connect(organization)
    with CaptureQueriesContext(database) as queries:
        CONNECTIONS.keep(organization)
    assert len(queries) == 0
    assert not CONNECTIONS.refuses(1_000_000)


# Two requests at once


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("limit", "make"), [(CONNECTIONS, None), (ROTATIONS, rotate), (SECRETS, issued)]
)
def test_of_two_at_once_a_single_one_keeps_to_the_limit(
    organization: Model, limit: Limit, make: Callable[[AppConnection], Model] | None, allow: Any
) -> None:
    allow(**{limit.setting: 1})
    both = threading.Barrier(2, timeout=20)
    made = [connect(organization, f"c-{n}") for n in range(2)] if make else []
    outcomes = []

    def act(number: int) -> None:
        try:
            with transaction.atomic():
                make(made[number]) if make else connect(organization, f"c-{number}")
                both.wait()  # Now each has its row, and sees none of the other's.
                limit.keep(organization)
            outcomes.append("made")
        except LimitReachedError:
            outcomes.append("refused")
        finally:
            connections.close_all()

    threads = [threading.Thread(target=act, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["made", "refused"]
    assert limit.rows(organization).count() == 1
