"""The demo's people and organizations."""

from __future__ import annotations

from dataclasses import dataclass, field

from django.contrib.auth.models import User
from django.db import transaction
from organizations.models import Organization, OrganizationOwner, OrganizationUser

from example_project.membership import Role

PASSWORD = "demo"  # noqa: S105  printed by the demo for everybody

ORGANIZATIONS = {"tailspin-toys": "Tailspin Toys", "northwind-traders": "Northwind Traders"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    username: str
    first_name: str
    last_name: str
    roles: dict[str, Role] = field(default_factory=dict)
    is_superuser: bool = False

    def __str__(self) -> str:
        return f"{self.first_name} {self.last_name}"

    @property
    def standing(self) -> str:
        """Every role in words."""
        roles = [f"{role.label} of {ORGANIZATIONS[slug]}" for slug, role in self.roles.items()]
        return ", ".join(["Superuser", *roles] if self.is_superuser else roles)


PEOPLE = (
    Person(
        username="olivia",
        first_name="Olivia",
        last_name="Owens",
        roles={"tailspin-toys": Role.OWNER},
    ),
    Person(
        username="adam",
        first_name="Adam",
        last_name="Adeyemi",
        roles={"tailspin-toys": Role.ADMIN, "northwind-traders": Role.MEMBER},
    ),
    Person(
        username="mia",
        first_name="Mia",
        last_name="Meyer",
        roles={"tailspin-toys": Role.MEMBER},
    ),
    Person(
        username="nora",
        first_name="Nora",
        last_name="Nilsen",
        roles={"northwind-traders": Role.OWNER},
    ),
    Person(username="sam", first_name="Sam", last_name="Sato", is_superuser=True),
)


@transaction.atomic
def seed() -> None:
    """Create whoever and whatever is missing; leave the rest as people made it."""
    organizations = {
        slug: Organization.objects.get_or_create(slug=slug, defaults={"name": name})[0]
        for slug, name in ORGANIZATIONS.items()
    }
    for person in PEOPLE:
        user = User.objects.filter(username=person.username).first() or _create_user(person)
        for slug, role in person.roles.items():
            _join(organizations[slug], user, role)


def _create_user(person: Person) -> User:
    create = User.objects.create_superuser if person.is_superuser else User.objects.create_user
    return create(
        person.username,
        f"{person.username}@example.com",
        PASSWORD,
        first_name=person.first_name,
        last_name=person.last_name,
    )


def _join(organization: Organization, user: User, role: Role) -> None:
    # Not Organization.add_user(), which makes an owner of whoever comes first.
    membership, _ = OrganizationUser.objects.get_or_create(
        organization=organization, user=user, defaults={"is_admin": role != Role.MEMBER}
    )
    if role == Role.OWNER:
        OrganizationOwner.objects.get_or_create(
            organization=organization, defaults={"organization_user": membership}
        )
