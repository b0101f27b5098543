"""Who may do what with connections."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.http import Http404
from organizations.models import Organization

from example_project.host import OrganizationsHost
from infisical_azure.permissions import ASKED

if TYPE_CHECKING:
    from django.test import RequestFactory
    from pytest_django import DjangoAssertNumQueries

PERMISSIONS = list(ASKED.values())
MANAGERS = {("olivia", "tailspin-toys"), ("adam", "tailspin-toys"), ("nora", "northwind-traders")}
VISITORS = {("mia", "tailspin-toys"), ("adam", "northwind-traders")}
SLUGS = ("tailspin-toys", "northwind-traders")


@pytest.mark.parametrize("perm", PERMISSIONS)
def test_owners_and_admins_manage_connections(people: dict[str, User], perm: str) -> None:
    host = OrganizationsHost()
    allowed = {
        (username, slug)
        for username, user in people.items()
        for slug in SLUGS
        if host.has_permission(user, perm, Organization.objects.get(slug=slug), None)
    }
    assert allowed == MANAGERS | {("sam", slug) for slug in SLUGS}


def test_unknown_permission_is_refused(people: dict[str, User]) -> None:
    organization = Organization.objects.get(slug="tailspin-toys")
    for user in people.values():
        assert not OrganizationsHost().has_permission(user, "auth.view_user", organization, None)


def test_anonymous_and_inactive_people_are_refused(people: dict[str, User]) -> None:
    organization = Organization.objects.get(slug="tailspin-toys")
    people["olivia"].is_active = people["sam"].is_active = False
    for user in (AnonymousUser(), people["olivia"], people["sam"]):
        assert not OrganizationsHost().has_permission(user, PERMISSIONS[0], organization, None)


def test_owner_without_admin_mark_still_manages(people: dict[str, User]) -> None:
    organization = Organization.objects.get(slug="tailspin-toys")
    organization.organization_users.update(is_admin=False)
    assert OrganizationsHost().has_permission(people["olivia"], PERMISSIONS[0], organization, None)


def test_strangers_get_404(people: dict[str, User], rf: RequestFactory) -> None:
    request = rf.get("/")
    seen = set()
    for username, request.user in people.items():
        for slug in SLUGS:
            try:
                organization = OrganizationsHost().get_organization(request, slug)
            except Http404:
                continue
            assert OrganizationsHost().get_key(organization) == slug
            seen.add((username, slug))
    assert seen == MANAGERS | VISITORS | {("sam", slug) for slug in SLUGS}


@pytest.mark.parametrize("username", ["olivia", "sam"])
def test_inactive_organization_is_not_found(
    people: dict[str, User], rf: RequestFactory, username: str
) -> None:
    Organization.objects.update(is_active=False)
    request = rf.get("/")
    request.user = people[username]
    with pytest.raises(Http404):
        OrganizationsHost().get_organization(request, "tailspin-toys")


@pytest.mark.parametrize("username", ["olivia", "adam", "sam"])
def test_one_query_answers_all_questions_of_a_page(
    people: dict[str, User],
    rf: RequestFactory,
    username: str,
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    host, request = OrganizationsHost(), rf.get("/")
    request.user = people[username]
    with django_assert_num_queries(1):
        organization = host.get_organization(request, "tailspin-toys")
        for perm in PERMISSIONS:
            assert host.has_permission(request.user, perm, organization, None)


def test_answer_for_one_person_is_not_given_to_another(
    people: dict[str, User], rf: RequestFactory
) -> None:
    host, request = OrganizationsHost(), rf.get("/")
    request.user = people["olivia"]
    organization = host.get_organization(request, "tailspin-toys")
    assert not host.has_permission(people["mia"], PERMISSIONS[0], organization, None)
