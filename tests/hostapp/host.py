"""The hosts that the tests mount us in: one for each organization model."""

from __future__ import annotations

import uuid
from typing import Any

from django.conf import settings
from django.contrib.auth.models import Group, Permission
from django.db.models import Model
from django.http import Http404, HttpRequest

from infisical_azure.host import GroupHost, Host

from .models import Membership, Organization

ACTIONS = "view add change delete"


class UuidHost(Host):
    """Membership rows say which of the four actions a person may do."""

    def get_organization(self, request: HttpRequest, key: str) -> Model:
        try:
            found = Organization.objects.filter(pk=uuid.UUID(key), members=request.user).first()
        except ValueError:
            found = None
        if found is None:
            raise Http404
        return found

    def has_permission(self, user: Any, perm: str, organization: Model) -> bool:
        rows = Membership.objects.filter(organization=organization, user=user)
        actions = rows.values_list("actions", flat=True).first() or ""
        return perm.removeprefix("infisical_azure.").split("_")[0] in actions.split()


class IntegerHost(Host):
    """django-organizations: everybody of an organization with a right of Django's may."""

    def get_organization(self, request: HttpRequest, key: str) -> Model:
        from organizations.models import Organization as Tenancy

        found = Tenancy.objects.filter(pk=key, users=request.user).first() if key.isdecimal() else 0
        if not found:
            raise Http404
        return found

    def has_permission(self, user: Any, perm: str, organization: Model) -> bool:
        return user.has_perm(perm)


def make_organization(name: str) -> Model:
    """Create an organization of whichever model is in use."""
    if settings.ORGANIZATION == "uuid":
        return Organization.objects.create(name=name)
    if settings.ORGANIZATION == "group":
        return Group.objects.create(name=name)
    from organizations.models import Organization as Tenancy

    return Tenancy.objects.create(name=name, slug=name.lower().replace(" ", "-"))


def add_member(organization: Model, user: Any, actions: str = ACTIONS) -> None:
    """Make a person a member who may do the actions, a blank-separated list."""
    if settings.ORGANIZATION == "uuid":
        Membership.objects.create(organization=organization, user=user, actions=actions)
        return
    if settings.ORGANIZATION == "group":
        user.groups.add(organization)
    else:
        organization.add_user(user)
    names = [f"{action}_appconnection" for action in actions.split()]
    user.user_permissions.set(Permission.objects.filter(codename__in=names))


def remove_member(organization: Model, user: Any) -> None:
    """Take a person out of an organization."""
    if settings.ORGANIZATION == "uuid":
        Membership.objects.filter(organization=organization, user=user).delete()
    elif settings.ORGANIZATION == "group":
        user.groups.remove(organization)
    else:
        organization.organization_users.filter(user=user).delete()


__all__ = ["ACTIONS", "GroupHost", "IntegerHost", "UuidHost"]
