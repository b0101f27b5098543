"""Interruptions at the lines of whatever holds a secret, and all that Sentry then shows."""

from __future__ import annotations

import contextvars
import os
import sys
import uuid
from collections.abc import Callable, Iterator
from itertools import cycle
from pathlib import Path
from types import FrameType
from typing import Any
from urllib.parse import urlsplit

import cryptography
import pytest
import sentry_sdk
from celery.exceptions import SoftTimeLimitExceeded
from django.conf import settings as django_settings
from django.core.handlers.wsgi import WSGIHandler
from django.db import connection as database
from django.test import RequestFactory
from django.urls import reverse
from greenlet import GreenletExit

from infisical_azure import tokens
from infisical_azure.credential import ConnectionCredential
from infisical_azure.flow import SESSION_KEY
from infisical_azure.models import (
    AppConnection,
    Authorization,
    Feed,
    RefreshToken,
    Rotation,
)

from . import sentry
from .conftest import Browser
from .held_tokens import expire
from .microsoft import (
    ACCESS_TOKEN,
    APPLICATION,
    CODE,
    REFRESH_TOKEN,
    TENANT,
    Microsoft,
    client_secret,
)
from .rotations import Azure, url
from .test_leaks import PREFIX, Injector, Sinks, listening

pytestmark = [
    *(pytest.mark.slow, pytest.mark.django_db(transaction=True)),
    pytest.mark.usefixtures("hooks"),
]
#: Of so many moments one is tried; set it to 1 for all of them. Unless it is set, so many are
#: in our lines, and as many in those of libraries.
STEP = int(os.environ.get("LEAK_STEP", "0"))
SAMPLE = 10
REPORTS = f"{PREFIX}reports.py"
SITE_PACKAGES = Path(cryptography.__file__).parent.parent
LIBRARIES = tuple(
    f"{SITE_PACKAGES / name}{os.sep}"
    for name in ("cryptography", "jwt", "oauthlib", "requests", "requests_oauthlib", "azure")
)


class Timeout(BaseException):
    """Is to gevent's as its namesake; gevent itself would patch this process."""


KINDS: list[Callable[[], BaseException]] = [
    lambda: SystemExit(1),
    KeyboardInterrupt,
    GreenletExit,
    SoftTimeLimitExceeded,
    Timeout,
    GeneratorExit,
    lambda: RuntimeError("injected"),
]


class Interrupter(Injector):
    """Raise any kind of interruption, also in the libraries that are given secrets."""

    def __init__(self, raises: Callable[[], BaseException], *moment: Any) -> None:
        super().__init__(*moment)
        self.raises = raises

    def trace(self, frame: FrameType, event: str, arg: object) -> Any:
        path, caller = frame.f_code.co_filename, frame.f_back
        # Before Sentry is told what to cut, which is the first thing of all, it can't.
        if REPORTS in {path, caller and caller.f_code.co_filename}:
            return None
        is_told = path.startswith(LIBRARIES) or path == f"{PREFIX}secret.py"
        return self.line if is_told else super().trace(frame, event, arg)

    def line(self, frame: FrameType, event: str, arg: object) -> Any:
        try:
            return super().line(frame, event, arg)
        except RuntimeError:
            error = self.raises()
        raise error


@pytest.fixture
def events() -> Iterator[list[str]]:
    kept: list[str] = []
    sentry.listen(kept.append)
    yield kept
    sentry.stop()


def visit(browser: Browser, path: str, form: dict[str, str] | None = None) -> int:
    """Make a request as a server does, past Django's test client; return the status."""
    factory = RequestFactory()
    token = "x" * 32
    factory.cookies.load({**{k: v.value for k, v in browser.cookies.items()}, "csrftoken": token})
    made = factory.get(path) if form is None else factory.post(path, form)
    return serve({**made.environ, "HTTP_X_CSRFTOKEN": token, "RAW_URI": path})


def serve(environ: dict[str, Any]) -> int:
    status: list[str] = []
    try:
        response = WSGIHandler()(environ, lambda line, headers: status.append(line))
        b"".join(response)
        response.close()
    except BaseException:  # noqa: BLE001
        return 0
    return int(status[0].split()[0])


def told(act: Callable[[], object]) -> int:
    """Do it where nobody else would tell Sentry of its failure."""
    with sentry_sdk.isolation_scope():
        try:
            act()
        except BaseException as error:  # noqa: BLE001
            sentry_sdk.capture_exception(error)
            return 0
    return 200


