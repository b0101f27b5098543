"""The site's pages, by role."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from django.test import Client
from django.urls import resolve, reverse
from organizations.models import Organization
from pytest_django.asserts import assertRedirects

if TYPE_CHECKING:
    from django.contrib.auth.models import User
    from pytest_django import DjangoAssertNumQueries

SignIn = Callable[[str], Client]

GENERAL = "/organization/tailspin-toys/"
MEMBERS = "/organization/tailspin-toys/members/"
CONNECTIONS = "/organization/tailspin-toys/app-connections/"
LIST = "/organizations/"


@pytest.mark.django_db
@pytest.mark.parametrize("url", [LIST, GENERAL, MEMBERS, CONNECTIONS])
def test_anonymous_people_are_sent_to_sign_in_and_back(client: Client, url: str) -> None:
    response = client.get(url)
    assertRedirects(response, f"/sign-in/?next={url}")


def test_home_leads_to_the_list(sign_in: SignIn) -> None:
    assertRedirects(sign_in("mia").get("/"), LIST)


@pytest.mark.parametrize(
    ("username", "slugs"),
    [
        ("olivia", ["tailspin-toys"]),
        ("adam", ["northwind-traders", "tailspin-toys"]),
        ("nora", ["northwind-traders"]),
        ("sam", ["northwind-traders", "tailspin-toys"]),
    ],
)
def test_list_has_the_persons_organizations(
    sign_in: SignIn, username: str, slugs: list[str]
) -> None:
    response = sign_in(username).get(LIST)
    assert [organization.slug for organization in response.context["object_list"]] == slugs


def test_list_takes_two_queries(
    sign_in: SignIn, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    client = sign_in("adam")
    with django_assert_num_queries(2 + 2):  # session, user; organizations, memberships
        client.get(LIST)


@pytest.mark.django_db
def test_list_says_when_it_is_empty(client: Client, django_user_model: type[User]) -> None:
    client.force_login(django_user_model.objects.create_user("newcomer"))
    assert b"do not belong to an organization yet" in client.get(LIST).content


@pytest.mark.parametrize("url", [GENERAL, MEMBERS])
@pytest.mark.parametrize("username", ["olivia", "adam", "sam"])
def test_managers_see_the_tab(sign_in: SignIn, url: str, username: str) -> None:
    response = sign_in(username).get(url)
    assert response.status_code == 200
    assert CONNECTIONS in response.text
    assert response.text.count('aria-current="page"') == 1


@pytest.mark.parametrize("url", [GENERAL, MEMBERS])
def test_members_see_no_tab(sign_in: SignIn, url: str) -> None:
    response = sign_in("mia").get(url)
    assert response.status_code == 200
    assert "App Connections" not in response.text


def test_members_may_not_open_connections(sign_in: SignIn) -> None:
    assert sign_in("mia").get(CONNECTIONS).status_code == 403


@pytest.mark.parametrize("url", [GENERAL, MEMBERS, CONNECTIONS])
def test_strangers_get_404(sign_in: SignIn, url: str) -> None:
    assert sign_in("nora").get(url).status_code == 404


def test_connections_page_wears_the_sites_layout(sign_in: SignIn) -> None:
    response = sign_in("olivia").get(CONNECTIONS)
    assert response.status_code == 200
    assert "Organization settings" in response.text
    assert response.text.count('aria-current="page"') == 1
    assert response.text.count("<h1") == 1
    assert "Tailspin Toys" in response.text


def test_callback_is_not_taken_for_an_organization() -> None:
    match = resolve("/organization/app-connections/azure/oauth/callback")
    assert match.namespace == "infisical_azure"


def test_admin_renames_and_keeps_the_address(sign_in: SignIn) -> None:
    response = sign_in("adam").post(GENERAL, {"name": "Tailspin Games"}, follow=True)
    assert response.redirect_chain == [(GENERAL, 302)]
    assert "The organization is now called Tailspin Games." in response.text
    assert response.text.count('role="status"') == 1


def test_refused_name_is_not_shown_as_the_name(sign_in: SignIn) -> None:
    response = sign_in("adam").post(GENERAL, {"name": "x" * 201})
    assert response.status_code == 200
    assert response.context["organization"].name == "Tailspin Toys"
    assert 'aria-invalid="true"' in response.text


def test_member_may_not_rename(sign_in: SignIn) -> None:
    assert sign_in("mia").post(GENERAL, {"name": "Mine"}).status_code == 403
    assert not Organization.objects.filter(name="Mine").exists()


def test_members_are_listed_with_their_roles_owner_first(sign_in: SignIn) -> None:
    members = sign_in("mia").get(MEMBERS).context["members"]
    assert [(member.user.username, member.role) for member in members] == [
        ("olivia", "owner"),
        ("adam", "admin"),
        ("mia", "member"),
    ]


def test_markup_in_a_name_is_escaped(sign_in: SignIn) -> None:
    Organization.objects.filter(slug="tailspin-toys").update(name="<script>x</script>")
    client = sign_in("olivia")
    for url in (LIST, GENERAL, MEMBERS):
        assert "<script>" not in client.get(url).text


def test_every_page_has_the_strict_policy(sign_in: SignIn) -> None:
    client = sign_in("sam")
    for url in (LIST, GENERAL, MEMBERS, "/admin/", "/nowhere/"):
        policy = client.get(url).headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'self'; form-action 'self'")


def test_sign_out_ends_the_session(sign_in: SignIn) -> None:
    client = sign_in("olivia")
    assertRedirects(client.post("/sign-out/"), "/sign-in/")
    assert client.get(LIST).status_code == 302


def test_admin_links_lead_to_the_sites_pages(sign_in: SignIn) -> None:
    organization = Organization.objects.get(slug="tailspin-toys")
    assert organization.get_absolute_url() == GENERAL
    assert organization.organization_users.first().get_absolute_url() == MEMBERS
    response = sign_in("sam").get(
        reverse("admin:organizations_organization_change", args=[organization.pk])
    )
    assert response.status_code == 200
