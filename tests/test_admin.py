"""Site staff read facts, delete, and never see a token."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.contrib import admin
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from infisical_azure import rotation
from infisical_azure.models import AppConnection, Rotation

from .conftest import Browser
from .database import meanwhile
from .hostapp.host import add_member, make_organization
from .microsoft import APPLICATION, APPLICATION_CLIENT_ID, OTHER_TENANT, Microsoft
from .rotations import Azure

pytestmark = pytest.mark.django_db
LIST = reverse("admin:infisical_azure_appconnection_changelist")
SAVES = 'UPDATE "infisical_azure_appconnection"'


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


def forms(rotations: int) -> dict[str, Any]:
    """Return what the page says of the rotations that it shows."""
    return {"rotations-TOTAL_FORMS": rotations, "rotations-INITIAL_FORMS": rotations}


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
    staff.post(url, {"name": "renamed", "tenant_id": "x", "status": "ready", **forms(0)})
    assert AppConnection.objects.get().name == "renamed"
    assert AppConnection.objects.get().description == ""


def test_edit_keeps_what_a_reconnect_has_saved_meanwhile(staff: Client) -> None:
    connection = AppConnection.objects.get()
    url = reverse("admin:infisical_azure_appconnection_change", args=[connection.pk])
    with meanwhile(SAVES, lambda: AppConnection.objects.update(tenant_id=OTHER_TENANT)):
        staff.post(url, {"name": "renamed", **forms(0)})
    connection.refresh_from_db()
    assert (connection.name, str(connection.tenant_id)) == ("renamed", OTHER_TENANT)


def test_edit_does_not_bring_a_removed_connection_back(staff: Client) -> None:
    url = reverse(
        "admin:infisical_azure_appconnection_change", args=[AppConnection.objects.get().pk]
    )
    with meanwhile(SAVES, AppConnection.objects.all().delete):
        assert staff.post(url, {"name": "renamed", **forms(0)}).status_code == 404


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
    with django_assert_max_num_queries(60) as queries:
        page(staff, url)
        staff.post(url, {"post": "yes"})
    assert not any('"secret"' in query["sql"] for query in queries.captured_queries)
    assert not AppConnection.objects.exists()


@pytest.fixture
def under_way(staff: Client, microsoft: Microsoft) -> Azure:
    """A rotation whose client secret is issued, and not yet proven."""
    azure = Azure(microsoft)
    made = Rotation.objects.create(
        connection=AppConnection.objects.get(),
        application_id=APPLICATION,
        app_id=APPLICATION_CLIENT_ID,
        application_name="HR",
        interval=timedelta(days=30),
        lifetime=timedelta(days=90),
        overlap=timedelta(days=2),
    )
    microsoft.proofs = [7000215]
    assert rotation.advance(made.pk) == "waiting"
    assert len(azure.ours) == 1
    return azure


def test_rotations_are_shown_with_their_connection(staff: Client, under_way: Azure) -> None:
    Rotation.objects.update(problem="ForbiddenByRbac")
    url = reverse("admin:infisical_azure_appconnection_change", args=[_pk()])
    content = page(staff, url)
    for expected in ("HR", APPLICATION_CLIENT_ID, "30 days", "ForbiddenByRbac"):
        assert expected in content
    assert "CANARY" not in content
    assert staff.post(url, {"name": "renamed", **forms(1)}).status_code == 302
    assert AppConnection.objects.get().name == "renamed"
    assert Rotation.objects.get().interval == timedelta(days=30)


@pytest.mark.parametrize("how", ["page", "action"])
def test_deleting_removes_what_its_rotations_have_not_delivered(
    staff: Client, under_way: Azure, how: str
) -> None:
    pk = _pk()
    with time_machine.travel(timezone.now() + timedelta(minutes=2)):
        if how == "page":
            url = reverse("admin:infisical_azure_appconnection_delete", args=[pk])
            assert staff.get(url).status_code == 200
            assert len(under_way.ours) == 1
            staff.post(url, {"post": "yes"})
        else:
            chosen = {"_selected_action": [str(pk)], "action": "delete_selected", "post": "yes"}
            staff.post(LIST, chosen)
    assert not AppConnection.objects.exists()
    assert under_way.ours == []


@pytest.mark.parametrize("how", ["page", "action"])
def test_deleting_waits_where_something_may_turn_up(
    staff: Client, under_way: Azure, how: str
) -> None:
    if how == "page":
        url = reverse("admin:infisical_azure_appconnection_delete", args=[_pk()])
        response = staff.post(url, {"post": "yes"}, follow=True)
    else:
        chosen = {"_selected_action": [str(_pk())], "action": "delete_selected", "post": "yes"}
        response = staff.post(LIST, chosen, follow=True)
    content = response.content.decode()
    assert "One of its rotations is being worked on" in content
    assert "Successfully deleted" not in content
    assert AppConnection.objects.exists()


def test_deleting_what_is_not_there_or_not_allowed_ends_nothing(
    staff: Client, under_way: Azure
) -> None:
    url = "admin:infisical_azure_appconnection_delete"
    assert staff.post(reverse(url, args=[uuid.uuid4()]), {"post": "yes"}).status_code == 302
    delete = reverse(url, args=[_pk()])
    with time_machine.travel(timezone.now() + timedelta(minutes=2)):
        assert staff.post(delete, {}).status_code == 200
        root = User.objects.get(username="root")
        root.is_superuser, root.is_staff = False, True
        root.save()
        assert staff.post(delete, {"post": "yes"}).status_code == 403
        names = ["delete_appconnection", "view_appconnection"]
        root.user_permissions.set(Permission.objects.filter(codename__in=names))
        admin.site.register(Rotation)
        try:
            assert staff.post(delete, {"post": "yes"}).status_code == 403
        finally:
            admin.site.unregister(Rotation)
    assert Rotation.objects.exists()
    assert len(under_way.ours) == 1


def _pk() -> uuid.UUID:
    pk: uuid.UUID = AppConnection.objects.get().pk
    return pk
