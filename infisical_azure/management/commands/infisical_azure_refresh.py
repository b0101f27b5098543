"""Refresh the connections that are due."""

from __future__ import annotations

import json
import signal
import threading
from collections import Counter
from types import FrameType
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from ...upkeep import Summary, refresh_due


class Command(BaseCommand):
    help = "Refresh the Azure connections that are due, once or for ever."

    def add_arguments(self, parser: CommandParser) -> None:
        how = parser.add_mutually_exclusive_group()
        how.add_argument("--once", action="store_true", help="Run once and end (the default).")
        how.add_argument(
            "--loop", type=int, metavar="SECONDS", help="Run again after so many seconds, for ever."
        )
        parser.add_argument(
            "--workers", type=int, help="How many at once; REFRESH_WORKERS unless given."
        )
        parser.add_argument("--json", action="store_true", help="Print each run's summary as JSON.")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["workers"] is not None and options["workers"] < 1:
            raise CommandError("--workers must be at least 1.")
        if options["loop"] is not None and options["loop"] < 1:
            raise CommandError("--loop must be at least 1 second.")
        self.stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT) if options["loop"] else ():
            signal.signal(number, self._end)
        while True:
            summary = refresh_due(workers=options["workers"], tick=self._tick, stop=self.stop)
            self._report(summary, as_json=options["json"])
            if not options["loop"] or self.stop.wait(options["loop"]):
                break
        if summary.failed and not options["loop"]:
            raise CommandError(f"{summary.failed} of them failed; see the log and the admin.")

    def _end(self, number: int, frame: FrameType | None) -> None:
        """End after what is under way: nothing that Microsoft has answered is lost."""
        self.stop.set()

    def _tick(self, done: Counter[str]) -> None:
        if self.stdout.isatty() and done.total() % 10 == 0:
            self.stdout.write(f"\r{done.total()} done", ending="")
            self.stdout.flush()

    def _report(self, summary: Summary, *, as_json: bool) -> None:
        if as_json:
            self.stdout.write(json.dumps(summary.as_dict()))
            return
        if self.stdout.isatty():
            self.stdout.write("\r", ending="")
        self.stdout.write(
            f"{summary.refreshed} refreshed, {summary.failed} failed, "
            f"{summary.skipped} skipped in {summary.seconds:.1f} s"
        )
