"""Roles of accounts in vaults and stores: what RBAC lets the person do."""

from __future__ import annotations

from .directory import ADA, FAYE, FINN, MAX, Account

READ, LIST, WRITE, DELETE, RECOVER, PURGE = "read", "list", "write", "delete", "recover", "purge"

ROLES = {
    "Key Vault Secrets Officer": {READ, LIST, WRITE, DELETE, RECOVER, PURGE},
    "Key Vault Secrets User": {READ, LIST},
    "App Configuration Data Owner": {READ, WRITE, DELETE},
    "App Configuration Data Reader": {READ},
}
# Una has no role anywhere.
_SEEDED = {
    (ADA.oid, "contoso-vault"): "Key Vault Secrets Officer",
    (MAX.oid, "contoso-vault"): "Key Vault Secrets User",
    (ADA.oid, "contoso-config"): "App Configuration Data Owner",
    (MAX.oid, "contoso-config"): "App Configuration Data Reader",
    (FAYE.oid, "fabrikam-vault"): "Key Vault Secrets Officer",
    (FINN.oid, "fabrikam-vault"): "Key Vault Secrets User",
    (FAYE.oid, "fabrikam-config"): "App Configuration Data Owner",
    (FINN.oid, "fabrikam-config"): "App Configuration Data Reader",
}


class Assignments:
    def __init__(self) -> None:
        self._roles = dict(_SEEDED)

    def assign(self, account: Account, place: str, role: str) -> None:
        """Give the account this one role in a vault or store; an empty role takes it away."""
        self._roles[(account.oid, place)] = role

    def allow(self, account: Account, place: str, act: str) -> bool:
        return act in ROLES.get(self._roles.get((account.oid, place), ""), set())
