"""The way out, against a real peer that behaves badly."""

from __future__ import annotations

import os
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
import requests
import responses

from infisical_azure import deadlines, transport
from infisical_azure.exceptions import Fault, Reaction, UnavailableError
from infisical_azure.secret import Secret

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


class Peer:
    """A server whose answers are the parts that a test gives, in bytes and pauses."""

    def __init__(self) -> None:
        self.script: Callable[[int], list[bytes | float]] = lambda n: [OK]
        self.connections = 0
        self.request = b""
        peer = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                peer.request = self.request.recv(65536)
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


def test_silent_peer_is_given_up_on_after_the_read_timeout(peer: Peer, settings: Any) -> None:
    settings.INFISICAL_AZURE = {**settings.INFISICAL_AZURE, "TOTAL_TIMEOUT": 20}
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
    ids=["closed", "no http", "cut short", "compressed"],
)
def test_broken_answer_is_unavailable(peer: Peer, parts: list[bytes | float]) -> None:
    peer.script = lambda n: parts
    with pytest.raises(UnavailableError, match=r"connection_failed|unreadable_answer"):
        fetch(peer)
    assert peer.connections == 3


HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "parts",
    [
        [HEAD, *([b"X-Drip: 1\r\n", 0.1] * 60)],
        [HEAD + b"X-Drip: ", *([b"x", 0.1] * 60)],
        [*([b"HTTP/1.1 100 Continue\r\n\r\n", 0.1] * 60)],
        [CHUNKED, *([b"0", 0.1] * 60)],
        [CHUNKED + b"0\r\n", *([b"X-Drip: 1\r\n", 0.1] * 60)],
    ],
    ids=["header lines", "one header", "continue", "chunk size", "trailers"],
)
def test_no_drip_outlives_the_total_timeout(peer: Peer, parts: list[bytes | float]) -> None:
    peer.script = lambda n: parts
    began = time.monotonic()
    with pytest.raises(UnavailableError, match="timeout"):
        fetch(peer)
    assert time.monotonic() - began < 2


def test_deadline_that_comes_before_the_connection_ends_it_at_once() -> None:
    deadline = deadlines.Deadline(60)
    deadline.end()
    here, there = socket.socketpair()
    with here, there:
        deadline.watch(here)
        assert there.recv(1) == b""


@pytest.fixture
def kept_alive() -> Iterator[None]:
    transport.keep_alive()
    yield
    transport.let_go()


def test_connection_is_kept_alive_where_that_is_asked_for(peer: Peer, kept_alive: None) -> None:
    peer.script = lambda n: [OK, 0.3, OK, 0.3]
    assert [fetch(peer).json(), fetch(peer).json()] == [{}, {}]
    assert peer.connections == 1
    transport.let_go()
    fetch(peer)
    assert peer.connections == 2


def test_connection_that_was_kept_alive_has_its_deadline(peer: Peer, kept_alive: None) -> None:
    peer.script = lambda n: [OK, 0.3, HEAD, *([b"X-Drip: 1\r\n", 0.1] * 60)]
    fetch(peer)
    began = time.monotonic()
    with pytest.raises(UnavailableError, match="timeout"):
        fetch(peer)
    assert time.monotonic() - began < 3
    assert peer.connections == 1


def test_session_closes_its_connections_unless_the_thread_keeps_them(peer: Peer) -> None:
    with transport.BoundedSession("Peer") as session:
        pool = session.get_adapter(peer.url).poolmanager
        session.get(peer.url)
        assert len(pool.pools) == 1
    assert len(pool.pools) == 0


def test_kept_connections_are_closed_when_they_are_let_go(peer: Peer, kept_alive: None) -> None:
    with transport.BoundedSession("Peer") as session:
        pool = session.get_adapter(peer.url).poolmanager
        session.get(peer.url)
    assert len(pool.pools) == 1
    transport.let_go()
    assert len(pool.pools) == 0


def test_session_apart_has_connections_of_its_own(peer: Peer, kept_alive: None) -> None:
    peer.script = lambda n: [OK, 0.3, OK, 0.3]
    for is_apart in (False, False, True, True):
        with transport.BoundedSession("Peer", is_apart=is_apart) as session:
            session.get(peer.url)
    assert peer.connections == 3


@contextmanager
def watched(seconds: float) -> Iterator[socket.socket]:
    """Give the far end of a socket that a deadline ends after so long."""
    deadline = deadlines.Deadline(seconds)
    here, there = socket.socketpair()
    with here, there:
        there.settimeout(3)
        deadline.watch(here)
        deadlines.watchdog.add(deadline)
        yield there
        deadlines.watchdog.remove(deadline)


