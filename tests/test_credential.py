"""A connection as a credential of Microsoft's SDKs."""

from __future__ import annotations

import sys
import threading
import time
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import time_machine
from azure.core.credentials import SupportsTokenInfo, TokenCredential
from azure.core.exceptions import ClientAuthenticationError
from django.utils import timezone

from infisical_azure.models import AccessToken, AppConnection, HistoryEntry, RefreshToken
from infisical_azure.signals import connection_removed

from .conftest import Browser
from .held_tokens import expire
from .microsoft import ACCESS_TOKEN, OTHER_TENANT, TENANT, Microsoft, error

pytestmark = pytest.mark.django_db
SCOPE = "https://graph.microsoft.com/.default"
VAULT = "https://vault.azure.net/.default"


@pytest.fixture
def connection(browser: Browser, microsoft: Microsoft) -> AppConnection:
    browser.connect()
    microsoft.requests.clear()
    microsoft.token = {"access_token": "CANARY-second", "refresh_token": "CANARY-newer"}
    return AppConnection.objects.get()


def test_credential_speaks_both_protocols(connection: AppConnection) -> None:
    credential = connection.credential()
    assert isinstance(credential, TokenCredential)
    assert isinstance(credential, SupportsTokenInfo)
    held = AccessToken.objects.get()
    token = credential.get_token(SCOPE)
    assert token.token == ACCESS_TOKEN
    assert token.expires_on == int(held.expires_at.timestamp())
    info = credential.get_token_info(SCOPE)
    assert (info.token, info.expires_on) == token
    assert info.refresh_on
    assert info.refresh_on <= held.refresh_at.timestamp()
    assert info.token_type == "Bearer"


def test_nothing_of_it_shows_a_token(connection: AppConnection) -> None:
    credential = connection.credential()
    token = credential.get_token(SCOPE).token
    assert token not in repr(credential)
    assert token not in repr(vars(credential))


def test_held_token_costs_no_query(
    connection: AppConnection, django_assert_num_queries: Any
) -> None:
    with connection.credential() as credential:
        credential.get_token(SCOPE)
        with django_assert_num_queries(0):
            for _ in range(3):
                assert credential.get_token(SCOPE, enable_cae=True).token == ACCESS_TOKEN
    with django_assert_num_queries(1):
        credential.get_token(SCOPE)


def test_token_is_asked_for_again_when_it_is_to_be_refreshed(connection: AppConnection) -> None:
    credential = connection.credential()
    credential.get_token(SCOPE)
    refresh_at = AccessToken.objects.get().refresh_at
    with time_machine.travel(refresh_at + timedelta(seconds=1)):
        assert credential.get_token(SCOPE).token == "CANARY-second"


def test_token_of_another_resource(connection: AppConnection, microsoft: Microsoft) -> None:
    assert connection.credential().get_token(VAULT).token == "CANARY-second"
    assert microsoft.forms()[0]["scope"].startswith(VAULT)


@pytest.mark.parametrize("scopes", [(), (SCOPE, VAULT)])
def test_exactly_one_scope_is_wanted(connection: AppConnection, scopes: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="exactly one scope"):
        connection.credential().get_token(*scopes)


def test_other_tenant_is_refused(connection: AppConnection, microsoft: Microsoft) -> None:
    credential = connection.credential()
    own = str(connection.tenant_id).upper()
    assert credential.get_token_info(SCOPE, options={"tenant_id": own}).token == ACCESS_TOKEN
    with pytest.raises(ClientAuthenticationError, match="belongs to the tenant"):
        credential.get_token(SCOPE, tenant_id=OTHER_TENANT)


def test_claims_challenge_fetches_anew(connection: AppConnection, microsoft: Microsoft) -> None:
    credential = connection.credential()
    credential.get_token(SCOPE)
    claims = '{"access_token":{}}'
    assert credential.get_token(SCOPE, claims=claims).token == "CANARY-second"
    assert microsoft.forms()[0]["claims"] == claims
    assert credential.get_token(SCOPE).token == "CANARY-second"
    assert microsoft.count("token") == 1


def test_failure_is_the_sdks_own_and_says_what_to_do(
    connection: AppConnection, microsoft: Microsoft
) -> None:
    microsoft.fail("token", 400, error(50173))
    expire()
    with pytest.raises(ClientAuthenticationError, match="Reconnect it") as caught:
        connection.credential().get_token(SCOPE)
    assert caught.value.__context__ is None


