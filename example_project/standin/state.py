"""Everything the stand-in remembers, in memory and behind one lock."""

from __future__ import annotations

import random
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from .consents import Consents
from .directory import Account, Registration, registration
from .directory_switches import Switches
from .fault_queue import FaultQueue
from .grants import Grants
from .journal import Journal
from .keys import KeyRing
from .roles import Assignments
from .seeded_applications import seeded_applications
from .stores import seeded_stores
from .vaults import seeded_vaults

if TYPE_CHECKING:
    from .visits import Visit


@dataclass(frozen=True, slots=True, kw_only=True)
class Auto:
    """Answer authorize at once, as this account would."""

    account: Account
    decision: str


class State:
    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.origin = ""
        self.app: Registration = registration()
        self._seed: int | None = None
        self.keys = KeyRing()
        self.reset()

    def configure(self, *, origin: str, registration: Registration, seed: int | None) -> None:
        self.origin, self.app, self._seed = origin, registration, seed
        self.reset()

    def reset(self) -> None:
        """Back to the seeded state; the signing keys stay, as clients may cache them."""
        with self.lock:
            self.consents = Consents()
            self.grants = Grants()
            self.faults = FaultQueue()
            self.journal = Journal()
            self.visits: OrderedDict[str, Visit] = OrderedDict()
            self.auto: Auto | None = None
            self.offset = 0.0
            self.latency = 0.0
            self.roles = Assignments()
            self.vaults = seeded_vaults(self.now())
            self.stores = seeded_stores(self.now())
            self.applications = seeded_applications(self.app, self.now())
            self.switches = Switches()
            self.looks_until_settled = 1
            self.page_size = 100
            # Only for lifetimes; everything secret comes from the secrets module.
            self.random = random.Random(self._seed)  # noqa: S311

    def now(self) -> datetime:
        return datetime.fromtimestamp(time.time() + self.offset, tz=UTC)

    def timestamp(self) -> str:
        return f"{self.now():%Y-%m-%d %H:%M:%SZ}"


STATE = State()
