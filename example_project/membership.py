"""Who belongs to an organization, and as what."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db.models import Case, QuerySet, TextChoices, Value, When
from django.http import Http404
from django.shortcuts import get_object_or_404
from organizations.models import Organization, OrganizationUser

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser, User


class Role(TextChoices):
    OWNER = "owner", "Owner"
    ADMIN = "admin", "Admin"
    MEMBER = "member", "Member"


def memberships() -> QuerySet[OrganizationUser]:
    """Return the memberships of active organizations, each with its ``role``."""
    role = Case(
        When(organizationowner__isnull=False, then=Value(Role.OWNER)),
        When(is_admin=True, then=Value(Role.ADMIN)),
        default=Value(Role.MEMBER),
    )
    members: QuerySet[OrganizationUser] = OrganizationUser.objects.annotate(role=role)
    return members.filter(organization__is_active=True)


def find_organization(user: User | AnonymousUser, slug: str) -> Organization:
    """Return the organization with the user's membership on it, or raise Http404."""
    if user.is_active and user.is_superuser:
        return get_object_or_404(Organization.active, slug=slug)
    membership = (
        memberships()
        .filter(user_id=user.pk, organization__slug=slug)
        .select_related("organization")
        .first()
    )
    if membership is None:
        msg = "No such organization, or not one of this user's"
        raise Http404(msg)
    # Kept for may_manage(), which the same request asks several times.
    membership.organization.viewer = membership
    return membership.organization


def may_manage(user: User | AnonymousUser, organization: Organization) -> bool:
    """Say whether the user is an owner or admin here, or a superuser."""
    if not user.is_active:
        return False
    if user.is_superuser:
        return True
    membership = getattr(organization, "viewer", None)
    if membership is None or membership.user_id != user.pk:
        membership = memberships().filter(user_id=user.pk, organization=organization).first()
    return membership is not None and membership.role in {Role.OWNER, Role.ADMIN}
