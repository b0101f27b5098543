"""The demo command, as a person runs it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
import requests
from django.conf import settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def listens(port: int) -> bool:
    with closing(socket.socket()) as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    ours = ("DEMO_", "INF_APP_", "SITE_URL", "DJANGO_SETTINGS_MODULE")
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith(ours)},
        "DATABASE_URL": f"sqlite:///{tmp_path}/demo.sqlite3",
        "DEMO_PORT": str(free_port()),
        "DEMO_STANDIN_PORT": str(free_port()),
        "PYTHONUNBUFFERED": "1",
    }


@pytest.fixture
def demos() -> Iterator[list[subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []
    yield started
    for process in started:
        process.kill()
        process.communicate()


def start(environment: dict[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "manage.py", "demo"],
        cwd=settings.ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        # A shell that runs in the background hands down that Ctrl-C is ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def wait_for(process: subprocess.Popen[str], port: int) -> None:
    give_up = time.monotonic() + 60
    while not listens(port):
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < give_up
        time.sleep(0.1)


def test_demo_begins_with_a_connection_and_a_rotation_under_way(
    environment: dict[str, str], demos: list[subprocess.Popen[str]]
) -> None:
    demos.append(start(environment))
    wait_for(demos[0], int(environment["DEMO_PORT"]))
    site = f"http://localhost:{environment['DEMO_PORT']}"
    with requests.Session() as nora:
        form = nora.get(f"{site}/sign-in/", timeout=10)
        assert form.ok
        sent = {
            "username": "nora",
            "password": "demo",
            "csrfmiddlewaretoken": nora.cookies["csrftoken"],
        }
        nora.post(f"{site}/sign-in/", sent, timeout=10)
        tab = nora.get(f"{site}/organization/northwind-traders/app-connections/", timeout=10)
        expiring = nora.get(f"{tab.url}expiring/", timeout=10)
    assert "Comes with the demo" in tab.text
    assert "Expires in 2 days" in expiring.text


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT])
def test_demo_serves_site_and_standin_and_ends_both(
    environment: dict[str, str], demos: list[subprocess.Popen[str]], end: signal.Signals
) -> None:
    port, standin_port = int(environment["DEMO_PORT"]), int(environment["DEMO_STANDIN_PORT"])
    demos.append(process := start(environment))
    wait_for(process, port)
    page = requests.get(f"http://localhost:{port}/", timeout=10)
    assert "Sign in" in page.text
    assert listens(standin_port)
    process.send_signal(end)
    output = process.communicate(timeout=20)[0]
    assert process.returncode == 0, output
    assert f"http://localhost:{port}/" in output
    assert f"a stand-in at http://127.0.0.1:{standin_port}" in output
    for word in ("olivia", "adam", "mia", "nora", "sam", "demo"):
        assert word in output
    assert "Traceback" not in output
    assert not listens(standin_port)


@pytest.mark.parametrize("variable", ["DEMO_PORT", "DEMO_STANDIN_PORT"])
def test_taken_port_names_the_variable_to_set(environment: dict[str, str], variable: str) -> None:
    with closing(socket.socket()) as other:
        other.bind(("127.0.0.1", int(environment[variable])))
        other.listen()
        result = subprocess.run(
            [sys.executable, "manage.py", "demo"],
            cwd=settings.ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    assert result.returncode == 1
    assert f"Port {environment[variable]}" in result.stderr
    assert f"Choose another one with {variable}." in result.stderr
    assert "Traceback" not in result.stderr


def test_real_azure_starts_no_standin(
    environment: dict[str, str], demos: list[subprocess.Popen[str]]
) -> None:
    port, standin_port = int(environment["DEMO_PORT"]), int(environment["DEMO_STANDIN_PORT"])
    environment |= {
        "INF_APP_CONNECTION_AZURE_CLIENT_ID": "00000000-0000-4000-8000-000000000000",
        "INF_APP_CONNECTION_AZURE_CLIENT_SECRET": "$not~a.secret",
        "SITE_URL": f"http://localhost:{port}",
    }
    demos.append(process := start(environment))
    wait_for(process, port)
    assert not listens(standin_port)
    process.terminate()
    output = process.communicate(timeout=20)[0]
    assert "the real one" in output
    assert "$not~a.secret" not in output
