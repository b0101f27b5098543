"""Watch the client secrets of the directories that are due."""

from __future__ import annotations

import threading
from typing import Any

from ...watch import Summary, watch_due
from ..unattended import UnattendedCommand


class Command(UnattendedCommand):
    help = "Read which client secrets end when in the connected directories, once or for ever."

    def work(self, options: dict[str, Any], stop: threading.Event) -> Summary:
        return watch_due(stop=stop)
