"""The way out: time-outs, capped bodies, no redirects, retries of reads only."""

from __future__ import annotations

import io
import random
import time
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from urllib3.exceptions import HTTPError

from .conf import conf
from .exceptions import Fault, UnavailableError

#: Statuses that say nothing about the request: the same one may work later.
TRANSIENT = frozenset({429, 500, 502, 503, 504})
_ATTEMPTS = 3
_LONGEST_PAUSE = timedelta(seconds=2)


class BoundedAdapter(HTTPAdapter):
    """
    Send with the configured time-outs and read a bounded body in bounded time.

    Raises UnavailableError for a dead, slow or talkative peer.
    """

    def __init__(self, service: str) -> None:
        super().__init__()
        self.service = service

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:  # type: ignore[override]
        deadline = time.monotonic() + conf.total_timeout
        kwargs |= {"stream": True, "timeout": (conf.connect_timeout, conf.read_timeout)}
        try:
            response = super().send(request, **kwargs)
            body = self._read(response.raw, deadline)
        except (requests.RequestException, HTTPError, OSError) as error:
            slow = isinstance(error, requests.Timeout | TimeoutError)
            # Without its cause: the frames below hold the request's body.
            raise self._unavailable("timeout" if slow else "connection_failed") from None
        response.raw = io.BytesIO(body)
        return response

    def _read(self, raw: Any, deadline: float) -> bytes:
        body = bytearray()
        try:
            # read1 returns what has arrived, so that a drip can't outlive the deadline.
            while chunk := raw.read1(65536, decode_content=True):
                body += chunk
                if len(body) > conf.max_response_bytes:
                    raise self._unavailable("answer_too_large")
                if time.monotonic() > deadline:
                    raise self._unavailable("timeout")
        finally:
            raw.close()
        return bytes(body)

    def _unavailable(self, error: str) -> UnavailableError:
        return UnavailableError(Fault(service=self.service, error=error))


def bound(session: requests.Session, service: str) -> None:
    """Make every request of the session go through a `BoundedAdapter`."""
    for scheme in ("https://", "http://"):
        session.mount(scheme, BoundedAdapter(service))


def fetch(url: str, *, service: str, auth: AuthBase | None = None) -> requests.Response:
    """
    GET a URL, trying again after transient failures; any status is returned.

    Raises UnavailableError when the last try got no answer.
    """
    with requests.Session() as session:
        bound(session, service)
        for attempt in range(1, _ATTEMPTS + 1):
            pause = timedelta(seconds=0.2 * 2**attempt * random.uniform(0.5, 1))  # noqa: S311
            last = attempt == _ATTEMPTS
            try:
                response = session.get(
                    url, auth=auth, allow_redirects=False, headers={"Accept": "application/json"}
                )
            except UnavailableError as error:
                if last or error.fault.error == "timeout":
                    raise
            else:
                pause = retry_after(response) or pause
                if last or response.status_code not in TRANSIENT or pause > _LONGEST_PAUSE:
                    return response
            time.sleep(pause.total_seconds())
    raise AssertionError("unreachable")  # pragma: no cover


def retry_after(response: requests.Response) -> timedelta | None:
    """Return the Retry-After header, given as seconds or as a date (RFC 9110 10.2.3)."""
    value = response.headers.get("Retry-After", "")
    if value.isascii() and value.isdigit() and len(value) < 7:
        return timedelta(seconds=int(value))
    try:
        at = parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(at.astimezone(UTC) - datetime.now(UTC), timedelta(0))


def json_object(response: requests.Response, service: str) -> dict[str, Any]:
    """Return the body as a JSON object, or raise UnavailableError for anything else."""
    try:
        data = response.json()
    except ValueError:
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
