"""Site staff read facts, delete, and never see a token."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from infisical_azure.models import AppConnection

from .conftest import Browser
from .hostapp.host import add_member, make_organization

pytestmark = pytest.mark.django_db
LIST = reverse("admin:infisical_azure_appconnection_changelist")


@pytest.fixture
def staff(browser: Browser) -> Client:
    browser.connect(description="For the toys")
    User.objects.create_superuser("root")
    client = Client()
    client.force_login(User.objects.get(username="root"))
    return client


def page(client: Client, url: str, **query: str) -> str:
    response = client.get(url, query)
    assert response.status_code == 200
    return response.content.decode()


def test_list_shows_connections(staff: Client) -> None:
    text = page(staff, LIST)
    for expected in ("production", "Tailspin Toys", "Contoso", "ada@contoso.com", "Ready"):
        assert expected in text
    AppConnection.objects.update(tenant_name="")
    assert "72f988bf-86f1-41af-91ab-2d7cd011db47" in page(staff, LIST)


@pytest.mark.parametrize(
    "words", ["production", "72f988bf", "contoso", "ada@contoso.com", "Ada Admin"]
)
def test_search_finds_by_name_tenant_and_account(staff: Client, words: str) -> None:
    assert "1 app connection" in page(staff, LIST, q=words)
    assert "0 app connections" in page(staff, LIST, q=f"{words}-nobody")


def test_list_can_be_filtered(staff: Client, browser: Browser) -> None:
    elsewhere = make_organization("Elsewhere")
    add_member(elsewhere, browser.user)
    browser.organization = elsewhere
    browser.connect(name="other")
    AppConnection.objects.filter(name="other").update(cloud="china", status="permission-missing")
    for query in (
        {"status__exact": "ready"},
        {"cloud": "public"},
        {
            "organization__id__exact": str(
                AppConnection.objects.get(name="production").organization.pk
            )
        },
    ):
        assert "1 app connection" in page(staff, LIST, **query)


def test_list_costs_the_same_for_many_rows(
    staff: Client, django_assert_max_num_queries: Any
) -> None:
    connection = AppConnection.objects.get()
    for number in range(20):
        connection.pk, connection.name = None, f"copy-{number}"
        connection._state.adding = True
        connection.save()
    with django_assert_max_num_queries(8) as queries:
        page(staff, LIST)
    assert not any('"secret"' in query["sql"] for query in queries.captured_queries)


def test_facts_are_shown_and_can_not_be_changed(
    staff: Client, django_assert_max_num_queries: Any
) -> None:
    url = reverse(
        "admin:infisical_azure_appconnection_change", args=[AppConnection.objects.get().pk]
    )
    with django_assert_max_num_queries(10) as queries:
        text = page(staff, url)
    assert not any('"secret"' in query["sql"] for query in queries.captured_queries)
    for expected in ("Application.ReadWrite.All", "https://graph.microsoft.com: ", "2027"):
        assert expected in text
    assert 'name="tenant_id"' not in text
    assert 'name="status"' not in text
    staff.post(url, {"name": "renamed", "tenant_id": "x", "status": "ready"})
    assert AppConnection.objects.get().name == "renamed"
    assert AppConnection.objects.get().description == ""


def test_facts_of_a_connection_without_tokens(staff: Client) -> None:
    connection = AppConnection.objects.get()
    connection.access_tokens.all().delete()
    connection.refresh_token.delete()
    AppConnection.objects.update(granted_scopes=[])
    url = reverse("admin:infisical_azure_appconnection_change", args=[connection.pk])
    assert "offline_access" in page(staff, url)


def test_nothing_can_be_added(staff: Client) -> None:
    assert staff.get(reverse("admin:infisical_azure_appconnection_add")).status_code == 403


def test_deleting_works_without_reading_a_token(
    staff: Client, django_assert_max_num_queries: Any
) -> None:
    url = reverse(
        "admin:infisical_azure_appconnection_delete", args=[AppConnection.objects.get().pk]
    )
    with django_assert_max_num_queries(30) as queries:
        page(staff, url)
        staff.post(url, {"post": "yes"})
    assert not any('"secret"' in query["sql"] for query in queries.captured_queries)
    assert not AppConnection.objects.exists()
