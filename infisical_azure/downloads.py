"""Files that are sent part by part, however long they are."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from django.http import StreamingHttpResponse
from django.utils import timezone, translation

from .anew import raised_anew


def stream(parts: Iterator[str], *, content_type: str) -> StreamingHttpResponse:
    """
    Send a text in parts, each made when the ones before are on their way.

    The first part is made at once: what fails then is answered as anywhere else. What fails
    later breaks the transfer off, so that nobody takes the file for a whole one, and is
    raised without the rows, by UnforeseenError.
    """
    language, zone = translation.get_language(), timezone.get_current_timezone()

    def make() -> str | None:
        # By now middleware has taken back what it had activated for the request.
        with translation.override(language), timezone.override(zone):
            return next(parts, None)

    first = next(parts, "")
    rest = iter(lambda: raised_anew(make), None)
    return StreamingHttpResponse(chain([first], rest), f"{content_type}; charset=utf-8")
