"""One page of a list, without counting all of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet
from django.http import Http404, HttpRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Some rows, and the numbers of the pages beside them; 0 where there is none."""

    rows: list[Any]
    previous: int
    next: int


def page_of(rows: QuerySet[Any], request: HttpRequest, size: int) -> Page:
    """Return the page that ``?page=`` asks for; raise Http404 beyond the last one."""
    asked = request.GET.get("page", "")
    number = max(int(asked), 1) if asked.isdecimal() and len(asked) < 6 else 1
    start = (number - 1) * size
    # One row more than is shown tells whether there is a next page, without a COUNT.
    found = list(rows[start : start + size + 1])
    if number > 1 and not found:
        raise Http404
    return Page(rows=found[:size], previous=number - 1, next=number + 1 if len(found) > size else 0)
