"""Servers of the tests' own, thrown away afterwards: ``python -m tests.services COMMAND``."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def find_program(name: str) -> str | None:
    """Find a program, also where Debian keeps PostgreSQL's."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    path = os.pathsep.join([*map(str, debian), os.environ.get("PATH", "")])
    return shutil.which(name, path=path)


def _wait_for(port: int, server: subprocess.Popen[bytes]) -> None:
    for _ in range(300):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        if server.poll() is not None:
            break
        time.sleep(0.1)
    raise RuntimeError(f"{server.args!r} did not start")


@contextmanager
def postgresql() -> Iterator[str]:
    """Run a PostgreSQL server and give its URL."""
    # PostgreSQL refuses to run as root.
    user = "postgres" if os.geteuid() == 0 else None
    with tempfile.TemporaryDirectory(prefix="postgresql-") as folder:
        if user:
            shutil.chown(folder, user)
        port, data = free_port(), f"{folder}/data"
        initdb, postgres = find_program("initdb"), find_program("postgres")
        assert initdb, "PostgreSQL is not installed"
        assert postgres
        subprocess.run(
            [initdb, "-D", data, "-U", "tests", "-A", "trust", "--no-sync", "-E", "UTF8"],
            check=True, user=user, cwd=folder, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        options = {"listen_addresses": "127.0.0.1", "fsync": "off", "max_connections": "200"}
        command = [postgres, "-D", data, "-p", str(port), "-k", folder]
        for name, value in options.items():
            command += ["-c", f"{name}={value}"]
        with (
            Path(folder, "log").open("wb") as log,
            subprocess.Popen(command, user=user, cwd=folder, stderr=log) as server,
        ):
            try:
                _wait_for(port, server)
                yield f"postgres://tests@127.0.0.1:{port}/postgres"
            finally:
                server.terminate()
                server.wait(timeout=30)


@contextmanager
def redis() -> Iterator[str]:
    """Run a Redis server that keeps nothing and give its URL."""
    program, port = find_program("redis-server"), free_port()
    assert program, "Redis is not installed"
    with tempfile.TemporaryDirectory(prefix="redis-") as folder:
        command = [program, "--port", str(port), "--bind", "127.0.0.1", "--dir", folder]
        command += ["--save", "", "--appendonly", "no"]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:
            try:
                _wait_for(port, server)
                yield f"redis://127.0.0.1:{port}/0"
            finally:
                server.terminate()
                server.wait(timeout=30)


if __name__ == "__main__":
    with postgresql() as url:
        done = subprocess.run(sys.argv[1:], env={**os.environ, "DATABASE_URL": url}, check=False)
    sys.exit(done.returncode)
