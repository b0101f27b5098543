"""What people of a site may do, and what the registered application needs in Azure."""

from __future__ import annotations

import enum
from collections.abc import Collection
from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

#: What there is beside Django's four permissions, as `AppConnection` declares it.
DECLARED = (
    ("manage_client_secrets", "Can issue and remove client secrets"),
    ("manage_rotations", "Can manage rotations and their destinations"),
)

#: All that `Host.has_permission` is asked, by the short names that pages use.
ASKED = {
    **{
        verb: f"infisical_azure.{verb}_appconnection"
        for verb in ("view", "add", "change", "delete")
    },
    **{codename: f"infisical_azure.{codename}" for codename, _name in DECLARED},
}

GRAPH = "Microsoft Graph"
KEY_VAULT = "Azure Key Vault"
APP_CONFIGURATION = "Azure App Configuration"

#: Application ids of the APIs, as ``requiredResourceAccess`` names them.
API_IDS = {
    GRAPH: "00000003-0000-0000-c000-000000000000",
    KEY_VAULT: "cfa8b339-82a2-471a-a3c9-0fc0be7a4093",
    APP_CONFIGURATION: "35ffadb3-7fc1-497e-b61b-381d28e744cc",
}


class Kind(enum.StrEnum):
    """Entra's two kinds: on behalf of a person, or as the application itself."""

    DELEGATED = "Scope"
    APPLICATION = "Role"


@dataclass(frozen=True, slots=True, kw_only=True)
class Permission:
    """One permission of one API; `id` is the GUID that Azure knows it by."""

    api: str
    name: str
    kind: Kind
    id: str
    purpose: str | Promise
    admin_consent: bool = True
    """Whether only an administrator of the tenant can grant it."""


REGISTERED = (
    Permission(
        api=GRAPH,
        name="User.Read",
        kind=Kind.DELEGATED,
        id="e1fe6dd8-ba31-4d61-89e7-88639da4683d",
        purpose=_("see which account is connected"),
        admin_consent=False,
    ),
    Permission(
        api=GRAPH,
        name="Application.ReadWrite.All",
        kind=Kind.DELEGATED,
        id="bdfbf15f-ee85-4955-8675-146e8e5296b5",
        purpose=_("list applications and issue or remove their client secrets"),
    ),
    Permission(
        api=GRAPH,
        name="Directory.ReadWrite.All",
        kind=Kind.DELEGATED,
        id="c5366453-9fb0-48a5-a156-24f0c49a4b84",
        purpose=_("read the directory that the applications belong to"),
    ),
    Permission(
        api=GRAPH,
        name="Application.ReadWrite.All",
        kind=Kind.APPLICATION,
        id="1bfefb4e-e0b5-418b-a88f-73c46d2cc8e9",
        purpose=_("manage applications without a signed-in person"),
    ),
    Permission(
        api=GRAPH,
        name="Application.ReadWrite.OwnedBy",
        kind=Kind.APPLICATION,
        id="18a4783c-866b-4cc7-a460-3d5e5662c884",
        purpose=_("manage the applications that this one owns"),
    ),
    Permission(
        api=APP_CONFIGURATION,
        name="KeyValue.Delete",
        kind=Kind.DELEGATED,
        id="08eeff12-9b4a-4273-b3d9-ff8a13c32645",
        purpose=_("delete key-values"),
        admin_consent=False,
    ),
    Permission(
        api=APP_CONFIGURATION,
        name="KeyValue.Read",
        kind=Kind.DELEGATED,
        id="8d17f7f7-030c-4b57-8129-cfb5a16433cd",
        purpose=_("read key-values"),
        admin_consent=False,
    ),
    Permission(
        api=APP_CONFIGURATION,
        name="KeyValue.Write",
        kind=Kind.DELEGATED,
        id="77967a14-4f88-4960-84da-e8f71f761ac2",
        purpose=_("write key-values"),
        admin_consent=False,
    ),
    Permission(
        api=KEY_VAULT,
        name="user_impersonation",
        kind=Kind.DELEGATED,
        id="f53da476-18e3-4152-8e01-aec403e6edc0",
        purpose=_("use vaults as the connected account"),
        admin_consent=False,
    ),
)

#: Not an API's permission but an OpenID Connect scope; Entra never lists it in a reply:
#: whether it was granted shows only in whether a refresh token came.
OFFLINE_ACCESS = Permission(
    api=GRAPH,
    name="offline_access",
    kind=Kind.DELEGATED,
    id="7427e0e9-2fba-42fe-b0c0-848c9e6a8182",
    purpose=_("keep working after the first hour"),
    admin_consent=False,
)

#: What a connection must hold to do everything that its pages offer.
NEEDED = (
    *(p for p in REGISTERED if p.api == GRAPH and p.kind is Kind.DELEGATED),
    OFFLINE_ACCESS,
)


def missing(granted: Collection[str]) -> tuple[Permission, ...]:
    """Return the needed permissions that are not among the granted scope names."""
    held = {name.lower() for name in granted}
    return tuple(p for p in NEEDED if p.name.lower() not in held)
