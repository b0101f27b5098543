"""The demo's people."""

from __future__ import annotations

from io import StringIO

import pytest
from django.contrib.auth import authenticate
from django.contrib.auth.models import User
from django.core.management import call_command
from organizations.models import Organization, OrganizationOwner, OrganizationUser

from example_project.people import PASSWORD, PEOPLE

pytestmark = pytest.mark.django_db


def seed() -> str:
    out = StringIO()
    call_command("seed_demo", stdout=out)
    return out.getvalue()


def test_everybody_can_sign_in() -> None:
    assert seed() == "2 organizations and 5 people.\n"
    for person in PEOPLE:
        assert authenticate(username=person.username, password=PASSWORD)


def test_seeding_again_changes_nothing() -> None:
    seed()
    Organization.objects.filter(slug="tailspin-toys").update(name="Renamed")
    models = (User, Organization, OrganizationUser, OrganizationOwner)
    before = [list(model.objects.order_by("pk").values()) for model in models]
    seed()
    assert [list(model.objects.order_by("pk").values()) for model in models] == before


def test_each_organization_has_one_owner() -> None:
    seed()
    owners = OrganizationOwner.objects.values_list(
        "organization__slug", "organization_user__user__username"
    )
    assert set(owners) == {("tailspin-toys", "olivia"), ("northwind-traders", "nora")}


def test_standing_says_every_role() -> None:
    standing = {person.username: person.standing for person in PEOPLE}
    assert standing["adam"] == "Admin of Tailspin Toys, Member of Northwind Traders"
    assert standing["sam"] == "Superuser"
