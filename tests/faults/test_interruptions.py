"""Workers that are interrupted while Microsoft doesn't answer, and what Sentry shows then."""

from __future__ import annotations

import http.client
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.urls import reverse

from example_project.standin.client import StandIn
from infisical_azure.flow import SESSION_KEY
from infisical_azure.models import AccessToken, AppConnection, Authorization, RefreshToken

from ..conftest import Browser
from ..microsoft import CODE
from ..services import find_program, free_port, redis
from ..test_leaks import Sinks
from .crowd import connect, environment, make_due
from .test_celery import WORKER

#: Seconds until a worker must have been ended; machines are slow at times.
PATIENCE = 90


@pytest.fixture
def connection(committed: None, standin: StandIn) -> AppConnection:
    """A connection whose access tokens are over."""
    made = connect(standin)
    make_due()
    return made


@pytest.fixture
def events(tmp_path: Path) -> Path:
    path = tmp_path / "events"
    path.touch()
    return path


@pytest.fixture
def dead() -> Iterator[dict[str, str]]:
    """Return the environment in which Microsoft takes requests and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        yield {
            "TEST_STANDIN_URL": f"http://127.0.0.1:{server.getsockname()[1]}",
            "TEST_TOTAL_TIMEOUT": "60",
            "PYTHONWARNINGS": "ignore",
        }


@contextmanager
def running(command: list[str], **more: str) -> Iterator[None]:
    process = subprocess.Popen(
        [sys.executable, "-m", *command],
        env=environment(**more),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait(timeout=PATIENCE)


def wait_for(happened: Callable[[], object]) -> None:
    give_up = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < give_up, "it did not happen"
        time.sleep(0.1)


def search(events: Path, kind: str, **canaries: str) -> None:
    """Look for all secrets in events of which one at least tells of the interruption."""
    sinks = Sinks()
    for event in events.read_text().splitlines():
        sinks.add("event", event)
    assert any(f'"type": "{kind}"' in text and '"vars"' in text for _, text in sinks.texts)
    held = {f"access {n}": one.secret.reveal() for n, one in enumerate(AccessToken.objects.all())}
    known = {
        "operator's client secret": settings.INF_APP_CONNECTION_AZURE_CLIENT_SECRET,
        "key": settings.FERNET_KEYS[0],
        "refresh token": RefreshToken.objects.get().secret.reveal(),
    }
    assert sinks.search(known | held | canaries) == []


def ask(port: int, browser: Browser, method: str, path: str) -> int:
    """Send a request of the browser's to a real server; return the status."""
    cookies = {key: one.value for key, one in browser.cookies.items()} | {"csrftoken": "x" * 32}
    headers = {
        "Host": "localhost",
        "X-CSRFToken": "x" * 32,
        # As proxies repeat it.
        "X-Original-URI": path,
        "Cookie": "; ".join(f"{key}={value}" for key, value in cookies.items()),
    }
    caller = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    caller.request(method, path, headers=headers)
    return caller.getresponse().status


@pytest.mark.slow
def test_worker_that_gunicorn_ends_shows_no_secret(
    connection: AppConnection, standin: StandIn, dead: dict[str, str], events: Path
) -> None:
    browser = Browser(User.objects.get(), connection.organization)
    sent = browser.begin(name="another", tenant="contoso.com").sent
    callback = reverse("infisical_azure:azure_oauth_callback")
    urls = [
        ("POST", browser.url("connection_test", connection.pk)),
        ("GET", f"{callback}?code={CODE}&state={sent['state']}&session_state=s"),
    ]
    port = free_port()
    command = ["gunicorn", "tests.wsgi:application", "--bind", f"127.0.0.1:{port}"]

    def is_up() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    with running([*command, "--timeout", "5", "--workers", "2"], SENTRY_FILE=str(events), **dead):
        wait_for(is_up)
        with ThreadPoolExecutor() as pool:
            answers = [pool.submit(ask, port, browser, *one) for one in urls]
            assert [one.result() for one in answers] == [500, 500]
    verifier = Authorization.objects.get(name="another").verifier.reveal()
    browser_key = browser.session[SESSION_KEY]
    search(events, "SystemExit", code=CODE, state=sent["state"], verifier=verifier, key=browser_key)


@pytest.mark.redis
@pytest.mark.postgresql
@pytest.mark.skipif(find_program("redis-server") is None, reason="redis-server is missing")
def test_task_that_celery_interrupts_shows_no_secret(
    connection: AppConnection, dead: dict[str, str], events: Path
) -> None:
    with redis() as broker:
        shared: dict[str, Any] = {"BROKER_URL": broker, "SENTRY_FILE": str(events), **dead}
        celery = ["celery", "-A", "tests.celery_app", "--quiet"]
        task = ["infisical_azure.tasks.refresh_connection", "--args", f'["{connection.pk}"]']
        with (
            running([*celery, *WORKER, "--soft-time-limit", "2"], **shared),
            running([*celery, "call", *task], **shared),
        ):
            wait_for(lambda: "SoftTimeLimitExceeded" in events.read_text())
    search(events, "SoftTimeLimitExceeded")
