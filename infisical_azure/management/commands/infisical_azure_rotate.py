"""Advance the rotations that are due."""

from __future__ import annotations

import threading
from typing import Any

from ...rotation_upkeep import Summary, rotate_due
from ..unattended import ParallelCommand


class Command(ParallelCommand):
    help = "Rotate the client secrets that are due, once or for ever."

    def work(self, options: dict[str, Any], stop: threading.Event) -> Summary:
        return rotate_due(workers=options["workers"], tick=self.tick, stop=stop)
