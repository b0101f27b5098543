"""The way out: time-outs, capped bodies, no redirects, retries of reads only."""

from __future__ import annotations

import functools
import io
import random
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError

from . import deadlines
from .anew import raised_anew
from .conf import conf
from .exceptions import Fault, UnavailableError
from .secret import Secret

#: Statuses that say nothing about the request: the same one may work later.
TRANSIENT = frozenset({429, 500, 502, 503, 504})
_ATTEMPTS = 3
_LONGEST_PAUSE = timedelta(seconds=2)


class _Watched(HTTPConnection):
    # http.client prints requests when somebody sets this on its own class.
    debuglevel = 0

    def connect(self) -> None:
        super().connect()
        deadlines.watch(self.sock)

    def request(self, *args: Any, **kwargs: Any) -> None:
        if self.sock is not None:  # Kept alive since an earlier request.
            deadlines.watch(self.sock)
        super().request(*args, **kwargs)


class _WatchedTLS(_Watched, HTTPSConnection):
    pass


class _HTTPPool(HTTPConnectionPool):
    ConnectionCls = _Watched


class _HTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _WatchedTLS


class Bearer(AuthBase):
    """An Authorization header that ~/.netrc can't replace and no repr shows."""

    def __init__(self, token: Secret) -> None:
        self.token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self.token.reveal()}"
        return request


class BoundedAdapter(HTTPAdapter):
    """
    Send with the configured time-outs and read a bounded body in bounded time.

    Raises UnavailableError for a dead, slow or talkative peer.
    """

    def __init__(self, service: str) -> None:
        super().__init__()
        self.service = service

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _HTTPPool, "https": _HTTPSPool}

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:  # type: ignore[override]
        kwargs |= {"stream": True, "timeout": (conf.connect_timeout, conf.read_timeout)}
        # A small compressed body can stand for an endless one.
        request.headers["Accept-Encoding"] = "identity"
        with deadlines.bounded(conf.total_timeout) as deadline:
            try:
                response = super().send(request, **kwargs)
                body = self._read(response)
            except (requests.RequestException, HTTPError, OSError, ValueError) as error:
                slow = isinstance(error, requests.Timeout | TimeoutError) or deadline.is_over
                # Without its cause: the frames below hold the request's body.
                raise self._unavailable("timeout" if slow else "connection_failed") from None
            if deadline.is_over:
                raise self._unavailable("timeout")
        response.raw = io.BytesIO(body)
        return response

    def _read(self, response: requests.Response) -> bytes:
        body, raw = bytearray(), response.raw
        try:
            if response.headers.pop("Content-Encoding", "identity") != "identity":
                raise self._unavailable("unreadable_answer")
            while chunk := raw.read1(65536, decode_content=False):
                body += chunk
                if len(body) > conf.max_response_bytes:
                    raise self._unavailable("answer_too_large")
        finally:
            raw.close()
        return bytes(body)

    def _unavailable(self, error: str) -> UnavailableError:
        return UnavailableError(Fault(service=self.service, error=error))


class _Kept(threading.local):
    adapters: dict[str, BoundedAdapter] | None = None


_kept = _Kept()


def keep_alive() -> None:
    """Keep this thread's connections for its next sessions, until `let_go`."""
    _kept.adapters = {}


def let_go() -> None:
    """Close the connections that this thread has kept."""
    adapters, _kept.adapters = _kept.adapters or {}, None
    for adapter in adapters.values():
        adapter.close()


class BoundedSession(requests.Session):
    """
    A session that makes every request through a `BoundedAdapter`.

    With `is_apart` its connections are its own, even where the thread keeps some.
    """

    def __init__(self, service: str, *, is_apart: bool = False) -> None:
        super().__init__()
        kept = None if is_apart else _kept.adapters
        self._closes = kept is None
        adapter = (kept or {}).get(service) or BoundedAdapter(service)
        if kept is not None:
            kept[service] = adapter
        for scheme in ("https://", "http://"):
            self.mount(scheme, adapter)

    def close(self) -> None:
        if self._closes:
            super().close()

    def merge_environment_settings(self, url: Any, *args: Any) -> Any:
        """Take the environment as it was at first: to read it costs a tenth of a refresh."""
        parts = urlsplit(url)
        return dict(_environment(f"{parts.scheme}://{parts.netloc}"))


@functools.lru_cache
def _environment(origin: str) -> Any:
    """Return the proxies and certificate authorities that the process was started with."""
    return requests.Session().merge_environment_settings(origin, {}, None, None, None)


def send(
    method: str,
    url: str,
    body: Callable[[], dict[str, Any]],
    *,
    service: str,
    auth: AuthBase,
    headers: dict[str, str] | None = None,
) -> requests.Response:
    """
    Send what `body` returns as JSON, once; any status is returned.

    Raises UnavailableError without an answer; what was asked for may still have been done.
    """

    def ask() -> requests.Response:
        with BoundedSession(service) as session:
            return session.request(
                method, url, json=body(), auth=auth, headers=headers, allow_redirects=False
            )

    return raised_anew(ask)


def fetch(
    url: str, *, service: str, auth: AuthBase | None = None, headers: dict[str, str] | None = None
) -> requests.Response:
    """
    GET a URL, trying again after transient failures; any status is returned.

    Tries no more when half of the total time-out is over. Raises UnavailableError
    when the last try got no answer.
    """
    headers = {"Accept": "application/json", **(headers or {})}
    return raised_anew(lambda: _fetch(url, service, auth, headers))


def _fetch(
    url: str, service: str, auth: AuthBase | None, headers: dict[str, str]
) -> requests.Response:
    give_up = time.monotonic() + conf.total_timeout / 2
    with BoundedSession(service) as session:
        for attempt in range(1, _ATTEMPTS + 1):
            pause = timedelta(seconds=0.2 * 2**attempt * random.uniform(0.5, 1))  # noqa: S311
            try:
                response = session.get(url, auth=auth, allow_redirects=False, headers=headers)
            except UnavailableError as error:
                is_last = attempt == _ATTEMPTS or time.monotonic() > give_up
                if is_last or error.fault.error == "timeout":
                    raise
            else:
                pause = retry_after(response) or pause
                is_last = attempt == _ATTEMPTS or time.monotonic() > give_up
                if is_last or response.status_code not in TRANSIENT or pause > _LONGEST_PAUSE:
                    return response
            time.sleep(pause.total_seconds())
    raise AssertionError("unreachable")  # pragma: no cover


def retry_after(response: requests.Response) -> timedelta | None:
    """Return the Retry-After header, given as seconds or as a date (RFC 9110 10.2.3)."""
    value = response.headers.get("Retry-After", "")
    if value.isascii() and value.isdigit() and len(value) < 7:
        return timedelta(seconds=int(value))
    try:
        at = parsedate_to_datetime(value).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return max(at - datetime.now(UTC), timedelta(0))


def request_id(response: requests.Response, header: str) -> str:
    """Return the id under which the service has logged the request."""
    value = response.headers.get(header, "")
    return value if value.replace("-", "").isalnum() and len(value) <= 64 else ""


def json_object(response: requests.Response, service: str) -> dict[str, Any]:
    """Return the body as a JSON object, or raise UnavailableError for anything else."""
    try:
        data = response.json()
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, dict):
        status = response.status_code
        error = "unexpected_redirect" if 300 <= status < 400 else "unreadable_answer"
        raise UnavailableError(
            Fault(
                service=service,
                http_status=status,
                error=error,
                retry_after=retry_after(response),
            )
        ) from None
    return data