def test_credential_shows_no_token(connection: AppConnection) -> None:
    credential = connection.credential()
    credential.get_token(SCOPE)
    assert "CANARY" not in repr(credential)


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_many_threads_share_one_fetch(connection: AppConnection, microsoft: Microsoft) -> None:
    credential, found = connection.credential(), []
    microsoft.before["token"] = lambda: time.sleep(0.2)
    barrier = threading.Barrier(8)

    def fetch() -> None:
        from django.db import connections

        barrier.wait()
        found.append(credential.get_token(VAULT).token)
        connections.close_all()

    threads = [threading.Thread(target=fetch) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == ["CANARY-second"] * 8
    assert microsoft.count("token") == 1


def test_core_needs_no_azure_package() -> None:
    import subprocess

    code = (
        "import sys; sys.modules.update(dict.fromkeys(('azure','azure.core','celery','redis')));"
        "import os; os.environ['DJANGO_SETTINGS_MODULE']='tests.settings';"
        "import django; django.setup(); import infisical_azure.urls, infisical_azure.tokens"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_expired_credential_is_not_served(connection: AppConnection) -> None:
    credential = connection.credential()
    credential.get_token(SCOPE)
    with time_machine.travel(timezone.now() + timedelta(hours=3)):
        assert credential.get_token(SCOPE).token == "CANARY-second"


# Connections that are removed, or reconnected


@pytest.fixture
def used(connection: AppConnection) -> Any:
    """A credential that holds a token."""
    credential = connection.credential()
    credential.get_token(SCOPE)
    return credential


def test_removed_connection_gives_no_token_at_once(connection: AppConnection, used: Any) -> None:
    connection.delete()
    pk = used._pk
    for _ in range(2):
        with pytest.raises(ClientAuthenticationError, match=f"{pk} was removed"):
            used.get_token(SCOPE)
    with pytest.raises(ClientAuthenticationError, match="was removed"):
        used.get_token(VAULT, tenant_id=str(connection.tenant_id))
    assert repr(used) == f"<ConnectionCredential of {pk}>"


def test_removal_by_another_process_is_noticed_within_half_a_minute(
    connection: AppConnection, used: Any
) -> None:
    other_process(connection)
    with time_machine.travel(timezone.now() + timedelta(seconds=28)):
        assert used.get_token(SCOPE).token == ACCESS_TOKEN
    for pause in (31, 3600):
        with (
            time_machine.travel(timezone.now() + timedelta(seconds=pause)),
            pytest.raises(ClientAuthenticationError, match="was removed"),
        ):
            used.get_token(SCOPE)


def other_process(connection: AppConnection) -> None:
    """Delete the rows without this process taking notice."""
    HistoryEntry.objects.all()._raw_delete("default")
    for rows in (connection.access_tokens.all(), RefreshToken.objects.all()):
        rows._raw_delete(rows.db)
    AppConnection.objects.all()._raw_delete("default")


def test_check_costs_two_queries_each_half_a_minute(
    connection: AppConnection, used: Any, django_assert_num_queries: Any
) -> None:
    for seconds in (31, 62):
        with time_machine.travel(timezone.now() + timedelta(seconds=seconds)):
            with django_assert_num_queries(2):
                assert used.get_token(SCOPE).token == ACCESS_TOKEN
            with django_assert_num_queries(0):
                assert used.get_token(SCOPE).token == ACCESS_TOKEN


def test_reconnect_takes_effect_at_once(
    browser: Browser,
    connection: AppConnection,
    microsoft: Microsoft,
    used: Any,
    django_capture_on_commit_callbacks: Any,
) -> None:
    url = browser.url("connection_reconnect", connection.pk)
    begun = browser.post(url, {"tenant": OTHER_TENANT, "may_switch": "on"})
    location = begun.context["authorization_url"]
    sent = {key: value[0] for key, value in parse_qs(urlsplit(location).query).items()}
    microsoft.nonce = sent["nonce"]
    assert used.get_token(SCOPE).token == ACCESS_TOKEN
    with django_capture_on_commit_callbacks(execute=True):
        browser.come_back(sent)
    assert used.get_token(SCOPE, tenant_id=OTHER_TENANT).token == "CANARY-second"
    with pytest.raises(ClientAuthenticationError, match="belongs to the tenant"):
        used.get_token(SCOPE, tenant_id=TENANT)


def test_removal_while_a_token_is_fetched_is_not_overlooked(
    connection: AppConnection, microsoft: Microsoft
) -> None:
    credential, pk = connection.credential(), connection.pk
    microsoft.before["token"] = lambda: connection_removed.send(AppConnection, connection=None)
    assert credential.get_token(VAULT).token == "CANARY-second"
    other_process(AppConnection.objects.get(pk=pk))
    with pytest.raises(ClientAuthenticationError, match="was removed"):
        credential.get_token(VAULT)