def sampled(moments: list[Any]) -> list[Any]:
    return moments[:: STEP or max(len(moments) // SAMPLE, 1)]


def search(
    run: Callable[[Interrupter], int],
    events: list[str],
    canaries: Callable[[], dict[str, str]],
    *,
    lines: int,
) -> None:
    """Interrupt a run at its lines, with each kind in turn; look for secrets in all events."""
    run(Interrupter(RuntimeError))  # What is done once in a process is done now.
    scout = Interrupter(RuntimeError)
    assert contextvars.copy_context().run(run, scout) in {200, 302, 303}
    moments = sorted(scout.moments())
    assert len(moments) > lines
    ours = [moment for moment in moments if not os.path.isabs(moment[0][0])]
    tried = sampled(ours) + sampled([moment for moment in moments if moment not in ours])
    found: list[str] = []
    hits = 0
    known: dict[str, str] = {}
    with listening() as sinks:
        for (target, nth), raises in zip(tried, cycle(KINDS), strict=False):
            events.clear()
            interrupter = Interrupter(raises, target, nth)
            # In a context of its own: what is injected into a clean-up leaves it undone.
            contextvars.copy_context().run(run, interrupter)
            hits += interrupter.hit
            assert not database.in_atomic_block, (target, nth)
            assert sys.exception() is None, (target, nth)
            known |= canaries()
            heard = Sinks()
            for event in events:
                heard.add(f"event of {raises()!r} at {target}:{nth}", event)
            found += heard.search(known)
            assert events, (target, nth)
    found += sinks.search(known)
    assert hits == len(tried)
    assert not found, "\n".join(found[:10])


def everywhere(browser: Browser, **more: str) -> dict[str, str]:
    session = browser.session
    return {
        "operator's client secret": django_settings.INF_APP_CONNECTION_AZURE_CLIENT_SECRET,
        "key": django_settings.FERNET_KEYS[0],
        "access token": ACCESS_TOKEN,
        "refresh token": REFRESH_TOKEN,
        "code": CODE,
        **({"browser": session[SESSION_KEY]} if SESSION_KEY in session else {}),
        **{f"verifier of {one}": one.verifier.reveal() for one in Authorization.objects.all()},
        **more,
    }


def test_interruption_of_the_callback_shows_no_secret(
    browser: Browser, microsoft: Microsoft, events: list[str]
) -> None:
    states: dict[str, str] = {}

    def run(interrupter: Interrupter) -> int:
        AppConnection.objects.all().delete()
        sent = browser.begin().sent
        states.update(state=sent["state"], nonce=sent["nonce"])
        callback = reverse("infisical_azure:azure_oauth_callback")
        with interrupter:
            return visit(browser, f"{callback}?code={CODE}&state={sent['state']}&session_state=s")

    search(run, events, lambda: everywhere(browser, **states), lines=400)


def test_interruption_of_the_start_shows_no_secret(browser: Browser, events: list[str]) -> None:
    page = browser.url("azure_connection_add")
    form = {"name": "production", "tenant": TENANT, "method": "oauth"}

    def run(interrupter: Interrupter) -> int:
        with interrupter:
            return visit(browser, page, form)

    search(run, events, lambda: everywhere(browser), lines=200)


def test_interruption_of_a_refresh_shows_no_secret(
    browser: Browser, connection: AppConnection, events: list[str]
) -> None:
    def run(interrupter: Interrupter) -> int:
        expire()
        RefreshToken.objects.update(lease_until=None)
        with interrupter:
            return told(lambda: tokens.get_token(connection).reveal())

    search(run, events, lambda: everywhere(browser), lines=200)


def test_interruption_of_a_credential_shows_no_secret(
    browser: Browser, connection: AppConnection, events: list[str]
) -> None:
    def use() -> None:
        credential = ConnectionCredential(connection)
        credential.get_token("https://graph.microsoft.com/.default")
        credential.get_token_info("https://graph.microsoft.com/.default")

    def run(interrupter: Interrupter) -> int:
        RefreshToken.objects.update(lease_until=None)
        with interrupter:
            return told(use)

    search(run, events, lambda: everywhere(browser), lines=50)


def test_interruption_of_an_issue_shows_no_secret(
    browser: Browser, connection: AppConnection, azure: Azure, events: list[str]
) -> None:
    page = browser.url("secret_add", connection.pk, APPLICATION)
    made: dict[str, str] = {}

    def run(interrupter: Interrupter) -> int:
        made.update({f"issued {key}": f"CANARY~{key}" for key in azure.ours})
        azure.secrets = [client_secret("somebody else's", days=300)]
        form = {"name": "by hand", "lifetime": "30", "attempt": str(uuid.uuid4())}
        with interrupter:
            return visit(browser, page, form)

    search(run, events, lambda: everywhere(browser, **made), lines=300)
    assert len(made) > 5


def test_interruption_of_a_rotation_shows_no_secret(
    browser: Browser, rotation: Rotation, azure: Azure, events: list[str], settings: Any
) -> None:
    settings.INFISICAL_AZURE = {**settings.INFISICAL_AZURE, "ROTATION_PROOFS": 1}
    rotation.destinations.create(kind="app-configuration", place="store", name="plain")
    rotation.destinations.create(kind="hook", place="vaulty", name="jobs")
    page = url(browser, rotation, "rotation_act")
    made: dict[str, str] = {}

    def run(interrupter: Interrupter) -> int:
        made.update({f"rotated {key}": f"CANARY~{key}" for key in azure.ours})
        azure.secrets = [client_secret("somebody else's", days=300)]
        rotation.secrets.all().delete()
        Rotation.objects.update(lease_until=None, sweep_at=None, problem="", failures=0)
        with interrupter:
            return visit(browser, page, {"act": "rotate"})

    search(run, events, lambda: everywhere(browser, **made), lines=800)
    assert len(made) > 5


def test_interruption_of_a_calendar_link_shows_no_token(
    browser: Browser, events: list[str]
) -> None:
    made: dict[str, str] = {}

    def run(interrupter: Interrupter) -> int:
        shown = browser.post(browser.url("feed_add")).context["feed_url"].reveal()
        made["token"] = urlsplit(shown).path.rpartition("/")[2].removesuffix(".ics")
        with interrupter:
            return visit(browser, urlsplit(shown).path)

    search(run, events, lambda: everywhere(browser, **made), lines=50)
    assert Feed.objects.exists()
