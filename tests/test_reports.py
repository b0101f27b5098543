"""What Sentry's events of a request show of its URL."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import sentry_sdk
from asgiref.testing import ApplicationCommunicator
from django.core.handlers.asgi import ASGIHandler
from django.urls import reverse

from infisical_azure.reports import cut_from_events

from . import sentry

CODE = "0.CANARY-reported.AXoA"
STATE = "CANARY-state~of+43/characters"
CALLBACK = "/organization/app-connections/azure/oauth/callback"
FEED = "/organization/one/app-connections/feeds/CANARY-token.ics"


@pytest.fixture
def events() -> Iterator[list[str]]:
    kept: list[str] = []
    sentry.listen(kept.append)
    with sentry_sdk.isolation_scope():
        yield kept
    sentry.stop()


def start(path: str, query: str = "") -> None:
    environ = {"PATH_INFO": path, "QUERY_STRING": query}
    cut_from_events(environ=environ)


def capture(events: list[str], **extra: Any) -> dict[str, Any]:
    """Send an event with these extra facts; return those that it has then."""
    sentry_sdk.capture_event({"message": "m", "extra": {"facts": extra}})
    return dict(json.loads(events.pop())["extra"]["facts"])


def test_code_and_state_are_cut_in_each_of_their_forms(events: list[str]) -> None:
    quoted = "CANARY-state~of%2B43%2Fcharacters"
    query = f"code={CODE}&state={quoted}&session_state=s"
    start(CALLBACK, query)
    shown = capture(
        events,
        query=f"?{query}#",
        nested={"of": [{STATE: 1}, (quoted, CODE)]},
        other=["code", 7, None],
    )
    assert shown == {
        "query": "?[cut]#",
        "nested": {"of": [{"[cut]": 1}, ["[cut]", "[cut]"]]},
        "other": ["code", 7, None],
    }


def test_calendar_token_is_cut(events: list[str]) -> None:
    start(FEED)
    shown = capture(events, url=f"https://site.example{FEED}")
    assert shown == {"url": "https://site.example" + FEED.replace("CANARY-token", "[cut]")}


@pytest.mark.parametrize(
    ("path", "query"),
    [("/elsewhere", f"code={CODE}"), (CALLBACK, ""), (CALLBACK, "code=1&state=e"[:7])],
)
def test_nothing_else_is_cut(events: list[str], path: str, query: str) -> None:
    start(path, query)
    assert capture(events, text=f"1 {CODE}") == {"text": f"1 {CODE}"}


def test_requests_that_share_a_scope_leave_nothing_behind(events: list[str]) -> None:
    scope = sentry_sdk.get_isolation_scope()
    before = len(scope._event_processors)
    for number in range(3):
        start(CALLBACK, f"code={CODE}-{number}")
    assert len(scope._event_processors) == before + 1
    shown = capture(events, last=f"{CODE}-2", earlier=f"{CODE}-1")
    assert shown == {"last": "[cut]", "earlier": f"{CODE}-1"}


def test_site_without_sentry_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "sentry_sdk")
    start(CALLBACK, f"code={CODE}")


def test_callback_over_asgi_shows_neither_code_nor_state(events: list[str]) -> None:
    path = reverse("infisical_azure:azure_oauth_callback")
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "GET",
        "path": path,
        "query_string": f"code={CODE}&state={STATE}".encode(),
        "headers": [(b"host", b"localhost")],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }

    async def ask() -> int:
        caller = ApplicationCommunicator(ASGIHandler(), scope)
        await caller.send_input({"type": "http.request", "body": b""})
        answer = await caller.receive_output(timeout=10)
        await caller.wait(timeout=10)
        return int(answer["status"])

    assert asyncio.run(ask()) == 303
    assert scope["query_string"] == b""
    assert any(path in event for event in events)
    assert not any(CODE in event or STATE in event for event in events)
