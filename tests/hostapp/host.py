"""The hosts that the tests mount us in: one for each organization model."""

from __future__ import annotations

import uuid
from typing import Any

from django.conf import settings
from django.contrib.auth.models import Group, Permission
from django.db.models import Model
from django.http import Http404, HttpRequest

from infisical_azure.host import GroupHost, Host
from infisical_azure.permissions import ASKED

from .models import Membership, Organization

ACTIONS = "view add change delete manage_client_secrets manage_rotations"


class UuidHost(Host):
    """Membership rows say which of the actions a person may do."""

    def get_organization(self, request: HttpRequest, key: str) -> Model:
        try:
            found = Organization.objects.filter(pk=uuid.UUID(key), members=request.user).first()
        except ValueError:
            found = None
        if found is None:
            raise Http404
        return found

    def has_permission(
        self, user: Any, permission: str, organization: Model, connection: Any
    ) -> bool:
        rows = Membership.objects.filter(organization=organization, user=user)
        actions = rows.values_list("actions", flat=True).first() or ""
        return permission in [ASKED[action] for action in actions.split()]


class IntegerHost(Host):
    """django-organizations: an organization's admins may what Django's permissions say."""

    def get_organization(self, request: HttpRequest, key: str) -> Model:
        from organizations.models import Organization as Tenancy

        found = Tenancy.objects.filter(pk=key, users=request.user).first() if key.isdecimal() else 0
        if not found:
            raise Http404
        return found

    def has_permission(
        self, user: Any, permission: str, organization: Any, connection: Any
    ) -> bool:
        return organization.is_admin(user) and user.has_perm(permission)


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
    names = [ASKED[action].split(".")[1] for action in actions.split()]
    granted = Permission.objects.filter(codename__in=names)
    if settings.ORGANIZATION == "group":
        user.groups.add(organization)
        organization.permissions.set(granted)  # For all its members: there is no other way.
    else:
        organization.add_user(user, is_admin=bool(actions))
        user.user_permissions.set(granted)


def remove_member(organization: Model, user: Any) -> None:
    """Take a person out of an organization."""
    if settings.ORGANIZATION == "uuid":
        Membership.objects.filter(organization=organization, user=user).delete()
    elif settings.ORGANIZATION == "group":
        user.groups.remove(organization)
    else:
        organization.organization_users.filter(user=user).delete()


__all__ = ["ACTIONS", "GroupHost", "IntegerHost", "UuidHost"]
