"""The way out, against a real peer that behaves badly."""

from __future__ import annotations

import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
import requests
import responses

from infisical_azure import transport
from infisical_azure.exceptions import Reaction, UnavailableError

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


class Peer:
    """A server whose answers are the parts that a test gives, in bytes and pauses."""

    def __init__(self) -> None:
        self.script: Callable[[int], list[bytes | float]] = lambda n: [OK]
        self.connections = 0
        peer = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                self.request.recv(65536)
                peer.connections += 1
                for part in peer.script(peer.connections):
                    try:
                        if isinstance(part, float):
                            time.sleep(part)
                        else:
                            self.request.sendall(part)
                    except OSError:
                        return

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = True

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def peer(settings: Any) -> Iterator[Peer]:
    settings.INFISICAL_AZURE = {
        **settings.INFISICAL_AZURE,
        "CONNECT_TIMEOUT": 0.5,
        "READ_TIMEOUT": 0.5,
        "TOTAL_TIMEOUT": 1,
        "MAX_RESPONSE_BYTES": 1000,
    }
    peer = Peer()
    yield peer
    peer.server.shutdown()
    peer.server.server_close()


def fetch(peer: Peer) -> requests.Response:
    return transport.fetch(peer.url, service="Peer")


def test_answer_is_returned(peer: Peer) -> None:
    response = fetch(peer)
    assert (response.status_code, response.json()) == (200, {})


def test_silent_peer_is_given_up_on_after_the_read_timeout(peer: Peer) -> None:
    peer.script = lambda n: [2.0]
    began = time.monotonic()
    with pytest.raises(UnavailableError) as caught:
        fetch(peer)
    assert time.monotonic() - began < 1.5
    assert caught.value.fault.error == "timeout"
    assert caught.value.reaction is Reaction.RETRY
    assert peer.connections == 1


def test_dripping_peer_is_given_up_on_after_the_total_timeout(peer: Peer) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n"
    peer.script = lambda n: [head, *([b"x", 0.1] * 50)]
    began = time.monotonic()
    with pytest.raises(UnavailableError, match="timeout"):
        fetch(peer)
    assert 0.9 < time.monotonic() - began < 2


def test_endless_body_is_cut(peer: Peer) -> None:
    peer.script = lambda n: [b"HTTP/1.1 200 OK\r\n\r\n", *([b"x" * 600] * 10_000)]
    with pytest.raises(UnavailableError, match="answer_too_large"):
        fetch(peer)


@pytest.mark.parametrize(
    "parts",
    [
        [],
        [b"nonsense\r\n\r\n"],
        [b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{}"],
        [b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}"],
    ],
    ids=["closed", "no http", "cut short", "not gzip"],
)
def test_broken_answer_is_unavailable(peer: Peer, parts: list[bytes | float]) -> None:
    peer.script = lambda n: parts
    with pytest.raises(UnavailableError, match="connection_failed"):
        fetch(peer)
    assert peer.connections == 3


def test_read_is_tried_again_after_a_passing_fault(peer: Peer) -> None:
    unavailable = b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    peer.script = lambda n: [[unavailable], [], [OK]][n - 1]
    assert fetch(peer).json() == {}
    assert peer.connections == 3


def test_short_retry_after_is_waited_for(peer: Peer) -> None:
    busy = b"HTTP/1.1 429 No\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    peer.script = lambda n: [[busy], [OK]][n - 1]
    began = time.monotonic()
    assert fetch(peer).status_code == 200
    assert time.monotonic() - began >= 1


def test_long_retry_after_is_left_to_the_caller(peer: Peer) -> None:
    busy = b"HTTP/1.1 429 No\r\nRetry-After: 120\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    peer.script = lambda n: [busy]
    began = time.monotonic()
    response = fetch(peer)
    assert time.monotonic() - began < 0.5
    assert transport.retry_after(response) == timedelta(seconds=120)
    assert peer.connections == 1


def test_redirect_is_not_followed(peer: Peer) -> None:
    away = b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n"
    peer.script = lambda n: [away]
    assert fetch(peer).status_code == 302
    assert peer.connections == 1


def test_nobody_listening_is_unavailable() -> None:
    with pytest.raises(UnavailableError, match="connection_failed"):
        transport.fetch("http://127.0.0.1:9/", service="Peer")


def at(seconds: int) -> str:
    return format_datetime(datetime.now(UTC) + timedelta(seconds=seconds))


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("", None),
        ("soon", None),
        ("7", 7),
        ("0", 0),
        ("-5", None),
        ("9999999", None),
        (lambda: at(60), 60),
        (lambda: at(-60), 0),
    ],
)
def test_retry_after_is_read_in_both_forms(value: Any, seconds: int | None) -> None:
    value = value() if callable(value) else value
    with responses.RequestsMock() as mock:
        mock.get("https://peer.example/", headers={"Retry-After": value})
        found = transport.retry_after(requests.get("https://peer.example/", timeout=1))
    assert (found is None) is (seconds is None)
    if found is not None and seconds is not None:
        assert abs(found.total_seconds() - seconds) < 5
