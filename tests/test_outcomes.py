"""What a refresh leaves behind, whichever way it ends."""

from __future__ import annotations

import traceback
from datetime import timedelta
from typing import Any

import pytest
import time_machine
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
