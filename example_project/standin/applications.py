"""The applications of one tenant, in the orders in which they are listed."""

from __future__ import annotations

import uuid
from bisect import bisect_left, insort
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from .client_secrets import ClientSecret

# What a list is sorted by, and the application's id.
Key = tuple[str, str]
ORGANIZATION_ONLY = "AzureADMyOrg"
PERSONAL_TOO = ("AzureADandPersonalMicrosoftAccount", "PersonalMicrosoftAccount")
_NAMESPACE = uuid.UUID("6d1f0c52-8a3e-4b7d-9c15-2e4f6a8b0c1d")


def fixed_id(*parts: object) -> str:
    """The same id for the same parts, every time."""
    return str(uuid.uuid5(_NAMESPACE, "/".join(map(str, parts))))


@dataclass(slots=True, kw_only=True)
class Application:
    id: str
    app_id: str
    name: str
    created: datetime
    audience: str = ORGANIZATION_ONLY
    # Object ids of accounts.
    owners: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    # Permissions of its own in Graph, for when nobody is signed in.
    app_roles: tuple[str, ...] = ()
    # Oldest first; also those removed, which readers may still see.
    secrets: list[ClientSecret] = field(default_factory=list)
    written_at: datetime | None = None

    @property
    def principal_id(self) -> str:
        """The object id of its service principal in the tenant."""
        return fixed_id(self.id, "service principal")

    def living_secrets(self) -> list[ClientSecret]:
        return [secret for secret in self.secrets if not secret.is_removed]

    def look(self, now: datetime) -> list[ClientSecret]:
        """The secrets that this reader sees; the next one may see others."""
        visible = [secret for secret in self.secrets if secret.is_visible(now)]
        for secret in self.secrets:
            secret.look()
        return visible


@dataclass(slots=True, kw_only=True)
class Policy:
    """What the tenant's policy for applications says of client secrets."""

    forbid_secrets: bool = False
    max_lifetime_days: float | None = None


class Applications:
    """Sorted when one is added, so that a page costs the same in a tenant of any size."""

    def __init__(self, tenant_id: str, applications: Iterable[Application] = ()) -> None:
        self.tenant_id = tenant_id
        self.policy = Policy()
        self.added = 0
        self._by_id: dict[str, Application] = {}
        self._by_app_id: dict[str, Application] = {}
        self.ids: list[Key] = []
        self.names: list[Key] = []
        self.add_all(applications)

    def add_all(self, applications: Iterable[Application]) -> None:
        for application in applications:
            self._remember(application)
            self.ids.append(("", application.id))
            self.names.append(_name_key(application))
        self.ids.sort()
        self.names.sort()

    def add(self, application: Application) -> None:
        self._remember(application)
        insort(self.ids, ("", application.id))
        insort(self.names, _name_key(application))

    def remove(self, application: Application) -> None:
        del self._by_id[application.id]
        del self._by_app_id[application.app_id]
        del self.ids[bisect_left(self.ids, ("", application.id))]
        del self.names[bisect_left(self.names, _name_key(application))]

    def find(self, id_: str) -> Application | None:
        return self._by_id.get(id_.lower())

    def find_by_app_id(self, app_id: str) -> Application | None:
        return self._by_app_id.get(app_id.lower())

    def all(self) -> list[Application]:
        return [self._by_id[id_] for _, id_ in self.names]

    def named(self, keys: Iterable[Key]) -> list[Application]:
        return [self._by_id[id_] for _, id_ in keys]

    def starting_with(self, prefix: str) -> Sequence[Key]:
        start = prefix.casefold()
        first = bisect_left(self.names, (start, ""))
        return self.names[first : bisect_left(self.names, (f"{start}\U0010ffff", ""))]

    def containing(self, words: Sequence[str]) -> Sequence[Key]:
        found = self.names
        for word in map(str.casefold, words):
            found = [key for key in found if word in key[0]]
        return found

    def key_of(self, application: Application) -> Key:
        return _name_key(application)

    def _remember(self, application: Application) -> None:
        self._by_id[application.id] = application
        self._by_app_id[application.app_id] = application


def _name_key(application: Application) -> Key:
    return application.name.casefold(), application.id
