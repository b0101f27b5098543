"""Canaries planted in every secret, and searched for in every place that people look at."""

from __future__ import annotations

import base64
import contextvars
import functools
import linecache
import logging
import os
import re
import sys
import urllib.parse
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.core import mail
from django.db import connection as database
from django.test import Client
from django.urls import reverse
from django.views.debug import ExceptionReporter

import infisical_azure
from infisical_azure import deadlines
from infisical_azure.models import AccessToken, AppConnection, Authorization, RefreshToken

from .conftest import Browser
from .microsoft import ACCESS_TOKEN, CODE, REFRESH_TOKEN, TENANT, Microsoft

pytestmark = pytest.mark.django_db
CLIENT_SECRET = "CANARY~client.secret-8Q"
PACKAGE = Path(infisical_azure.__file__).parent
PREFIX = f"{PACKAGE}{os.sep}"
STEP = int(os.environ.get("LEAK_STEP", "0"))


class Sinks(logging.Handler):
    """Everything that somebody may read later, as text."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.texts: list[tuple[str, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.add("log", f"{record.getMessage()} {record.__dict__}")
        if record.exc_info:
            self.add_report("log", *record.exc_info, getattr(record, "request", None))

    def add(self, where: str, text: str) -> None:
        self.texts.append((where, text))

    def add_report(self, where: str, kind: Any, error: Any, trace: Any, request: Any) -> None:
        """Add Django's error reports of an exception, as e-mail and as page."""
        if not settings.DEBUG:  # With DEBUG the response is that page.
            reporter = ExceptionReporter(request, kind, error, trace)
            self.add(f"{where}: plain report", reporter.get_traceback_text())
            self.add(f"{where}: HTML report", reporter.get_traceback_html())

    def add_response(self, response: Any) -> None:
        body = response.getvalue()
        self.add("page", f"{response.status_code} {dict(response.items())} {body.decode()}")
        self.add("cookies", str(response.cookies))

    def search(self, secrets: dict[str, str]) -> list[str]:
        """Return where which secret was found, in any of its usual forms."""
        found = []
        for name, secret in secrets.items():
            raw = secret.encode()
            forms = {
                secret,
                urllib.parse.quote(secret, safe=""),
                base64.b64encode(raw).decode().rstrip("="),
                base64.urlsafe_b64encode(raw).decode().rstrip("="),
                raw.hex(),
            }
            for where, text in self.texts:
                if any(form in text for form in forms):
                    position = min(text.find(form) for form in forms if form in text)
                    found.append(
                        f"{name} in {where}: …{text[max(position - 150, 0) : position + 60]}"
                    )
        return found


@contextmanager
def listening() -> Iterator[Sinks]:
    """Collect all log records at DEBUG, with SQL and its parameters."""
    sinks, root = Sinks(), logging.getLogger()
    level = root.level
    noisy = [logging.getLogger(n) for n in ("requests_oauthlib", "oauthlib", "django.db.backends")]
    root.addHandler(sinks)
    for logger in (root, *noisy):
        logger.setLevel(logging.DEBUG)
    database.force_debug_cursor = True
    try:
        yield sinks
    finally:
        database.force_debug_cursor = False
        root.removeHandler(sinks)
        root.setLevel(level)
        for logger in noisy:
            logger.setLevel(logging.NOTSET)


@pytest.fixture(params=[False, True], ids=["DEBUG off", "DEBUG on"])
def debug(request: Any, settings: Any) -> bool:
    settings.DEBUG = request.param
    return bool(request.param)


@pytest.fixture
def secrets_of(microsoft: Microsoft) -> Callable[[], dict[str, str]]:
    def secrets_of() -> dict[str, str]:
        found = {
            "client secret": CLIENT_SECRET,
            "code": CODE,
            "access token": ACCESS_TOKEN,
            "refresh token": REFRESH_TOKEN,
        }
        found |= {
            f"verifier {number}": authorization.verifier.reveal()
            for number, authorization in enumerate(Authorization.objects.all())
        }
        return found

    return secrets_of


