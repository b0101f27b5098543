"""What App Configuration stores hold: key-values, by key and label."""

from __future__ import annotations

import base64
import secrets
from dataclasses import dataclass, field
from datetime import datetime

from .directory import CONTOSO_ID, FABRIKAM_ID

# How a request says that a key-value has no label.
NO_LABEL = "\0"


def new_etag() -> str:
    return secrets.token_urlsafe(32)


@dataclass(slots=True, kw_only=True)
class KeyValue:
    key: str
    # NO_LABEL for none.
    label: str
    value: str | None
    last_modified: datetime
    content_type: str | None = None
    tags: dict[str, str | None] = field(default_factory=dict)
    locked: bool = False
    etag: str = field(default_factory=new_etag)

    @property
    def place(self) -> tuple[str, str]:
        return self.key, self.label


@dataclass(slots=True, kw_only=True)
class Store:
    name: str
    tenant_id: str
    items: dict[tuple[str, str], KeyValue] = field(default_factory=dict)
    writes: int = 0

    def find(self, key: str, label: str) -> KeyValue | None:
        return self.items.get((key, label))

    def put(self, item: KeyValue) -> None:
        self.items[item.place] = item
        self.writes += 1

    def delete(self, item: KeyValue) -> None:
        del self.items[item.place]
        self.writes += 1

    def sorted(self) -> list[KeyValue]:
        return sorted(self.items.values(), key=lambda item: item.place)

    def sync_token(self) -> str:
        """With this in the next request, a client reads its own writes."""
        value = base64.b64encode(f"0:{self.writes}".encode()).decode()
        return f"standin={value};sn={self.writes}"


def seeded_stores(now: datetime) -> dict[str, Store]:
    stores = (
        Store(name="contoso-config", tenant_id=CONTOSO_ID),
        Store(name="fabrikam-config", tenant_id=FABRIKAM_ID),
    )
    for store in stores:
        for label, value in ((NO_LABEL, "Hello"), ("production", "Good day")):
            store.put(KeyValue(key="demo:greeting", label=label, value=value, last_modified=now))
    return {store.name: store for store in stores}
