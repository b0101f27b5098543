"""The APIs an application can ask for, and their delegated permissions."""

from __future__ import annotations

from dataclasses import dataclass

OIDC_SCOPES = ("openid", "profile", "email", "offline_access")


@dataclass(frozen=True, slots=True, kw_only=True)
class Permission:
    resource: str
    name: str
    label: str
    admin_only: bool = False
    registered: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    key: str
    name: str
    app_id: str
    # One per cloud, and App Configuration has two names in each of them.
    identifiers: tuple[str, ...]
    permissions: tuple[Permission, ...]

    def permission(self, name: str) -> Permission | None:
        return next((p for p in self.permissions if p.name == name), None)


def _graph(
    name: str, label: str, *, admin_only: bool = False, registered: bool = True
) -> Permission:
    return Permission(
        resource="graph", name=name, label=label, admin_only=admin_only, registered=registered
    )


def _store(name: str, label: str) -> Permission:
    return Permission(resource="app_configuration", name=name, label=label)


GRAPH = Resource(
    key="graph",
    name="Microsoft Graph",
    app_id="00000003-0000-0000-c000-000000000000",
    identifiers=(
        "https://graph.microsoft.com",
        "https://graph.microsoft.us",
        "https://dod-graph.microsoft.us",
        "https://microsoftgraph.chinacloudapi.cn",
    ),
    permissions=(
        _graph("User.Read", "Sign you in and read your profile"),
        _graph(
            "Application.ReadWrite.All",
            "Read and write all application registrations",
            admin_only=True,
        ),
        _graph("Directory.ReadWrite.All", "Read and write directory data", admin_only=True),
        _graph("openid", "Sign you in"),
        _graph("profile", "View your basic profile"),
        _graph("offline_access", "Maintain access to data you have given it access to"),
        _graph("email", "View your email address", registered=False),
        _graph("Application.Read.All", "Read applications", admin_only=True, registered=False),
        _graph("Directory.Read.All", "Read directory data", admin_only=True, registered=False),
        _graph(
            "Organization.Read.All",
            "Read organization information",
            admin_only=True,
            registered=False,
        ),
    ),
)
KEY_VAULT = Resource(
    key="key_vault",
    name="Azure Key Vault",
    app_id="cfa8b339-82a2-471a-a3c9-0fc0be7a4093",
    identifiers=(
        "https://vault.azure.net",
        "https://vault.usgovcloudapi.net",
        "https://vault.azure.cn",
    ),
    permissions=(
        Permission(
            resource="key_vault",
            name="user_impersonation",
            label="Have full access to the Azure Key Vault service",
        ),
    ),
)
APP_CONFIGURATION = Resource(
    key="app_configuration",
    name="Azure App Configuration",
    app_id="35ffadb3-7fc1-497e-b61b-381d28e744cc",
    identifiers=(
        "https://appconfig.azure.com",
        "https://azconfig.io",
        "https://appconfig.azure.us",
        "https://azconfig.azure.us",
        "https://appconfig.azure.cn",
        "https://azconfig.azure.cn",
    ),
    permissions=(
        _store("KeyValue.Read", "Read key-values"),
        _store("KeyValue.Write", "Create and update key-values"),
        _store("KeyValue.Delete", "Delete key-values"),
    ),
)
RESOURCES = {resource.key: resource for resource in (GRAPH, KEY_VAULT, APP_CONFIGURATION)}


def find_resource(identifier: str) -> Resource | None:
    """The API with this identifier URI (a trailing slash does not matter) or app id."""
    wanted = identifier.rstrip("/")
    return next(
        (r for r in RESOURCES.values() if wanted in r.identifiers or wanted == r.app_id), None
    )
