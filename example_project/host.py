"""The four answers that infisical_azure asks of this site."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from example_project.membership import find_organization, may_manage
from infisical_azure.host import Host

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser, AnonymousUser, User
    from django.http import HttpRequest
    from organizations.models import Organization

    from infisical_azure.models import AppConnection

MANAGER_PERMISSIONS = {
    "infisical_azure.view_appconnection",
    "infisical_azure.add_appconnection",
    "infisical_azure.change_appconnection",
    "infisical_azure.delete_appconnection",
    "infisical_azure.manage_client_secrets",
    "infisical_azure.manage_rotations",
}


class OrganizationsHost(Host):
    def get_organization(self, request: HttpRequest, key: str) -> Organization:
        return find_organization(request.user, key)

    def get_key(self, organization: Organization) -> str:
        return str(organization.slug)

    def has_permission(
        self,
        user: AbstractBaseUser | AnonymousUser,
        permission: str,
        organization: Organization,
        connection: AppConnection | None,
    ) -> bool:
        return permission in MANAGER_PERMISSIONS and may_manage(cast("User", user), organization)

    def get_context_data(self, request: HttpRequest, organization: Organization) -> dict[str, Any]:
        return {"organization": organization, "tab": "app-connections"}
