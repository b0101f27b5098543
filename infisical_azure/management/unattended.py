"""A command that does its work once, or for ever."""

from __future__ import annotations

import json
import signal
import threading
from collections import Counter
from types import FrameType
from typing import Any, Protocol

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import close_old_connections


class Report(Protocol):
    """What a run has done; as text it is for people."""

    @property
    def failed(self) -> int: ...

    def as_dict(self) -> dict[str, float]: ...


class UnattendedCommand(BaseCommand):
    """Run `work`, with ``--loop`` until a signal; ``--json`` prints its report so."""

    def add_arguments(self, parser: CommandParser) -> None:
        how = parser.add_mutually_exclusive_group()
        how.add_argument("--once", action="store_true", help="Run once and end (the default).")
        how.add_argument(
            "--loop", type=int, metavar="SECONDS", help="Run again after so many seconds, for ever."
        )
        parser.add_argument("--json", action="store_true", help="Print each run's summary as JSON.")

    def work(self, options: dict[str, Any], stop: threading.Event) -> Report:
        """Do what is due; begin nothing more once `stop` is set."""
        raise NotImplementedError

    def handle(self, *args: Any, **options: Any) -> None:
        if options["loop"] is not None and options["loop"] < 1:
            raise CommandError("--loop must be at least 1 second.")
        self.stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT) if options["loop"] else ():
            signal.signal(number, self._end)
        while True:
            report = self.work(options, self.stop)
            self._show(report, as_json=options["json"])
            if not options["loop"] or self.stop.wait(options["loop"]):
                break
            close_old_connections()  # The database may have been restarted meanwhile.
        if report.failed and not options["loop"]:
            raise CommandError(f"{report.failed} of them failed; see the log and the admin.")

    def _end(self, number: int, frame: FrameType | None) -> None:
        """End after what is under way: nothing that Microsoft has answered is lost."""
        self.stop.set()

    def _show(self, report: Report, *, as_json: bool) -> None:
        if as_json:
            self.stdout.write(json.dumps(report.as_dict()))
            return
        if self.stdout.isatty():
            self.stdout.write("\r", ending="")
        self.stdout.write(str(report))


class ParallelCommand(UnattendedCommand):
    """Does several at once, and counts them on a terminal."""

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--workers", type=int, help="How many at once; REFRESH_WORKERS unless given."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["workers"] is not None and options["workers"] < 1:
            raise CommandError("--workers must be at least 1.")
        super().handle(*args, **options)

    def tick(self, done: Counter[str]) -> None:
        if self.stdout.isatty() and done.total() % 10 == 0:
            self.stdout.write(f"\r{done.total()} done", ending="")
            self.stdout.flush()