def test_each_deadline_ends_at_its_own_time() -> None:
    began = time.monotonic()
    with watched(0.6) as late, watched(0.2) as soon, watched(2.0) as later:
        assert (soon.recv(1), late.recv(1)) == (b"", b"")
        assert 0.5 < time.monotonic() - began < 1.5
        assert later.recv(1) == b""
        assert time.monotonic() - began >= 2


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_forked_process_keeps_its_deadlines() -> None:
    with watched(60), deadlines.watchdog._changed:  # A thread, and a lock, that it won't have.
        child = os.fork()
        if not child:
            try:
                with watched(0.1) as ended:
                    os._exit(len(ended.recv(1)))
            finally:
                os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_proxy_of_the_environment_is_used(peer: Peer, monkeypatch: Any) -> None:
    monkeypatch.setenv("HTTP_PROXY", peer.url)
    assert transport.fetch("http://behind-a-proxy.example/keys", service="Peer").json() == {}
    assert peer.request.startswith(b"GET http://behind-a-proxy.example/keys ")


def test_nothing_compressed_is_asked_for(peer: Peer) -> None:
    fetch(peer)
    assert b"Accept-Encoding: identity" in peer.request


def test_debuglevel_of_http_client_prints_nothing(
    peer: Peer, monkeypatch: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("http.client.HTTPConnection.debuglevel", 1)
    fetch(peer)
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize("body", ["[" * 100_000, '{"a":' * 100_000, "{", "[]"])
def test_json_that_can_not_be_read_is_unavailable(body: str) -> None:
    with responses.RequestsMock() as mock:
        mock.get("https://peer.example/", body=body)
        response = requests.get("https://peer.example/", timeout=1)
    with pytest.raises(UnavailableError, match="unreadable_answer"):
        transport.json_object(response, "Peer")


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


@pytest.mark.parametrize("status", [b"301", b"302", b"303", b"307", b"308"])
def test_redirect_of_what_is_sent_is_not_followed(peer: Peer, status: bytes) -> None:
    """The body may hold a client secret: it goes nowhere but where it was addressed to."""
    away = b" Away\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n"
    peer.script = lambda n: [b"HTTP/1.1 " + status + away]
    auth = transport.Bearer(Secret("token"))
    sent = transport.send("POST", peer.url, lambda: {"a": 1}, service="Peer", auth=auth)
    assert sent.status_code == int(status)
    assert peer.connections == 1
    assert b"Authorization: Bearer token" in peer.request


def answer(status: int = 200, body: bytes = b"{}", **headers: str) -> requests.Response:
    response = requests.Response()
    response.status_code, response._content = status, body
    response.headers.update({name.replace("_", "-"): value for name, value in headers.items()})
    return response


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (200, "unreadable_answer"),
        (299, "unreadable_answer"),
        (300, "unexpected_redirect"),
        (399, "unexpected_redirect"),
        (400, "unreadable_answer"),
        (503, "unreadable_answer"),
    ],
)
@pytest.mark.parametrize("body", [b"<html>", b"[]", b"[" * 100_000], ids=["html", "list", "deep"])
def test_answer_that_is_no_object_is_told_by_its_status(
    status: int, error: str, body: bytes
) -> None:
    with pytest.raises(UnavailableError) as caught:
        transport.json_object(answer(status, body, Retry_After="9"), "Peer")
    assert caught.value.fault == Fault(
        service="Peer", http_status=status, error=error, retry_after=timedelta(seconds=9)
    )
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("33333333-3333-4333-8333-333333333333", "33333333-3333-4333-8333-333333333333"),
        ("a" * 64, "a" * 64),
        ("a" * 65, ""),
        ("<script>", ""),
        ("", ""),
    ],
)
def test_request_id_is_kept_where_it_is_one(sent: str, kept: str) -> None:
    assert transport.request_id(answer(x_id=sent), "x-id") == kept
    assert transport.request_id(answer(), "x-id") == ""


def test_failure_on_the_way_leads_to_no_frame_that_holds_the_request() -> None:
    auth = transport.Bearer(Secret("CANARY"))
    with pytest.raises(UnavailableError) as caught:
        transport.send("POST", "http://127.0.0.1:9/", dict, service="Peer", auth=auth)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_broken_adapter_leads_to_no_frame_below_it() -> None:
    request = requests.Request("GET", "http://127.0.0.1:9/").prepare()
    with pytest.raises(UnavailableError) as caught:
        transport.BoundedAdapter("Peer").send(request)
    assert caught.value.fault.service == "Peer"
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


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
        ("Fri, 31 Dec 9999 23:59:59 -2359", None),
        ("Fri, 31 Dec 99999999999 23:59:59 GMT", None),
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
