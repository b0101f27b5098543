"""What a refresh leaves behind, whichever way it ends."""

from __future__ import annotations

import traceback
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.db import connection as database
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from infisical_azure import tokens
from infisical_azure.exceptions import TokenUnavailableError
from infisical_azure.models import AccessToken, AppConnection, RefreshToken
from infisical_azure.signals import connection_broken, connection_recovered

from .held_tokens import expire
from .microsoft import Microsoft, error
from .rotations import listen

pytestmark = pytest.mark.django_db


def fail_to_refresh(connection: AppConnection) -> TokenUnavailableError:
    expire()
    with pytest.raises(TokenUnavailableError) as caught:
        tokens.get_token(connection)
    return caught.value


def test_failures_are_counted_anew_after_a_success(
    connection: AppConnection, microsoft: Microsoft
) -> None:
    pauses = []
    with time_machine.travel(timezone.now(), tick=False) as clock:
        for _ in range(4):
            microsoft.fail("token", 503, "<html>")
            fail_to_refresh(connection)
            pauses.append(RefreshToken.objects.get().next_try_at - timezone.now())
            clock.shift(timedelta(hours=1))
        assert RefreshToken.objects.get().failures == 4
        del microsoft.override["token"]
        tokens.get_token(connection)
        row = RefreshToken.objects.get()
        assert (row.failures, row.next_try_at, row.lease_until) == (0, None, None)
        microsoft.fail("token", 503, "<html>")
        fail_to_refresh(connection)
        pauses.append(RefreshToken.objects.get().next_try_at - timezone.now())
    assert pauses[3] > timedelta(minutes=3)
    assert pauses[4] < timedelta(minutes=1)


def test_news_of_a_connection_come_once_they_are_saved_and_not_before(
    connection: AppConnection,
    microsoft: Microsoft,
    django_capture_on_commit_callbacks: Any,
) -> None:
    broken, recovered = listen(connection_broken), listen(connection_recovered)
    microsoft.fail("token", 401, error(7000222, "invalid_client"))
    with django_capture_on_commit_callbacks() as waiting:
        fail_to_refresh(connection)
    assert broken == []
    for tell in waiting:
        tell()
    assert [news["connection"] for news in broken] == [connection]
    del microsoft.override["token"]
    with time_machine.travel(timezone.now() + timedelta(hours=1)):
        with django_capture_on_commit_callbacks() as waiting:
            tokens.get_token(connection)
        assert recovered == []
        for tell in waiting:
            tell()
    assert [news["connection"] for news in recovered] == [connection]
    assert len(broken) == 1


@pytest.mark.parametrize("status", [400, 401, 503])
def test_error_leads_to_no_frame_that_holds_a_token(
    connection: AppConnection, microsoft: Microsoft, status: int
) -> None:
    microsoft.fail("token", status, error(50173))
    failure = fail_to_refresh(connection)
    assert failure.__cause__ is None
    assert failure.__context__ is None or failure.__suppress_context__
    printed = "".join(traceback.format_exception(failure))
    assert "RemoteError" not in printed
    assert "UnavailableError: " not in printed.replace("TokenUnavailableError: ", "")


def test_reply_is_kept_whole_and_touches_no_other_token(
    connection: AppConnection, microsoft: Microsoft
) -> None:
    vault = "https://vault.azure.net"
    microsoft.token = {"access_token": "for-the-vault", "scope": f"{vault}/user_impersonation"}
    tokens.get_token(connection, vault + "/.default")
    before = AccessToken.objects.with_secret().get(resource=vault)
    microsoft.token = {"access_token": "newer", "refresh_token": "newer-too", "expires_in": 600}
    with time_machine.travel(timezone.now() + timedelta(hours=2), tick=False):
        now = timezone.now()
        given = tokens.get_token(connection)
        held = AccessToken.objects.with_secret().get(resource="https://graph.microsoft.com")
    assert (given.reveal(), held.secret.reveal()) == ("newer", "newer")
    assert (held.issued_at, held.expires_at) == (now, now + timedelta(minutes=10))
    assert (given.expires_at, given.refresh_at) == (held.expires_at, held.refresh_at)
    assert now + timedelta(minutes=8) <= held.refresh_at < held.expires_at
    assert held.used_at == now
    assert "User.Read" in held.scopes
    assert RefreshToken.objects.with_secret().get().secret.reveal() == "newer-too"
    after = AccessToken.objects.with_secret().get(resource=vault)
    assert (after.secret.reveal(), after.issued_at, after.scopes) == (
        "for-the-vault", before.issued_at, ["user_impersonation"],
    )  # fmt: skip


def test_success_that_changes_nothing_writes_no_connection(connection: AppConnection) -> None:
    expire()
    with CaptureQueriesContext(database) as queries:
        tokens.get_token(connection)
    written = [one["sql"] for one in queries if one["sql"].startswith(("UPDATE", "INSERT"))]
    assert written
    assert not [sql for sql in written if "infisical_azure_appconnection" in sql.split("SET")[0]]


def test_success_takes_a_problem_away_though_the_status_is_the_same(
    connection: AppConnection,
) -> None:
    AppConnection.objects.update(problem="resource_unknown")
    expire()
    tokens.get_token(connection)
    after = AppConnection.objects.get()
    assert (after.status, after.problem) == ("ready", "")


@pytest.mark.parametrize(
    ("body", "minutes"),
    [
        (error(7000222, "invalid_client"), 5),
        (error(90002, suberror="message_only"), 5),
        (error(90033, "temporarily_unavailable"), 30),
    ],
    ids=["operator", "administrator", "Microsoft"],
)
def test_pause_has_an_end_that_fits_who_must_act(
    connection: AppConnection, microsoft: Microsoft, body: Any, minutes: int
) -> None:
    RefreshToken.objects.update(failures=20)
    microsoft.fail("token", 400, body)
    with time_machine.travel(timezone.now(), tick=False):
        now = timezone.now()
        fail_to_refresh(connection)
        row = RefreshToken.objects.get()
    assert timedelta(minutes=minutes) <= row.next_try_at - now <= timedelta(minutes=minutes * 1.2)
    assert row.due_at == row.next_try_at
