"""Making the round trip again for a connection that is there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.contrib.auth.models import User
from django.db import connection as database
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from infisical_azure import removal, tokens, upkeep
from infisical_azure.exceptions import Reaction, TokenUnavailableError
from infisical_azure.models import (
    AccessToken,
    AppConnection,
    Authorization,
    HistoryEntry,
    RefreshToken,
)
from infisical_azure.resources import Resource
from infisical_azure.signals import connection_added, connection_reconnected

from .conftest import Browser
from .held_tokens import age, expire
from .hostapp.host import add_member, remove_member
from .microsoft import ACCESS_TOKEN, OTHER_TENANT, REFRESH_TOKEN, TENANT, Microsoft, error
from .rotations import listen

pytestmark = pytest.mark.django_db
SOMEONE_ELSE = "cccccccc-bbbb-4ccc-8ddd-eeeeeeeeeeee"


@pytest.fixture
def connection(browser: Browser, microsoft: Microsoft) -> AppConnection:
    browser.connect(description="For the toys")
    microsoft.token = {"access_token": "CANARY-second", "refresh_token": "CANARY-newer"}
    return AppConnection.objects.get()


def begin(browser: Browser, connection: AppConnection, **form: str) -> dict[str, str]:
    """Submit the form and return the parameters for Microsoft."""
    url = browser.url("connection_reconnect", connection.pk)
    location = browser.post(url, {"tenant": TENANT, **form}).context["authorization_url"]
    sent = {key: value[0] for key, value in parse_qs(urlsplit(location).query).items()}
    assert browser.microsoft
    browser.microsoft.nonce = sent["nonce"]
    return sent


def reconnect(browser: Browser, connection: AppConnection, **form: str) -> Any:
    """Submit the form and come back from Microsoft."""
    return browser.come_back(begin(browser, connection, **form))


def tokens_are_the_old_ones() -> bool:
    held = AccessToken.objects.get().secret.reveal(), RefreshToken.objects.get().secret.reveal()
    return held == (ACCESS_TOKEN, REFRESH_TOKEN)


def test_name_that_was_changed_meanwhile_stays(
    browser: Browser, connection: AppConnection, microsoft: Microsoft
) -> None:
    changed = {"name": "renamed", "description": "since then"}
    microsoft.before["me"] = lambda: AppConnection.objects.update(**changed)
    reconnect(browser, connection)
    after = AppConnection.objects.get()
    assert (after.name, after.description) == ("renamed", "since then")
    assert after.updated_at > connection.updated_at


def test_id_name_and_history_stay(browser: Browser, connection: AppConnection) -> None:
    AppConnection.objects.update(status="needs-reconnect", problem="grant_revoked")
    RefreshToken.objects.update(revoked_at="2026-01-01T00:00Z", fence=7)
    page = browser.get(browser.url("connection_reconnect", connection.pk)).content.decode()
    assert f'value="{TENANT}"' in page
    assert "Reconnect to Azure" in page
    response = reconnect(browser, connection)
    assert response["Location"].endswith(f"?connected={connection.pk}")
    after = AppConnection.objects.get()
    assert (after.pk, after.name, after.description) == (
        connection.pk, "production", "For the toys",
    )  # fmt: skip
    assert (after.status, after.problem) == ("ready", "")
    assert AccessToken.objects.get().secret.reveal() == "CANARY-second"
    held = RefreshToken.objects.get()
    assert held.secret.reveal() == "CANARY-newer"
    assert held.revoked_at is None


def test_reconnect_is_news_of_its_own(
    browser: Browser, connection: AppConnection, django_capture_on_commit_callbacks: Any
) -> None:
    heard: list[str] = []

    def hear_added(**news: Any) -> None:
        heard.append("added")

    def hear_reconnected(**news: Any) -> None:
        heard.append(f"reconnected by {news['user']}")

    connection_added.connect(hear_added)
    connection_reconnected.connect(hear_reconnected)
    with django_capture_on_commit_callbacks(execute=True):
        reconnect(browser, connection)
    connection_added.disconnect(hear_added)
    connection_reconnected.disconnect(hear_reconnected)
    assert heard == ["reconnected by ada"]


def test_old_tokens_stay_until_the_new_ones_are_proven(
    browser: Browser, connection: AppConnection, microsoft: Microsoft
) -> None:
    microsoft.fail("me", 503, "<html>")
    response = reconnect(browser, connection)
    assert browser.problem(response) == "microsoft_unavailable"
    assert tokens_are_the_old_ones()
    microsoft.fail("token", 400, error(54005))
    assert browser.problem(reconnect(browser, connection)) == "code_rejected"
    assert tokens_are_the_old_ones()


def test_17_another_account_is_refused_unless_confirmed(
    browser: Browser, connection: AppConnection, microsoft: Microsoft
) -> None:
    microsoft.claims = {"oid": SOMEONE_ELSE, "name": "Else"}
    microsoft.me = {"id": SOMEONE_ELSE}
    response = reconnect(browser, connection)
    assert browser.problem(response) == "account_switched"
    assert tokens_are_the_old_ones()
    reconnect(browser, connection, may_switch="on")
    assert str(AppConnection.objects.get().account_object_id) == SOMEONE_ELSE


def test_another_tenant_is_refused_unless_confirmed(
    browser: Browser, connection: AppConnection, microsoft: Microsoft
) -> None:
    url = browser.url("connection_reconnect", connection.pk)
    page = browser.post(url, {"tenant": OTHER_TENANT}).content.decode()
    assert "tick the box below" in page
    reconnect(browser, connection, tenant=OTHER_TENANT, may_switch="on")
    assert str(AppConnection.objects.get().tenant_id) == OTHER_TENANT


def test_same_account_id_in_another_tenant_is_another_account(
    browser: Browser, connection: AppConnection
) -> None:
    sent = begin(browser, connection)
    Authorization.objects.filter(connection=connection).update(tenant_id=OTHER_TENANT)
    assert browser.problem(browser.come_back(sent)) == "account_switched"
    assert tokens_are_the_old_ones()
    assert str(AppConnection.objects.get().tenant_id) == TENANT


def test_names_of_account_and_directory_are_those_of_the_new_sign_in(
    browser: Browser, connection: AppConnection, microsoft: Microsoft
) -> None:
    microsoft.claims = {"name": "Ada King", "preferred_username": "king@contoso.com"}
    (directory,) = microsoft.organization["value"]
    directory["displayName"] = "Contoso Ltd"
    reconnect(browser, connection)
    after = AppConnection.objects.get()
    assert (after.account_name, after.account_username) == ("Ada King", "king@contoso.com")
    assert (after.tenant_name, after.connected_by) == ("Contoso Ltd", browser.user)
    assert after.connected_at > connection.connected_at


def test_reconnect_is_told_once_it_is_saved_and_not_before(
    browser: Browser, connection: AppConnection, django_capture_on_commit_callbacks: Any
) -> None:
    heard = listen(connection_reconnected)
    with django_capture_on_commit_callbacks() as waiting:
        reconnect(browser, connection)
    assert heard == []
    for tell in waiting:
        tell()
    assert [news["connection"] for news in heard] == [connection]


@pytest.mark.parametrize(
    ("tenant", "sent"), [(TENANT, '{"access_token":{"x":1}}'), (OTHER_TENANT, None)]
)
def test_what_must_be_proven_is_asked_of_the_same_tenant_alone(
    browser: Browser, connection: AppConnection, tenant: str, sent: str | None
) -> None:
    AppConnection.objects.update(claims='{"access_token":{"x":1}}')
    asked = begin(browser, connection, tenant=tenant, may_switch="on")
    assert asked.get("claims") == sent


def test_problem_page_leads_back_to_the_reconnect_form(
    browser: Browser, connection: AppConnection
) -> None:
    response = browser.come_back(begin(browser, connection), error="access_denied")
    page = browser.get(response["Location"]).content.decode()
    assert f'href="{browser.url("connection_reconnect", connection.pk)}"' in page


def test_reconnect_needs_the_right_to_change(
    browser: Browser, connection: AppConnection, microsoft: Microsoft
) -> None:
    member = User.objects.create_user("max")
    add_member(browser.organization, member, "view add")
    other = Browser(member, browser.organization, microsoft)
    assert other.get(other.url("connection_reconnect", connection.pk)).status_code == 403


def test_right_to_change_lost_at_microsoft(
    browser: Browser, connection: AppConnection, microsoft: Microsoft
) -> None:
    sent = begin(browser, connection)
    remove_member(browser.organization, browser.user)
    add_member(browser.organization, browser.user, "view add")
    assert browser.problem(browser.come_back(sent)) == "permission_lost"
    assert tokens_are_the_old_ones()


def test_connection_removed_while_the_tenant_is_looked_up(
    browser: Browser, connection: AppConnection, microsoft: Microsoft
) -> None:
    microsoft.before["discovery"] = AppConnection.objects.all().delete
    url = browser.url("connection_reconnect", connection.pk)
    assert browser.post(url, {"tenant": TENANT}).status_code == 404
    assert not Authorization.objects.filter(connection=connection.pk).exists()


def test_connection_removed_at_microsoft(browser: Browser, connection: AppConnection) -> None:
    sent = begin(browser, connection)
    connection.delete()
    assert browser.problem(browser.come_back(sent)) == "state_unrecognised"


def test_connection_removed_while_the_code_is_redeemed(
    browser: Browser, connection: AppConnection, microsoft: Microsoft
) -> None:
    pk = connection.pk
    during_the_next_request(microsoft, lambda: removal.remove(connection))
    assert browser.problem(reconnect(browser, connection)) == "connection_removed"
    assert not RefreshToken.objects.exists()
    failed = HistoryEntry.objects.get(act="signed-in")
    assert (failed.outcome, failed.problem) == ("failed", "connection_removed")
    assert failed.connection_id == pk


def test_reconnect_waits_for_the_operator(
    browser: Browser, connection: AppConnection, settings: Any
) -> None:
    settings.SITE_URL = ""
    url = browser.url("connection_reconnect", connection.pk)
    assert "<code>SITE_URL</code>" in browser.get(url).content.decode()
    assert "authorization_url" not in browser.post(url, {"tenant": TENANT}).context


# While the old grant is being refreshed


def reconnect_as_someone_else(
    browser: Browser, connection: AppConnection, microsoft: Microsoft
) -> None:
    """Reconnect to another account, and refresh for it, whose fence is then the newest."""
    microsoft.override.pop("token", None)
    microsoft.claims, microsoft.me = {"oid": SOMEONE_ELSE}, {"id": SOMEONE_ELSE}
    microsoft.token = {"access_token": "CANARY-else-1", "refresh_token": "CANARY-else-2"}
    reconnect(browser, connection, may_switch="on")
    microsoft.token = {"access_token": "CANARY-else-3", "refresh_token": "CANARY-else-4"}
    RefreshToken.objects.update(due_at=timezone.now())
    assert upkeep.refresh_one(connection.pk) == "refreshed"


def during_the_next_request(microsoft: Microsoft, happen: Callable[[], None]) -> None:
    def happen_once() -> None:
        del microsoft.before["token"]
        before = microsoft.claims, microsoft.me, microsoft.token, dict(microsoft.override)
        happen()
        microsoft.claims, microsoft.me, microsoft.token, microsoft.override = before

    microsoft.before["token"] = happen_once


@pytest.mark.parametrize("fails", [False, True], ids=["works", "fails"])
def test_refresh_of_the_old_account_that_ends_late_changes_nothing(
    browser: Browser, connection: AppConnection, microsoft: Microsoft, fails: bool
) -> None:
    during_the_next_request(
        microsoft, lambda: reconnect_as_someone_else(browser, connection, microsoft)
    )
    if fails:
        microsoft.fail("token", 400, error(50173))
    expire()
    assert tokens.get_token(connection).reveal() == "CANARY-else-3"
    row = RefreshToken.objects.get()
    assert (row.secret.reveal(), row.revoked_at) == ("CANARY-else-4", None)
    assert AccessToken.objects.get().secret.reveal() == "CANARY-else-3"
    after = AppConnection.objects.get()
    assert str(after.account_object_id) == SOMEONE_ELSE
    assert (after.status, after.problem) == ("ready", "")


def test_token_of_the_old_account_is_not_given_for_another_api(
    browser: Browser, connection: AppConnection, microsoft: Microsoft
) -> None:
    during_the_next_request(
        microsoft, lambda: reconnect_as_someone_else(browser, connection, microsoft)
    )
    with pytest.raises(TokenUnavailableError) as caught:
        tokens.get_token(connection, Resource.KEY_VAULT)
    assert caught.value.reaction is Reaction.RETRY
    assert AccessToken.objects.get().secret.reveal() == "CANARY-else-3"


def test_fence_only_grows(browser: Browser, connection: AppConnection) -> None:
    fences = [RefreshToken.objects.get().fence]
    for _ in range(2):
        expire()
        tokens.get_token(connection)
        fences.append(RefreshToken.objects.get().fence)
        reconnect(browser, connection)
        fences.append(RefreshToken.objects.get().fence)
    assert fences == sorted(set(fences))


def test_what_the_old_grant_had_is_gone(browser: Browser, connection: AppConnection) -> None:
    tokens.get_token(connection, Resource.KEY_VAULT)
    now = timezone.now()
    RefreshToken.objects.update(
        lease_until=now, revoked_at=now, next_try_at=now, failures=3, refused={"x": {}}
    )
    reconnect(browser, connection)
    row = RefreshToken.objects.get()
    assert (row.lease_until, row.revoked_at, row.next_try_at) == (None, None, None)
    assert (row.failures, row.refused) == (0, {})
    assert AccessToken.objects.get().secret.reveal() == "CANARY-second"


def test_reconnect_without_lasting_access(
    browser: Browser, connection: AppConnection, microsoft: Microsoft
) -> None:
    fence = RefreshToken.objects.get().fence
    microsoft.omit = {"refresh_token"}
    reconnect(browser, connection)
    row = RefreshToken.objects.get()
    assert (row.secret, row.expires_at, row.due_at) == (None, None, None)
    assert row.fence > fence
    age()
    assert tokens.get_token(connection).reveal() == "CANARY-second"
    expire()
    with pytest.raises(TokenUnavailableError) as caught:
        tokens.get_token(connection)
    assert caught.value.problem == "offline_access_missing"
    assert upkeep.refresh_one(connection.pk) == "skipped"
    microsoft.omit = set()
    reconnect(browser, connection)
    assert RefreshToken.objects.get().secret.reveal() == "CANARY-newer"


def test_reconnect_mends_a_connection_whose_refresh_token_is_lost(
    browser: Browser, connection: AppConnection
) -> None:
    RefreshToken.objects.all().delete()
    reconnect(browser, connection)
    assert RefreshToken.objects.get().secret.reveal() == "CANARY-newer"


def test_removal_comes_after_what_is_being_saved(connection: AppConnection) -> None:
    """A refresh locks the same row first, so that neither waits for the other for ever."""
    with CaptureQueriesContext(database) as queries:
        AppConnection.objects.all().delete()
    writes = [one["sql"] for one in queries if one["sql"].startswith(("UPDATE", "DELETE"))]
    assert writes[0].startswith('UPDATE "infisical_azure_refreshtoken"')
    assert not RefreshToken.objects.exists()
