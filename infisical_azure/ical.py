"""The ends of client secrets as a calendar (RFC 5545)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, timedelta

from django.utils import timezone
from django.utils.translation import gettext as _

from .models import WatchedSecret

_DAY = "%Y%m%d"


def calendar_of(
    batches: Iterable[Iterable[WatchedSecret]],
    *,
    name: str,
    url_of: Callable[[WatchedSecret], str],
) -> Iterator[str]:
    """Give a calendar with an all-day event on the day that each of them ends, in parts."""
    lines = [
        "BEGIN:VCALENDAR",
        "VERSION:2.0",
        "PRODID:-//infisical_azure//Client secrets//EN",
        "CALSCALE:GREGORIAN",
        f"X-WR-CALNAME:{_text(name)}",
        "REFRESH-INTERVAL;VALUE=DURATION:PT6H",
        "X-PUBLISHED-TTL:PT6H",
    ]
    for batch in batches:
        for secret in batch:
            lines += _event(secret, url_of(secret))
        yield _written(lines)
        lines = []
    yield _written(["END:VCALENDAR"])


def _written(lines: Iterable[str]) -> str:
    return "".join(f"{folded}\r\n" for line in lines for folded in _folded(line))


def _event(secret: WatchedSecret, url: str) -> Iterator[str]:
    day = timezone.localdate(secret.expires_at)
    application = secret.application_name or str(secret.app_id)
    words = {"application": application, "name": secret.name or _("without a name")}
    summary = _("%(application)s: the client secret %(name)s expires") % words
    connection = _("Connection: %(name)s") % {"name": secret.connection.name}
    yield "BEGIN:VEVENT"
    yield f"UID:{secret.connection_id}.{secret.key_id}@infisical-azure"
    yield f"DTSTAMP:{secret.seen_at.astimezone(UTC):%Y%m%dT%H%M%SZ}"
    yield f"DTSTART;VALUE=DATE:{day:{_DAY}}"
    yield f"DTEND;VALUE=DATE:{day + timedelta(days=1):{_DAY}}"
    yield f"SUMMARY:{_text(summary)}"
    yield f"DESCRIPTION:{_text(connection)}"
    yield f"URL:{url}"
    yield "TRANSP:TRANSPARENT"
    yield "END:VEVENT"


def _text(value: str) -> str:
    """Escape a TEXT value; names have been freed of controls other than these."""
    for sign in ("\\", ";", ","):
        value = value.replace(sign, f"\\{sign}")
    return value.replace("\r\n", "\n").replace("\r", "\n").replace("\n", "\\n")


def _folded(line: str) -> Iterator[str]:
    """Yield the line in pieces of at most 75 octets, none of which halves a character."""
    piece, left = "", 75
    for sign in line:
        size = len(sign.encode())
        if size > left:
            yield piece
            piece, left = " ", 74
        piece, left = piece + sign, left - size
    yield piece
