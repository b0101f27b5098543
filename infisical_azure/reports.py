"""Keep what a URL of ours holds in confidence out of Sentry's events."""

from __future__ import annotations

import re
import sys
from contextvars import ContextVar
from functools import partial
from typing import Any
from urllib.parse import parse_qs, quote, quote_plus

from .anew import raising_anew
from .secret import Secret

_OURS = re.compile(r"/app-connections/(azure/oauth/callback|feeds/(?P<token>[^/]+)\.ics)$")
#: What is shorter is neither Microsoft's nor ours, and would be found in any text.
_SHORTEST = 8
#: The scope of Sentry's that was told last, and what it cuts: a path and a query.
_cut_in: ContextVar[tuple[Any, list[Secret]]] = ContextVar("infisical_azure_cut")


def cut_from_events(
    *, environ: dict[str, Any] | None = None, scope: dict[str, Any] | None = None, **_: object
) -> None:
    """
    Have Sentry's events of this request show neither code nor state nor calendar token.

    A receiver of ``request_started``, which is sent before any middleware is called: Sentry
    has copied the URL by then, and shows it with whatever fails until the request ends.
    Does nothing where the site doesn't use Sentry.
    """
    sentry = sys.modules.get("sentry_sdk")
    path = environ.get("PATH_INFO", "") if environ else (scope or {}).get("path", "")
    if sentry is None or not _OURS.search(path):
        return
    query = environ.get("QUERY_STRING", "") if environ else (scope or {})["query_string"].decode()
    told, held = _cut_in.get((None, []))
    isolated = sentry.get_isolation_scope()
    if told is not isolated:  # Without Sentry's integration all requests share it.
        held = []
        _cut_in.set((isolated, held))
        isolated.add_event_processor(partial(_cut, held))
    held[:] = Secret(path), Secret(query)


@raising_anew
def _cut(held: list[Secret], event: Any, hint: Any) -> Any:
    """Return an event without what path and query hold, wherever it shows that."""
    path, query = held
    found = _OURS.search(path.reveal())
    fields = parse_qs(query.reveal())
    values = [found and found["token"], *fields.get("code", []), *fields.get("state", [])]
    texts = {form for value in values if value for form in _forms_of(value)} | {query.reveal()}
    usable = sorted((text for text in texts if len(text) >= _SHORTEST), key=len, reverse=True)
    return _without(event, re.compile("|".join(map(re.escape, usable)))) if usable else event


def _forms_of(value: str) -> set[str]:
    return {value, quote(value), quote(value, safe=""), quote_plus(value)}


def _without(value: Any, texts: re.Pattern[str]) -> Any:
    if isinstance(value, str):
        return texts.sub("[cut]", value)
    if isinstance(value, dict):
        return {_without(key, texts): _without(found, texts) for key, found in value.items()}
    if isinstance(value, list | tuple):
        return [_without(found, texts) for found in value]
    return value
