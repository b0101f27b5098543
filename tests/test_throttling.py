"""Whom a throttled directory keeps waiting: its connection, and for a moment its neighbours."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
import time_machine
from django.db import connections, transaction
from django.utils import timezone

from infisical_azure import tokens
from infisical_azure.exceptions import Reaction, TokenUnavailableError
from infisical_azure.models import AppConnection, RefreshToken

from .conftest import Browser
from .held_tokens import expire
from .hostapp.host import add_member, make_organization
from .microsoft import OTHER_TENANT, Microsoft, error

pytestmark = pytest.mark.django_db


def connect(browser: Browser, name: str, **form: str) -> AppConnection:
    browser.connect(name=name, **form)
    return AppConnection.objects.get(name=name)


@pytest.fixture
def stranger(browser: Browser, microsoft: Microsoft) -> AppConnection:
    """A connection of another organization to the same directory."""
    organization = make_organization("Northwind")
    add_member(organization, browser.user)
    return connect(Browser(browser.user, organization, microsoft), "theirs")


def throttle(microsoft: Microsoft, connection: AppConnection, seconds: str) -> None:
    """Let the next refresh of this connection be throttled, and no other."""
    microsoft.requests.clear()
    microsoft.fail("token", 429, error(90055), **{"Retry-After": seconds})
    expire()
    assert refused(connection).problem == "throttled"
    del microsoft.override["token"]


def refused(connection: AppConnection) -> TokenUnavailableError:
    with pytest.raises(TokenUnavailableError) as caught:
        tokens.get_token(connection)
    return caught.value


@pytest.mark.parametrize("seconds", ["5", "120", "86400", "999999"])
def test_another_organization_never_waits(
    connection: AppConnection, stranger: AppConnection, microsoft: Microsoft, seconds: str
) -> None:
    throttle(microsoft, connection, seconds)
    assert tokens.get_token(stranger).reveal()
    assert RefreshToken.objects.get(pk=stranger.pk).next_try_at is None
    assert microsoft.count("token") == 2


def test_26_connection_waits_as_long_as_microsoft_asks(
    connection: AppConnection, microsoft: Microsoft
) -> None:
    now = timezone.now()
    with time_machine.travel(now):
        throttle(microsoft, connection, "120")
    for seconds in (1, 60, 118):
        with time_machine.travel(now + timedelta(seconds=seconds)):
            assert refused(connection).reaction is Reaction.RETRY
    assert microsoft.count("token") == 1
    with time_machine.travel(now + timedelta(seconds=123)):
        assert tokens.get_token(connection).reveal()


def test_connection_does_not_wait_for_ever(connection: AppConnection, microsoft: Microsoft) -> None:
    throttle(microsoft, connection, "999999")
    with time_machine.travel(timezone.now() + timedelta(hours=25)):
        assert tokens.get_token(connection).reveal()


def test_neighbour_of_the_same_organization_waits_half_a_minute_and_says_why(
    connection: AppConnection, browser: Browser, microsoft: Microsoft
) -> None:
    neighbour = connect(browser, "same-directory")
    elsewhere = connect(browser, "other-directory", tenant=OTHER_TENANT)
    now = timezone.now()
    with time_machine.travel(now, tick=False):
        throttle(microsoft, connection, "600")
        failure = refused(neighbour)
        assert (failure.problem, failure.reaction) == ("throttled", Reaction.RETRY)
        page = browser.post(browser.url("connection_test", neighbour.pk)).content.decode()
        assert ("Works" in page, "asks to wait" in page) == (False, True)
        page = browser.get(browser.url("application_list", neighbour.pk)).content.decode()
        assert "asks to wait" in page
        assert microsoft.count("token") == 1
        assert tokens.get_token(elsewhere).reveal()
    with time_machine.travel(now + timedelta(seconds=31)):
        assert tokens.get_token(neighbour).reveal()


def test_shorter_pause_of_a_neighbour_shortens_nothing(
    connection: AppConnection, browser: Browser, microsoft: Microsoft
) -> None:
    neighbour = connect(browser, "same-directory")
    throttle(microsoft, connection, "600")
    paused = RefreshToken.objects.get(pk=connection.pk).next_try_at
    with time_machine.travel(timezone.now() + timedelta(seconds=31)):
        throttle(microsoft, neighbour, "7")
    assert RefreshToken.objects.get(pk=connection.pk).next_try_at == paused


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_neighbour_that_is_being_saved_is_not_waited_for(
    connection: AppConnection, browser: Browser, microsoft: Microsoft
) -> None:
    """Two that are throttled at once hold a row each, and would want the other's."""
    neighbour = connect(browser, "same-directory")
    locked, done = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic():
            RefreshToken.objects.select_for_update().get(pk=neighbour.pk)
            locked.set()
            done.wait(20)
        connections.close_all()

    thread = threading.Thread(target=hold)
    thread.start()
    locked.wait(20)
    try:
        with transaction.atomic(), connections["default"].cursor() as cursor:
            cursor.execute("SET LOCAL lock_timeout = '5s'")
            RefreshToken.objects.pause(connection, timezone.now() + timedelta(seconds=30))
    finally:
        done.set()
        thread.join()
    assert RefreshToken.objects.get(pk=neighbour.pk).next_try_at is None
    assert RefreshToken.objects.get(pk=connection.pk).next_try_at is not None
