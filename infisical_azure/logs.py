"""Log filters that keep codes and tokens out of other packages' records."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

_silent: ContextVar[bool] = ContextVar("infisical_azure_silent", default=False)
_CALLBACK_QUERY = re.compile(r"(/azure/oauth/callback\?)\S+")


class TokenRequestFilter(logging.Filter):
    """
    Drop the records of our own token requests.

    requests_oauthlib writes request bodies, codes and tokens at DEBUG, in clear.
    The host's own use of the library is logged as before.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        return not _silent.get()


@contextmanager
def silence() -> Iterator[None]:
    """Have `TokenRequestFilter` drop what this thread or task logs meanwhile."""
    reset = _silent.set(True)
    try:
        yield
    finally:
        _silent.reset(reset)


class CallbackQueryFilter(logging.Filter):
    """
    Cut the query string of the OAuth callback from access log lines.

    For ``django.server``, ``gunicorn.access`` and others that log request lines.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg = self._cut(record.msg)
        if isinstance(record.args, dict):
            record.args = {key: self._cut(value) for key, value in record.args.items()}
        elif record.args:
            record.args = tuple(self._cut(value) for value in record.args)
        return True

    @staticmethod
    def _cut(value: Any) -> Any:
        return _CALLBACK_QUERY.sub(r"\1[cut]", value) if isinstance(value, str) else value
