"""Pages of the example site: organizations and their settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib.auth.mixins import LoginRequiredMixin
from django.contrib.messages.views import SuccessMessageMixin
from django.core.exceptions import PermissionDenied
from django.db.models import Count, F, Prefetch, QuerySet
from django.views.generic import ListView, UpdateView
from organizations.models import Organization, OrganizationUser

from example_project.forms import OrganizationForm
from example_project.membership import find_organization, may_manage, memberships

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse


class OrganizationListView(LoginRequiredMixin, ListView):
    """Organizations of the user, or all of them for a superuser."""

    template_name = "example/organization_list.html"

    def get_queryset(self) -> QuerySet[Organization]:
        own = memberships().filter(user=self.request.user)
        organizations: QuerySet[Organization] = Organization.active.annotate(
            member_count=Count("organization_users")
        )
        if not self.request.user.is_superuser:
            organizations = organizations.filter(pk__in=own.values("organization"))
        return organizations.order_by("name").prefetch_related(
            Prefetch("organization_users", queryset=own, to_attr="own_memberships")
        )


class OrganizationGeneralView(LoginRequiredMixin, SuccessMessageMixin, UpdateView):
    """Name of the organization: everybody reads, owners and admins write."""

    form_class = OrganizationForm
    template_name = "example/organization_general.html"
    success_message = "The organization is now called %(name)s."

    def get_object(self, queryset: QuerySet[Organization] | None = None) -> Organization:
        return find_organization(self.request.user, self.kwargs["slug"])

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not may_manage(request.user, self.get_object()):
            msg = "Only an owner or admin may rename an organization."
            raise PermissionDenied(msg)
        return super().post(request, *args, **kwargs)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        # Read anew, so that a refused name is not already in the page's heading.
        organization = self.get_object()
        return super().get_context_data(
            organization=organization,
            may_manage=may_manage(self.request.user, organization),
            tab="general",
            **kwargs,
        )


class OrganizationMembersView(LoginRequiredMixin, ListView):
    """Everybody in the organization with their role."""

    context_object_name = "members"
    template_name = "example/organization_members.html"

    def get_queryset(self) -> QuerySet[OrganizationUser]:
        self.organization = find_organization(self.request.user, self.kwargs["slug"])
        return (
            memberships()
            .filter(organization=self.organization)
            .select_related("user")
            .order_by(F("organizationowner").asc(nulls_last=True), "-is_admin", "user__username")
        )

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(organization=self.organization, tab="members", **kwargs)