def stored(sinks: Sinks) -> None:
    """Add what sessions, caches of messages and model reprs hold."""
    for session in Session.objects.all():
        sinks.add("session", str(session.get_decoded()))
    for model in (AppConnection, Authorization, AccessToken, RefreshToken):
        for row in model.objects.all():  # type: ignore[attr-defined]
            sinks.add("repr", f"{row!r} {row} {row.__dict__} {getattr(row, 'secret', '')!r}")
    for message in mail.outbox:
        sinks.add("mail", str(message.message()))


def test_search_finds_what_is_there() -> None:
    sinks = Sinks()
    sinks.add("log", f"x {urllib.parse.quote(CLIENT_SECRET)} y")
    sinks.add("page", base64.b64encode(CODE.encode()).decode())
    found = sinks.search({"client secret": CLIENT_SECRET, "code": CODE, "other": "absent"})
    assert [text.split(":")[0] for text in found] == ["client secret in log", "code in page"]


def test_round_trip_leaves_no_secret_anywhere(
    browser: Browser,
    debug: bool,
    secrets_of: Callable[[], dict[str, str]],
) -> None:
    User.objects.create_superuser("root")
    staff = Client()
    staff.force_login(User.objects.get(username="root"))
    with listening() as sinks:
        begun = browser.begin()
        sinks.add_response(begun)
        sinks.add_response(browser.come_back(begun.sent))
        made = AppConnection.objects.get()
        for name, args in (
            ("connection_list", []), ("connection_detail", [made.pk]),
            ("connection_edit", [made.pk]), ("connection_remove", [made.pk]),
        ):  # fmt: skip
            sinks.add_response(browser.get(browser.url(name, *args)))
        for page, args in (("changelist", []), ("change", [made.pk]), ("delete", [made.pk]),
                           ("history", [made.pk])):  # fmt: skip
            url = reverse(f"admin:infisical_azure_appconnection_{page}", args=args)
            sinks.add_response(staff.get(url))
        stored(sinks)
    assert len(sinks.texts) > 50
    assert sinks.search(secrets_of()) == []


def test_refused_exchange_leaves_no_secret_anywhere(
    browser: Browser,
    microsoft: Microsoft,
    debug: bool,
    secrets_of: Callable[[], dict[str, str]],
) -> None:
    failures: list[tuple[int, Any]] = [
        (401, {"error": "invalid_client", "error_description": f"AADSTS7000215: {CLIENT_SECRET}"}),
        (200, {"access_token": ACCESS_TOKEN, "refresh_token": REFRESH_TOKEN}),
        (200, {"access_token": ACCESS_TOKEN, "token_type": "Bearer", "error": CODE}),
        (500, f"<html>{CODE} {REFRESH_TOKEN}"),
        (200, f"{ACCESS_TOKEN}"),
    ]
    with listening() as sinks:
        for status, body in failures:
            microsoft.fail("token", status, body)
            response = browser.come_back(browser.begin().sent)
            sinks.add_response(response)
            sinks.add_response(browser.get(response["Location"]))
        stored(sinks)
    assert sinks.search(secrets_of()) == []


# An exception injected at every line that the round trip runs


class Injector:
    """Raise at one line of the package when it runs for the n-th time; else count lines."""

    def __init__(self, target: tuple[str, int] | None = None, nth: int = 1) -> None:
        self.target, self.nth = target, nth
        self.lines: Counter[tuple[str, int]] = Counter()
        self.hit = False

    def __enter__(self) -> Injector:
        self.before = sys.gettrace()
        sys.settrace(self.trace)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(self.before)

    def trace(self, frame: FrameType, event: str, arg: object) -> Any:
        code = frame.f_code
        path = code.co_filename  # No Path: this runs at every call of anything.
        # What the second raises comes before Django handles errors.
        is_ours = path.startswith(PREFIX) and not path.endswith(("/secret.py", "/reports.py"))
        # Its lines depend on how far the thread that it starts has come.
        is_by_chance = code is deadlines.Watchdog.add.__code__
        return self.line if is_ours and not is_by_chance else None

    def line(self, frame: FrameType, event: str, arg: object) -> Any:
        place = (frame.f_code.co_filename.removeprefix(PREFIX), frame.f_lineno)
        if event == "line" and not only_leaves(place):
            self.lines[place] += 1
            if place == self.target and self.lines[place] == self.nth:
                self.hit = True
                raise RuntimeError("injected")
        return self.line

    def moments(self) -> set[tuple[tuple[str, int], int]]:
        """
        Return each line that has run with 1 and with how often, for its last time.

        But a `with` only with 1: it also runs when its block has come to its end, where
        nothing can fail, and what a tracer raises there keeps it from being left at all.
        """
        opens = {one for one in self.lines if source_of(one).startswith("with ")}
        last = {(one, often) for one, often in self.lines.items() if one not in opens}
        return last | {(one, 1) for one in self.lines}


