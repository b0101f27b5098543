"""What was asked of the stand-in, without any secret in it."""

from __future__ import annotations

from collections import deque

from django.http import HttpRequest

from .domains import PATHS

# Names only for what the token endpoint is sent, except these values.
_SHOWN = ("grant_type", "scope", "client_id", "redirect_uri", "claims", "client_info")
_WITH_QUERY = ("/authorize", "/adminconsent")

Entry = dict[str, object]


class Journal:
    def __init__(self) -> None:
        self._count = 0
        self._entries: deque[Entry] = deque(maxlen=10_000)

    def begin(self, request: HttpRequest) -> Entry:
        self._count += 1
        entry: Entry = {
            "n": self._count,
            "method": request.method,
            "path": request.path,
            "client_request_id": request.headers.get("client-request-id"),
            "user_agent": request.headers.get("User-Agent"),
            "status": None,
        }
        # First these two: a secret may be called "token", and a key anything at all.
        if request.path.startswith(PATHS):
            entry["query"] = dict(request.GET.lists())
            entry["host"] = request.headers.get("Host")
            entry["bearer"] = "Authorization" in request.headers
        elif request.path.startswith("/graph/") or request.path.endswith(_WITH_QUERY):
            entry["query"] = dict(request.GET.lists())
        elif request.path.endswith("/token"):
            entry["form"] = sorted(request.POST)
            entry["basic"] = request.headers.get("Authorization", "").startswith("Basic ")
            entry.update({name: request.POST[name] for name in _SHOWN if name in request.POST})
        request.META["standin.entry"] = entry
        self._entries.append(entry)
        return entry

    @staticmethod
    def note(request: HttpRequest, **facts: object) -> None:
        """Add what only the view knows to the entry of this request; never a secret."""
        entry: Entry = request.META["standin.entry"]
        entry.update(facts)

    def entries(self) -> list[Entry]:
        return list(self._entries)
