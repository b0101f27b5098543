"""Refreshes in the background, uses that are noted, and connections that vanish meanwhile."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.db import connection as database
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from infisical_azure import refreshing, tokens
from infisical_azure.exceptions import Reaction, TokenUnavailableError
from infisical_azure.models import AccessToken, AppConnection, RefreshToken
from infisical_azure.resources import Resource
from infisical_azure.secret import Secret

from .conftest import Browser
from .held_tokens import expire
from .microsoft import Microsoft

pytestmark = pytest.mark.django_db
MINUTE = timedelta(minutes=1)
GRAPH, VAULT = "https://graph.microsoft.com", "https://vault.azure.net"


@pytest.fixture
def due(connection: AppConnection) -> RefreshToken:
    RefreshToken.objects.update(due_at=timezone.now() - MINUTE)
    return RefreshToken.objects.to_refresh().get()


def test_background_refreshes_what_is_due(due: RefreshToken, microsoft: Microsoft) -> None:
    assert refreshing.refresh(due) is True
    assert microsoft.count("token") == 1
    assert RefreshToken.objects.get().lease_until is None


def test_background_reads_a_row_once(due: RefreshToken, microsoft: Microsoft) -> None:
    with CaptureQueriesContext(database) as queries:
        assert refreshing.refresh(due) is True
    kinds = [query["sql"].split(maxsplit=1)[0] for query in queries.captured_queries]
    assert kinds == ["UPDATE", "SAVEPOINT", "UPDATE", "UPDATE", "RELEASE"]


def test_background_reads_again_a_row_that_was_not_free_when_it_was_read(
    connection: AppConnection, microsoft: Microsoft
) -> None:
    now = timezone.now()
    RefreshToken.objects.update(due_at=now - MINUTE, lease_until=now - MINUTE)
    read_too_early = RefreshToken.objects.to_refresh().get()
    slower_than_its_lease = RefreshToken.objects.get()
    slower_than_its_lease.secret = Secret("newer refresh token")
    slower_than_its_lease.lease_until = None
    slower_than_its_lease.save()
    assert refreshing.refresh(read_too_early) is True
    ((_, request),) = microsoft.requests
    assert "refresh_token=newer+refresh+token" in request.body


@pytest.mark.parametrize(
    "facts", [{"fence": 9}, {"lease_until": 1}, {"due_at": 1}, {"due_at": None}], ids=str
)
def test_background_leaves_alone_what_another_holds_or_has_done(
    due: RefreshToken, microsoft: Microsoft, facts: dict[str, int | None]
) -> None:
    now = timezone.now()
    due.lease_until = now - MINUTE  # The other process was slower than its lease.
    RefreshToken.objects.update(
        **{
            name: number if name == "fence" or number is None else now + number * MINUTE
            for name, number in facts.items()
        }
    )
    assert refreshing.refresh(due) is False
    assert microsoft.requests == []
    assert ("lease_until" in facts) is (RefreshToken.objects.get().lease_until is not None)


@pytest.mark.parametrize(
    ("graph", "vault", "refused", "expected"),
    [
        (5, 9, [], GRAPH),
        (9, 5, [], VAULT),
        (9, 5, [VAULT], GRAPH),
        (9, 5, [GRAPH], GRAPH),
        (5, 9, [GRAPH, VAULT], GRAPH),
    ],
)
def test_background_asks_for_what_was_used_latest_and_is_not_refused(
    due: RefreshToken,
    connection: AppConnection,
    microsoft: Microsoft,
    graph: int,
    vault: int,
    refused: list[str],
    expected: str,
) -> None:
    tokens.get_token(connection, Resource.KEY_VAULT)
    now = timezone.now()
    for resource, minutes in ((GRAPH, graph), (VAULT, vault)):
        AccessToken.objects.filter(resource=resource).update(used_at=now - minutes * MINUTE)
    entry = {
        "problem": "consent_missing",
        "reaction": "tenant_admin",
        "status": "ready",
        "correlation_id": "",
        "failures": 0,
        "until": (now + MINUTE).isoformat(),
    }
    RefreshToken.objects.update(due_at=now, refused=dict.fromkeys(refused, entry))
    microsoft.requests.clear()
    row = RefreshToken.objects.to_refresh().get()
    assert refreshing._audience_to_refresh(row) == expected


def test_use_is_noted_again_after_a_minute_and_not_over_anothers(
    connection: AppConnection, django_capture_on_commit_callbacks: Any
) -> None:
    with time_machine.travel(timezone.now(), tick=False) as clock:
        began = timezone.now()
        AccessToken.objects.update(used_at=began - 61 * MINUTE / 60)
        with django_capture_on_commit_callbacks() as waiting:
            tokens.get_token(connection)
        assert AccessToken.objects.get().used_at < began
        for note in waiting:
            note()
        assert AccessToken.objects.get().used_at == began
        clock.shift(61)
        with django_capture_on_commit_callbacks() as waiting:
            tokens.get_token(connection)
        AccessToken.objects.update(used_at=timezone.now() + MINUTE)
        for note in waiting:
            note()
        assert AccessToken.objects.get().used_at == timezone.now() + MINUTE


@pytest.mark.parametrize(
    ("goes", "reaction", "problem"),
    [
        (True, Reaction.RECONNECT, "grant_revoked"),
        (False, Reaction.RETRY, "microsoft_unavailable"),
    ],
)
def test_connection_that_goes_during_a_refresh_is_told_from_one_that_is_overtaken(
    browser: Browser,
    connection: AppConnection,
    microsoft: Microsoft,
    goes: bool,
    reaction: Reaction,
    problem: str,
) -> None:
    browser.connect(name="another")

    def happen() -> None:
        mine = RefreshToken.objects.filter(pk=connection.pk)
        if goes:
            AppConnection.objects.filter(pk=connection.pk).delete()
        else:
            mine.update(fence=99)

    expire()
    microsoft.before["token"] = happen
    with pytest.raises(TokenUnavailableError) as caught:
        tokens.get_token(connection)
    assert (caught.value.reaction, caught.value.problem) == (reaction, problem)