@functools.cache
def only_leaves(place: tuple[str, int]) -> bool:
    """
    Say whether a line does nothing but return a constant, where nothing can fail.

    What a tracer raises there, within an `except`, leaves that exception being handled
    for as long as the thread lives.
    """
    return (
        re.fullmatch(r"return( None| True| False| \"\"| \d+)?|pass", source_of(place)) is not None
    )


def source_of(place: tuple[str, int]) -> str:
    name, number = place
    return linecache.getline(str(PACKAGE / name), number).strip()


def first_line_of(function: Callable[..., Any]) -> int:
    """Return the line of a view at which Django has called it but it has done nothing yet."""
    return function.__code__.co_firstlineno + 1


def shared(lines: list[Any], *, debug: bool) -> list[Any]:
    """Share the lines between both modes; LEAK_STEP=1 tries each of them in each mode."""
    return lines if STEP == 1 else lines[int(debug) :: 2]


def inject_everywhere(
    run: Callable[[Injector], Any], lines: Iterable[tuple[tuple[str, int], int]], sinks: Sinks
) -> int:
    """Run once for each line and number, which says when it raises; return how often it did."""
    hits = 0
    for target, nth in lines:
        injector = Injector(target, nth)
        # In a context of its own: what is injected into a clean-up leaves it undone.
        sinks.add_response(contextvars.copy_context().run(run, injector))
        hits += injector.hit
        assert not database.in_atomic_block, (target, nth)
        assert sys.exception() is None, (target, nth)
    return hits


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_exception_after_any_step_of_the_callback_shows_no_secret(
    browser: Browser,
    debug: bool,
    secrets_of: Callable[[], dict[str, str]],
) -> None:
    from infisical_azure.callback import OAuthCallbackView

    browser.raise_request_exception = False

    def run(injector: Injector) -> Any:
        AppConnection.objects.all().delete()
        sent = browser.begin().sent
        with injector:
            return browser.come_back(sent)

    run(Injector())  # What is done once in a process is done now.
    scout = Injector()
    assert run(scout).status_code == 303
    # The first line, at which nothing of ours guards the answer yet.
    start = first_line_of(OAuthCallbackView.get)
    lines = [place for place in scout.lines if place != ("callback.py", start)]
    assert len(lines) > 150
    lines = shared(lines, debug=debug)
    with listening() as sinks:
        hits = inject_everywhere(run, ((line, 1) for line in lines), sinks)
        stored(sinks)
    assert hits == len(lines)
    assert sinks.search(secrets_of()) == []


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_exception_after_any_step_of_the_start_shows_no_secret(
    browser: Browser,
    debug: bool,
    secrets_of: Callable[[], dict[str, str]],
) -> None:
    browser.raise_request_exception = False
    url = browser.url("azure_connection_add")
    form = {"name": "production", "tenant": TENANT, "method": "oauth"}

    def run(injector: Injector) -> Any:
        with injector:
            return browser.post(url, form)

    run(Injector())  # What is done once in a process is done now.
    scout = Injector()
    assert run(scout).status_code == 200
    lines = shared(list(scout.lines), debug=debug)
    with listening() as sinks:
        hits = inject_everywhere(run, ((line, 1) for line in lines), sinks)
        stored(sinks)
    assert hits == len(lines)
    assert len(sinks.texts) > len(lines)
    assert sinks.search(secrets_of()) == []
