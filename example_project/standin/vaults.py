"""What vaults hold: secrets, their versions, and those deleted but recoverable."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from .directory import CONTOSO_ID, FABRIKAM_ID

RECOVERABLE_DAYS = 90
# The longest page of a real vault.
PAGE_SIZE = 25


@dataclass(slots=True, kw_only=True)
class Version:
    value: str = field(repr=False)
    created: datetime
    updated: datetime
    content_type: str | None = None
    tags: dict[str, str] | None = None
    enabled: bool = True
    not_before: int | None = None
    expires: int | None = None
    id: str = field(default_factory=lambda: secrets.token_hex(16))


@dataclass(slots=True, kw_only=True)
class Secret:
    name: str
    # Oldest first.
    versions: list[Version] = field(default_factory=list)
    deleted_at: datetime | None = None
    # How many more times a reader is told that deletion, or recovery, has not happened yet.
    pending: int = 0

    @property
    def latest(self) -> Version:
        return self.versions[-1]

    @property
    def purged_at(self) -> datetime | None:
        """When the vault forgets a deleted secret by itself."""
        return self.deleted_at and self.deleted_at + timedelta(days=RECOVERABLE_DAYS)

    def version(self, version_id: str) -> Version | None:
        """The version with this id; without an id, the latest."""
        if not version_id:
            return self.latest
        return next((v for v in self.versions if v.id == version_id.lower()), None)

    def still_pending(self) -> bool:
        """Count one look at a secret that may be on its way to another state."""
        if not self.pending:
            return False
        self.pending -= 1
        return True


@dataclass(slots=True, kw_only=True)
class Vault:
    name: str
    tenant_id: str
    # By lower-case name: Key Vault keeps the case it was given but does not tell it apart.
    secrets: dict[str, Secret] = field(default_factory=dict)

    def find(self, name: str) -> Secret | None:
        return self.secrets.get(name.lower())

    def add(self, name: str, version: Version) -> Secret:
        secret = self.secrets.setdefault(name.lower(), Secret(name=name))
        secret.versions.append(version)
        return secret

    def purge(self, secret: Secret) -> None:
        del self.secrets[secret.name.lower()]

    def sorted(self, *, deleted: bool) -> list[Secret]:
        settled = [secret for secret in self.secrets.values() if not secret.pending]
        chosen = [secret for secret in settled if (secret.deleted_at is not None) == deleted]
        return sorted(chosen, key=lambda secret: secret.name.lower())


def seeded_vaults(now: datetime) -> dict[str, Vault]:
    vaults = (
        Vault(name="contoso-vault", tenant_id=CONTOSO_ID),
        Vault(name="fabrikam-vault", tenant_id=FABRIKAM_ID),
    )
    for vault in vaults:
        seeded = Version(value="not-a-real-secret", created=now, updated=now)
        vault.add("demo-password", seeded)
    return {vault.name: vault for vault in vaults}
