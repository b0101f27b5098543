"""Refresh the connections that are due."""

from __future__ import annotations

import threading
from typing import Any

from ...upkeep import Summary, refresh_due
from ..unattended import ParallelCommand


class Command(ParallelCommand):
    help = "Refresh the Azure connections that are due, once or for ever."

    def work(self, options: dict[str, Any], stop: threading.Event) -> Summary:
        return refresh_due(workers=options["workers"], tick=self.tick, stop=stop)
