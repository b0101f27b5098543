"""The part of the client that steers applications and their secrets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Found = dict[str, Any]


class DirectoryControls:
    """What graph_control.py offers, for StandIn to inherit."""

    def control(self, method: str, name: str, body: dict[str, Any] | None = None) -> Any:
        raise NotImplementedError

    def journal(self) -> list[dict[str, Any]]:
        raise NotImplementedError

    def applications(self, tenant: str) -> list[Found]:
        """All of a tenant as they truly are, sorted by name; secrets by hash and hint only."""
        found: list[Found] = self.control("GET", "applications", {"tenant": tenant})
        return found

    def application(self, tenant: str, name: str) -> Found:
        """The one with this name, id or appId."""
        names = ("displayName", "id", "appId")
        return next(a for a in self.applications(tenant) if name in [a[n] for n in names])

    def add_application(
        self,
        tenant: str,
        name: str,
        *,
        owners: Sequence[str] = (),
        audience: str = "AzureADMyOrg",
        secrets: Sequence[dict[str, Any]] = (),
    ) -> Found:
        """owners: user principal names or object ids.

        secrets: {"displayName", "days"} until each ends, and its "value" to use it.
        """
        body = {"tenant": tenant, "name": name, "audience": audience}
        lists = {"owners": list(owners), "secrets": list(secrets)}
        added: Found = self.control("POST", "applications", body | lists)
        return added

    def add_applications(self, tenant: str, count: int) -> None:
        self.control("POST", "applications", {"tenant": tenant, "count": count})

    def remove_application(self, tenant: str, id_: str) -> None:
        self.control("DELETE", "applications", {"tenant": tenant, "id": id_})

    def directory(self, **switches: float | bool | Sequence[bool]) -> None:
        """Switches by their names in directory_switches.py."""
        self.control("POST", "directory", switches)

    def graph_policy(
        self,
        tenant: str,
        *,
        forbid_secrets: bool = False,
        max_lifetime_days: float | None = None,
    ) -> None:
        """Replace the tenant's policy for applications."""
        body = {"forbid_secrets": forbid_secrets, "max_lifetime_days": max_lifetime_days}
        self.control("POST", "graph_policy", {"tenant": tenant, **body})

    def secret_works(self, tenant: str, app_id: str, value: str) -> bool:
        """Whether it is truly a living secret, or will be accepted as such in the end."""
        body = {"tenant": tenant, "app_id": app_id, "value": value}
        return bool(self.control("POST", "secret_check", body)["works"])

    def graph_requests(self) -> list[dict[str, Any]]:
        """From the journal; writes to secrets also have application and key_id."""
        return [entry for entry in self.journal() if entry["path"].startswith("/graph/")]
