"""How many queries each step may cost, beside the host's own for login and membership."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connection as database
from django.test.utils import CaptureQueriesContext

from infisical_azure.models import AppConnection

from .conftest import Browser
from .microsoft import TENANT

pytestmark = pytest.mark.django_db
# Sessions, people and membership are the host's; savepoints stand for the test's transaction.
HOSTS = ("django_session", "auth_", "hostapp_", "organizations_", "SAVEPOINT", "BEGIN", "COMMIT")


@contextmanager
def ours() -> Iterator[list[str]]:
    """Collect the statements that read or write our tables."""
    found: list[str] = []
    with CaptureQueriesContext(database) as queries:
        yield found
    statements = [query["sql"] for query in queries.captured_queries]
    found += [s for s in statements if "infisical_azure_" in s or not any(h in s for h in HOSTS)]


def test_counting_sees_our_queries(browser: Browser) -> None:
    with ours() as statements:
        AppConnection.objects.count()
        browser.user.refresh_from_db()
    assert len(statements) == 1


@pytest.mark.parametrize("rows", [0, 1, 49, 120])
def test_list_takes_at_most_two_queries_and_no_ciphertext(browser: Browser, rows: int) -> None:
    AppConnection.objects.bulk_create(
        AppConnection(
            organization=browser.organization,
            name=f"c-{number}",
            tenant_id=TENANT,
            account_object_id=TENANT,
            connected_by=browser.user,
        )
        for number in range(rows)
    )
    with ours() as statements:
        browser.get(browser.url("connection_list"))
    assert len(statements) <= 2
    assert not any('"secret"' in s or "verifier" in s for s in statements)


def test_start_takes_at_most_four_queries(browser: Browser) -> None:
    browser.begin(name="first")
    with ours() as statements:
        assert browser.begin().location
    assert 1 <= len(statements) <= 4


def test_callback_takes_at_most_ten_queries(browser: Browser) -> None:
    sent: dict[str, Any] = browser.begin().sent
    with ours() as statements:
        assert browser.come_back(sent).status_code == 303
    assert 1 <= len(statements) <= 10
