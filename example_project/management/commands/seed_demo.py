"""Create the demo's organizations and people."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from example_project.people import ORGANIZATIONS, PEOPLE, seed


class Command(BaseCommand):
    help = "Create the demo's organizations and people, where missing. Their password is public."

    def handle(self, *args: Any, **options: Any) -> None:
        seed()
        if options["verbosity"] > 0:
            self.stdout.write(f"{len(ORGANIZATIONS)} organizations and {len(PEOPLE)} people.")
