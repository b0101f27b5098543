"""Delete history that has been kept long enough."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from ... import history
from ...conf import conf


class Command(BaseCommand):
    help = 'Delete history entries that are older than INFISICAL_AZURE["HISTORY_DAYS"].'

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="Count them only.")

    def handle(self, *args: Any, **options: Any) -> None:
        is_dry_run = options["dry_run"]
        number = history.purge(is_dry_run=is_dry_run)
        verb = "would be deleted" if is_dry_run else "deleted"
        self.stdout.write(f"{number} history entries older than {conf.history_days} days {verb}.")
