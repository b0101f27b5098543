"""Log filters that keep codes and tokens out of other packages' records."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

_silent: ContextVar[bool] = ContextVar("infisical_azure_silent", default=False)
# Also as parts of other addresses, where signs are written in hexadecimal, even twice.
_SLASH = r"(?:/|%(?:25)*2F)"
_CALLBACK = re.compile(rf"azure{_SLASH}oauth{_SLASH}callback", re.IGNORECASE)
_QUERY = re.compile(rf"({_CALLBACK.pattern}(?:\?|%(?:25)*3F))[^\s\"]+", re.IGNORECASE)
_PARTS = re.compile(r"\b(code|state|session_state)=[^\s\"]+", re.IGNORECASE)
_CALENDAR = re.compile(
    rf"(app-connections{_SLASH}feeds{_SLASH})(?!(?:add|remove){_SLASH})[^\s\"/?#&]+",
    re.IGNORECASE,
)


#: The loggers of servers, and of Django, that show the URLs of requests.
ACCESS_LOGGERS = (
    *("django.request", "django.server", "gunicorn.access", "gunicorn.error"),
    *("uvicorn.access", "hypercorn.access", "werkzeug"),
)


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
    Cut the OAuth callback's query and the tokens of calendar links from log lines.

    `ACCESS_LOGGERS` have it; others that log requests or referrers can be given it in
    LOGGING. Arguments keep their number and their names, which servers' formatters rely
    on. Every record passes.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        args = record.args
        named = args.values() if isinstance(args, Mapping) else args
        parts = (record.msg, *named) if isinstance(named, Iterable) else (record.msg,)
        names_callback = any(_CALLBACK.search(part) for part in parts if isinstance(part, str))
        cut = _cut_with_parts if names_callback else cut_text
        record.args = _cut(args, cut)
        for name, value in list(vars(record).items()):
            if isinstance(value, str) and name != "msg":  # Which may be a format.
                setattr(record, name, cut(value))
        try:
            message = record.getMessage()
        except Exception:  # noqa: BLE001  # Whatever an argument raises: logging tells of that.
            return True
        # What is made of several arguments, or of one that is no text.
        if (whole := cut(message)) != message:
            record.msg, record.args = whole, None
        return True


class _NamedArguments(dict[str, Any]):
    """Arguments by name; gunicorn's answer to names that they don't hold."""

    def __init__(self, original: Mapping[str, Any], cut: Callable[[str], str]) -> None:
        super().__init__({name: _cut(value, cut) for name, value in original.items()})
        self.original, self.cut = original, cut

    def __missing__(self, name: str) -> Any:
        return _cut(self.original[name], self.cut)


def cut_text(text: str) -> str:
    """Return the text without the callback's query and without calendar tokens."""
    return _CALENDAR.sub(r"\1[cut]", _QUERY.sub(r"\1[cut]", text))


def _cut_with_parts(text: str) -> str:
    """Cut also what stands alone of the query, in a record that names the callback."""
    return _PARTS.sub(r"\1=[cut]", cut_text(text))


def _cut(value: Any, cut: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return cut(value)
    if isinstance(value, bytes):
        return cut(value.decode("latin-1")).encode("latin-1")
    if isinstance(value, Mapping):
        return _NamedArguments(value, cut)
    return tuple(_cut(part, cut) for part in value) if type(value) is tuple else value
