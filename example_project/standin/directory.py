"""Tenants, accounts and the registered application, as seeded."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from .permissions import APP_CONFIGURATION, GRAPH, KEY_VAULT, Permission

DEFAULT_CLIENT_ID = "c1a7e5d0-3b42-4f6e-9a18-7d20b5e4f311"
# Fake, and published on purpose: real secret values have "~" and "." in them too.
DEFAULT_CLIENT_SECRET = "standin~demo.secret_not-a-real-one.4Zq~"  # noqa: S105
DEFAULT_SECRET_ID = "9e0d6c3b-58a1-4b7f-8f2d-1c64a0b97e25"  # noqa: S105
DEFAULT_REDIRECT_URI = "http://localhost:8000/organization/app-connections/azure/oauth/callback"
APP_NAME = "Organisation manager (demo)"

CONTOSO_ID = "5f3c1e0a-7b1d-4c55-9d0e-2a6c8f4b1c01"
FABRIKAM_ID = "b8d4a6f2-3e90-4f17-8a2c-6d1e5c7f9b02"
SHARED_PATHS = ("common", "organizations")


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    oid: str
    upn: str
    name: str
    given_name: str
    surname: str
    role: str
    tenant_id: str
    is_admin: bool = False
    is_assigned: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    id: str
    name: str
    domains: tuple[str, ...]
    accounts: tuple[Account, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Secret:
    id: str
    value: str = field(repr=False)
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    client_id: str
    name: str
    secrets: tuple[Secret, ...]
    redirect_uris: tuple[str, ...]
    permissions: tuple[Permission, ...]


def _account(oid: str, upn: str, role: str, tenant_id: str, **flags: bool) -> Account:
    given_name, surname = ROSTER[upn]
    return Account(
        oid=oid,
        upn=upn,
        name=f"{given_name} {surname}",
        given_name=given_name,
        surname=surname,
        role=role,
        tenant_id=tenant_id,
        **flags,
    )


ROSTER = {
    "ada@contoso.com": ("Ada", "Admin"),
    "max@contoso.com": ("Max", "Member"),
    "una@contoso.com": ("Una", "Unassigned"),
    "faye@fabrikam.com": ("Faye", "Foster"),
    "finn@fabrikam.com": ("Finn", "Field"),
}
ADA = _account(
    "0a4f1c7e-2b3d-4e5f-8a90-1b2c3d4e5f01",
    "ada@contoso.com",
    "Administrator",
    CONTOSO_ID,
    is_admin=True,
)
MAX = _account("1b5a2d8f-3c4e-4f60-9ba1-2c3d4e5f6a02", "max@contoso.com", "Member", CONTOSO_ID)
UNA = _account(
    "2c6b3e90-4d5f-4a71-acb2-3d4e5f6a7b03",
    "una@contoso.com",
    "Member, not assigned to the application",
    CONTOSO_ID,
    is_assigned=False,
)
FAYE = _account(
    "3d7c4fa1-5e60-4b82-bdc3-4e5f6a7b8c04",
    "faye@fabrikam.com",
    "Administrator",
    FABRIKAM_ID,
    is_admin=True,
)
FINN = _account("4e8d50b2-6f71-4c93-8ed4-5f6a7b8c9d05", "finn@fabrikam.com", "Member", FABRIKAM_ID)

TENANTS = (
    Tenant(
        id=CONTOSO_ID,
        name="Contoso",
        domains=("contoso.onmicrosoft.com", "contoso.com"),
        accounts=(ADA, MAX, UNA),
    ),
    Tenant(
        id=FABRIKAM_ID,
        name="Fabrikam",
        domains=("fabrikam.onmicrosoft.com", "fabrikam.com"),
        accounts=(FAYE, FINN),
    ),
)


def registration(
    *, client_id: str = "", client_secret: str = "", redirect_uris: tuple[str, ...] = ()
) -> Registration:
    """The application as its publisher registered it in the Azure portal."""
    secret = Secret(id=DEFAULT_SECRET_ID, value=client_secret or DEFAULT_CLIENT_SECRET)
    return Registration(
        client_id=(client_id or DEFAULT_CLIENT_ID).lower(),
        name=APP_NAME,
        secrets=(secret,),
        redirect_uris=redirect_uris or (DEFAULT_REDIRECT_URI,),
        permissions=tuple(
            permission
            for resource in (GRAPH, KEY_VAULT, APP_CONFIGURATION)
            for permission in resource.permissions
            if permission.registered
        ),
    )


def find_tenant(path: str) -> Tenant | None:
    """The tenant that a GUID or a verified domain in the path stands for."""
    wanted = path.lower()
    return next((t for t in TENANTS if wanted == t.id or wanted in t.domains), None)


def find_account(name: str) -> Account | None:
    """The account with this object id or user principal name."""
    wanted = name.lower()
    everyone = (account for tenant in TENANTS for account in tenant.accounts)
    return next((a for a in everyone if wanted in (a.oid, a.upn)), None)


def tenant_of(account: Account) -> Tenant:
    return next(tenant for tenant in TENANTS if tenant.id == account.tenant_id)
