"""The demo, in a process and with a database of its own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from example_project.standin.client import StandIn

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
#: All that the site's settings read; a tester's own values must not reach it.
_OURS = (
    "ALLOWED_HOSTS",
    "CSRF_TRUSTED_ORIGINS",
    "DATABASE_URL",
    "DEBUG",
    "DEMO_",
    "DJANGO_SETTINGS_MODULE",
    "FERNET_KEYS",
    "INF_APP_CONNECTION_",
    "INFISICAL_AZURE",
    "SECRET_KEY",
    "SITE_URL",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A running demo: its address, its Microsoft, and what it wrote."""

    url: str
    standin: StandIn
    log: Path
    environment: dict[str, str] = field(repr=False)

    @property
    def database(self) -> Path:
        return self.log.parent / "demo.sqlite3"

    def start(self, *command: str) -> subprocess.Popen[bytes]:
        """Run a command of manage.py beside it, as in a second terminal."""
        return subprocess.Popen(
            [sys.executable, "manage.py", *command], cwd=ROOT, env=self.environment
        )


@contextmanager
def demo(folder: Path) -> Iterator[Site]:
    """Run ``manage.py demo`` until the end of the block."""
    port, standin_port = free_port(), free_port()
    environment = {
        **_environment(folder),
        "DEMO_BEGINS_EMPTY": "yes",
        "DEMO_PORT": str(port),
        "DEMO_STANDIN_PORT": str(standin_port),
    }
    log = folder / "demo.log"
    with _running(["demo"], environment, log, port):
        yield Site(
            url=f"http://localhost:{port}",
            standin=StandIn(f"http://127.0.0.1:{standin_port}"),
            log=log,
            environment=environment,
        )


@contextmanager
def without_azure(folder: Path) -> Iterator[str]:
    """Serve the same database where the operator has set nothing for Azure."""
    port = free_port()
    environment = {
        **_environment(folder),
        "DEBUG": "false",
        "ALLOWED_HOSTS": "localhost",
        "SITE_URL": f"http://localhost:{port}",
    }
    command = ["runserver", f"localhost:{port}", "--noreload", "--insecure"]
    with _running(command, environment, folder / "without-azure.log", port):
        yield f"http://localhost:{port}"


def _environment(folder: Path) -> dict[str, str]:
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith(_OURS)},
        "DATABASE_URL": f"sqlite:///{folder}/demo.sqlite3",
        "SECRET_KEY": "only-for-browser-tests-" + "x" * 40,
        "FERNET_KEYS": "only-for-browser-tests-0123456789",
        "PYTHONUNBUFFERED": "1",
    }


@contextmanager
def _running(
    command: list[str], environment: dict[str, str], log: Path, port: int
) -> Iterator[None]:
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "manage.py", *command],
            cwd=ROOT,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        give_up = time.monotonic() + 60
        while not _listens(port):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < give_up, log.read_text()
            time.sleep(0.1)
        yield
    finally:
        process.terminate()
        process.wait(timeout=20)


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _listens(port: int) -> bool:
    with closing(socket.socket()) as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
