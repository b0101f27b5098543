"""Serve the site with people in it and Microsoft, real or not, behind it."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError
from django.urls import reverse

from example_project import demo_connection, standin_cloud
from example_project.people import PASSWORD, PEOPLE

if TYPE_CHECKING:
    from collections.abc import Iterator

ADDRESS = "127.0.0.1"
STANDIN_START_SECONDS = 20


class Command(BaseCommand):
    help = "Migrate, seed, start the Entra stand-in, and serve the site."
    requires_system_checks = ()  # runserver runs them, and prints them once

    def handle(self, *args: Any, **options: Any) -> None:
        # Ends like Ctrl-C does, so that the stand-in is stopped too.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        # Somebody who names a stand-in runs it.
        starts_standin = settings.STANDIN and not os.environ.get("DEMO_STANDIN_URL")
        require_free(settings.DEMO_PORT, "DEMO_PORT")
        if starts_standin:
            require_free(settings.DEMO_STANDIN_PORT, "DEMO_STANDIN_PORT")
        self.prepare_database()
        if not starts_standin:
            self.serve()
            return
        with standin():
            if settings.DEMO_BEGINS_EMPTY:
                self.serve()
                return
            demo_connection.seed()
            with demo_connection.kept_up():
                self.serve()

    def prepare_database(self) -> None:
        try:
            call_command("migrate", verbosity=0, interactive=False)
            call_command("seed_demo", verbosity=0)
        except DatabaseError as exc:
            msg = f"The database (DATABASE_URL) cannot be used: {exc}"
            raise CommandError(msg) from exc

    def serve(self) -> None:
        self.stdout.write(self.introduction())
        os.environ.setdefault("DJANGO_RUNSERVER_HIDE_WARNING", "true")
        call_command(
            "runserver",
            f"localhost:{settings.DEMO_PORT}",
            use_reloader=False,
            skip_checks=False,
        )

    def introduction(self) -> str:
        """Say where to go, as whom, and which Microsoft answers."""
        lines = [
            "",
            f"  Site        {settings.SITE_URL}/",
            f"  Admin       {settings.SITE_URL}/admin/",
        ]
        if settings.STANDIN:
            lines.append(f"  Microsoft   a stand-in at {standin_cloud.URL}")
            missing = ", ".join(settings.AZURE_VARIABLES_MISSING)
            lines.append(f"              (for the real one, set {missing})")
        else:
            lines.append("  Microsoft   the real one")
        rows = [("Sign in as", "Password", "Name", "Role")]
        rows += [(person.username, PASSWORD, str(person), person.standing) for person in PEOPLE]
        lines.append("")
        lines += [f"  {row[0]:<10}  {row[1]:<8}  {row[2]:<12}  {row[3]}" for row in rows]
        return "\n".join([*lines, ""])


def require_free(port: int, variable: str) -> None:
    """Raise CommandError, naming the variable to set, when something listens there."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((ADDRESS, port))
        except (OSError, OverflowError) as exc:
            msg = f"Port {port} cannot be used ({exc}). Choose another one with {variable}."
            raise CommandError(msg) from exc


@contextmanager
def standin() -> Iterator[None]:
    """Run the stand-in in a process and origin of its own."""
    callback = settings.SITE_URL.rstrip("/") + reverse("infisical_azure:azure_oauth_callback")
    command = [sys.executable, "-m", "example_project.standin", "--host", ADDRESS]
    command += ["--port", str(settings.DEMO_STANDIN_PORT), "--redirect-uri", callback]
    # In a session of its own, Ctrl-C reaches it only through us.
    process = subprocess.Popen(  # noqa: S603
        [*command, "--exit-with-parent"], cwd=settings.ROOT, start_new_session=True
    )
    try:
        wait_until_ready(process)
        yield
    finally:
        process.terminate()
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()


def answers(port: int) -> bool:
    """Say whether an HTTP server there gives any answer at all."""
    with closing(http.client.HTTPConnection(ADDRESS, port, timeout=2)) as connection:
        try:
            connection.request("GET", "/")
            connection.getresponse()
        except (OSError, http.client.HTTPException):
            return False
    return True


def wait_until_ready(process: subprocess.Popen[bytes]) -> None:
    """Return once the stand-in answers; raise CommandError when it never will."""
    give_up = time.monotonic() + STANDIN_START_SECONDS
    while time.monotonic() < give_up:
        if process.poll() is not None:
            msg = f"The Entra stand-in ended at once (exit code {process.returncode})."
            raise CommandError(msg)
        if answers(settings.DEMO_STANDIN_PORT):
            return
        time.sleep(0.1)
    msg = f"The Entra stand-in did not answer within {STANDIN_START_SECONDS} seconds."
    raise CommandError(msg)
