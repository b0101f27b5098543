"""Which delegated permissions were granted, by whom, for whom."""

from __future__ import annotations

from collections.abc import Iterable

from .directory import Account, Registration
from .permissions import GRAPH, OIDC_SCOPES, RESOURCES, Permission, Resource
from .scopes import Scopes

# An empty oid stands for everyone in the tenant.
EVERYONE = ""


class Consents:
    def __init__(self) -> None:
        self._granted: dict[tuple[str, str], set[tuple[str, str]]] = {}

    def grant(self, tenant_id: str, oid: str, permissions: Iterable[Permission]) -> None:
        entry = self._granted.setdefault((tenant_id, oid), set())
        entry.update((permission.resource, permission.name) for permission in permissions)

    def revoke(self, tenant_id: str, *, oid: str | None = None, resource: str = "") -> None:
        """Take grants away: of one account or of all, for one resource or for all."""
        for (tenant, holder), names in self._granted.items():
            if tenant == tenant_id and oid in (None, holder):
                names -= {pair for pair in names if resource in ("", pair[0])}

    def granted(self, account: Account, resource: Resource) -> tuple[str, ...]:
        """Names granted to this account, in the order of the resource's own list."""
        names: set[tuple[str, str]] = set()
        for oid in (account.oid, EVERYONE):
            names |= self._granted.get((account.tenant_id, oid), set())
        return tuple(p.name for p in resource.permissions if (resource.key, p.name) in names)

    def to_ask(
        self, account: Account, scopes: Scopes, app: Registration, *, again: bool
    ) -> tuple[Permission, ...]:
        """The permissions that the consent page must list; none means no page."""
        wanted: dict[tuple[str, str], Permission] = {}

        def want(permissions: Iterable[Permission]) -> None:
            wanted.update({(p.resource, p.name): p for p in permissions})

        for asked in scopes.resources:
            granted = set(self.granted(account, asked.resource))
            # .default covers every registered API at once, and never asks for a little more.
            if asked.default and (again or not granted - set(OIDC_SCOPES)):
                want(app.permissions)
            missing = asked.names if again else [n for n in asked.names if n not in granted]
            want(p for p in asked.resource.permissions if p.name in missing)
        granted_oidc = self.granted(account, GRAPH)
        want(
            p
            for p in GRAPH.permissions
            if p.name in scopes.oidc and (again or p.name not in granted_oidc)
        )
        return tuple(wanted.values())


def named(resource_key: str, names: Iterable[str]) -> tuple[Permission, ...]:
    """The permissions of a resource with these names, and the OIDC ones with them."""
    chosen = set(names)
    permissions = [p for p in RESOURCES[resource_key].permissions if p.name in chosen]
    oidc = [p for p in GRAPH.permissions if p.name in OIDC_SCOPES and p.registered]
    return (*permissions, *oidc)
