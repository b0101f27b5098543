"""If-Match and If-None-Match, as App Configuration understands them."""

from __future__ import annotations

from django.http import HttpRequest

from .app_configuration_answers import Problem, quoted


def check_conditions(request: HttpRequest, etag: str | None) -> None:
    """Raise 412, or 304 for a read, unless what is there (None: nothing) is as asked for."""
    wanted = request.headers.get("If-Match")
    if wanted is not None and not _matches(wanted, etag):
        raise Problem(412)
    unwanted = request.headers.get("If-None-Match")
    if unwanted is None or not _matches(unwanted, etag):
        return
    if request.method not in ("GET", "HEAD"):
        raise Problem(412)
    raise Problem(304, headers={"ETag": quoted(etag or "")})


def _matches(condition: str, etag: str | None) -> bool:
    if etag is None:
        return False
    alternatives = [part.strip().strip('"') for part in condition.split(",")]
    return "*" in alternatives or etag in alternatives
