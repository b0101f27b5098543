"""What the id token of a refresh says: nothing, the same account, or another (OIDC Core 12.2)."""

from __future__ import annotations

from typing import Any

import pytest

from infisical_azure import health, tokens
from infisical_azure.exceptions import Reaction, TokenUnavailableError
from infisical_azure.models import AccessToken, AppConnection, RefreshToken
from infisical_azure.resources import Resource

from .conftest import Browser
from .held_tokens import expire
from .microsoft import (
    ACCESS_TOKEN,
    AUTHORITY,
    CLIENT_ID,
    OTHER_TENANT,
    REFRESH_TOKEN,
    Microsoft,
)
from .test_id_token import UNREADABLE

pytestmark = pytest.mark.django_db


@pytest.fixture
def connection(browser: Browser, microsoft: Microsoft) -> AppConnection:
    """A connection whose token is to be refreshed."""
    browser.connect()
    microsoft.requests.clear()
    microsoft.token = {"access_token": "CANARY-second", "refresh_token": "CANARY-newer"}
    expire()
    return AppConnection.objects.get()


def is_refreshed(connection: AppConnection, resource: str = Resource.GRAPH) -> bool:
    assert tokens.get_token(connection, resource).reveal() == "CANARY-second"
    assert RefreshToken.objects.get().secret.reveal() == "CANARY-newer"
    connection.refresh_from_db()
    return connection.status == "ready"


def test_subject_is_kept_with_the_connection(connection: AppConnection) -> None:
    assert connection.account_subject == "pairwise-subject"


@pytest.mark.parametrize("token", UNREADABLE)
def test_id_token_that_can_not_be_read_says_nothing(
    connection: AppConnection, microsoft: Microsoft, caplog: pytest.LogCaptureFixture, token: str
) -> None:
    microsoft.token |= {"id_token": token}
    assert is_refreshed(connection)
    (record,) = [record for record in caplog.records if record.name.startswith("infisical")]
    assert (record.levelname, "is not a JWT" in record.message) == ("WARNING", True)
    assert len(record.message) < 200


@pytest.mark.parametrize("resource", [Resource.GRAPH, Resource.KEY_VAULT])
@pytest.mark.parametrize("lacking", [{"oid"}, {"tid"}, {"oid", "tid"}, {"oid", "tid", "sub"}])
def test_id_token_that_lacks_the_account_says_nothing(
    connection: AppConnection,
    microsoft: Microsoft,
    caplog: pytest.LogCaptureFixture,
    lacking: set[str],
    resource: str,
) -> None:
    microsoft.omit_claims = lacking
    assert is_refreshed(connection, resource)
    assert "tid or oid is missing" in caplog.text
    assert "pairwise-subject" not in caplog.text


@pytest.mark.parametrize(
    "claims",
    [
        {"oid": "no guid"},
        {"oid": None, "sub": None},
        {"aud": [CLIENT_ID, "another"]},
        {"exp": 1, "nonce": "none", "at_hash": 5},
    ],
)
def test_what_names_nobody_else_is_taken(
    connection: AppConnection, microsoft: Microsoft, claims: dict[str, Any]
) -> None:
    microsoft.claims = claims
    assert is_refreshed(connection)


def test_reply_without_an_id_token_is_taken(
    connection: AppConnection, microsoft: Microsoft, caplog: pytest.LogCaptureFixture
) -> None:
    microsoft.omit = {"id_token"}
    assert is_refreshed(connection)
    assert caplog.text == ""


def test_subject_that_was_never_kept_is_not_compared(
    connection: AppConnection, microsoft: Microsoft
) -> None:
    AppConnection.objects.update(account_subject="")
    connection.refresh_from_db()
    microsoft.claims = {"sub": "somebody"}
    assert is_refreshed(connection)


@pytest.mark.parametrize("resource", [Resource.GRAPH, Resource.KEY_VAULT])
@pytest.mark.parametrize(
    ("claims", "lacking", "named"),
    [
        ({"iss": f"{AUTHORITY}/{OTHER_TENANT}/v2.0"}, set(), "iss"),
        ({"iss": "https://evil.example"}, {"oid", "tid"}, "iss"),
        ({"sub": "somebody"}, set(), "sub"),
        ({"sub": "somebody"}, {"oid"}, "sub"),
        ({"aud": "another"}, set(), "aud"),
        ({"aud": ["another"]}, {"tid"}, "aud"),
        ({"oid": OTHER_TENANT}, set(), "oid"),
        ({"oid": OTHER_TENANT}, {"tid", "sub"}, "oid"),
        ({"tid": OTHER_TENANT}, set(), "tid"),
        ({"tid": OTHER_TENANT}, {"oid"}, "tid"),
    ],
)
def test_31_65_answer_for_another_is_refused_and_told(
    browser: Browser,
    connection: AppConnection,
    microsoft: Microsoft,
    caplog: pytest.LogCaptureFixture,
    claims: dict[str, Any],
    lacking: set[str],
    named: str,
    resource: str,
) -> None:
    microsoft.claims, microsoft.omit_claims = claims, lacking
    with pytest.raises(TokenUnavailableError) as caught:
        tokens.get_token(connection, resource)
    assert (caught.value.problem, caught.value.reaction) == (
        "identity_changed",
        Reaction.RECONNECT,
    )
    assert RefreshToken.objects.get().secret.reveal() == REFRESH_TOKEN
    assert [held.secret.reveal() for held in AccessToken.objects.with_secret()] == [ACCESS_TOKEN]
    assert f"its id token's {named} differs" in caplog.text
    assert "somebody" not in caplog.text
    connection.refresh_from_db()
    assert connection.status == "needs-reconnect"
    page = browser.get(browser.url("connection_detail", connection.pk)).content.decode()
    assert str(health.REASONS["identity_changed"]) in page
