"""The filters that keep codes out of other packages' log lines."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from infisical_azure.logs import CallbackQueryFilter, TokenRequestFilter, silence

LINE = "GET /organization/app-connections/azure/oauth/callback?code=CANARY&state=CANARY HTTP/1.1"


@pytest.mark.parametrize("args", [(LINE, 302), {"r": LINE, "s": 302}, (), None])
def test_query_of_the_callback_is_cut_from_access_logs(args: Any) -> None:
    message = {tuple: '"%s" %s', dict: '"%(r)s" %(s)s'}[type(args)] if args else LINE
    record = logging.LogRecord("django.server", 20, "", 0, message, None, None)
    record.args = args
    assert CallbackQueryFilter().filter(record)
    assert "CANARY" not in record.getMessage()
    assert "oauth/callback?[cut] HTTP/1.1" in record.getMessage()


TOKEN = "CANARY-" + "x" * 36
FEED = f"/organization/7/app-connections/feeds/{TOKEN}.ics"
CALLBACK = "/organization/app-connections/azure/oauth/callback"


class SafeAtoms(dict[str, Any]):
    """As gunicorn hands them to its logger: names in braces are looked up in lower case."""

    def __getitem__(self, name: str) -> Any:
        return super().get(name.lower() if name.startswith("{") else name, "-")


def atoms(path: str, query: str) -> SafeAtoms:
    uri = f"{path}?{query}" if query else path
    return SafeAtoms(
        {
            "h": "127.0.0.1", "m": "GET", "r": f"GET {uri} HTTP/1.1", "U": path, "q": query,
            "s": 302, "f": f"https://site.example{uri}", "{x-forwarded-for}i": "192.0.2.1",
            "{query_string}e": query, "{raw_uri}e": uri, "{referer}i": f"https://site.example{uri}",
            "{wsgi.multithread}e": True, "{raw}e": uri.encode(),
        }
    )  # fmt: skip


def shown(record: logging.LogRecord) -> str:
    """Return all of a record that a formatter may show, once it is filtered."""
    assert CallbackQueryFilter().filter(record)
    return f"{record.getMessage()} {vars(record)}"


def record_of(message: Any, args: Any = None, **more: Any) -> logging.LogRecord:
    return logging.makeLogRecord({"name": "access", "msg": message, "args": args, **more})


@pytest.mark.parametrize(
    ("message", "kept"),
    [
        ('%({X-Forwarded-For}i)s "%(r)s" %(s)s "%(f)s"', "192.0.2.1"),
        ("%(U)s?%(q)s %(s)s", "302"),
        ("%(m)s %(U)s %(q)s", "GET"),
        ("%({QUERY_STRING}e)s %({RAW_URI}e)s %(s)d", "302"),
        ("%({Referer}i)s %({Nothing}i)s", " -"),
        ("%({raw}e)s %({wsgi.multithread}e)s", "True"),
    ],
)
@pytest.mark.parametrize(
    ("path", "query"),
    [(CALLBACK, "code=CANARY&state=CANARY"), (CALLBACK, "state=CANARY"), (FEED, ""), (FEED, "x=1")],
)
def test_formats_of_gunicorn_show_neither_code_nor_calendar_token(
    message: str, kept: str, path: str, query: str
) -> None:
    record = record_of(message, atoms(path, query))
    assert CallbackQueryFilter().filter(record)
    assert kept in record.getMessage()
    assert "CANARY" not in f"{record.getMessage()} {record.args}"


def test_arguments_of_uvicorn_stay_five() -> None:
    args = ("192.0.2.1:5", "GET", f"{CALLBACK}?code=CANARY&state=CANARY", "1.1", 303)
    record = record_of('%s - "%s %s HTTP/%s" %d', args)
    assert "CANARY" not in shown(record)
    assert record.args == (*args[:2], f"{CALLBACK}?[cut]", "1.1", 303)


@pytest.mark.parametrize(
    ("message", "args"),
    [
        ("%s?%s", (CALLBACK, "code=CANARY")),
        ("%s %s", (CALLBACK, "code=CANARY")),
        (f"GET {CALLBACK}?code=%s", ("CANARY",)),
        ("Not Found: %s", (FEED,)),
        ("Not Found: %s", (FEED.removesuffix(".ics"),)),
        ("/login/?next=%s", (f"{CALLBACK}%3Fcode%3DCANARY%26state%3DCANARY",)),
        ("/login/?next=%s", (quote(f"{CALLBACK}?code=CANARY&state=CANARY", safe=""),)),
        ("/login/?next=%s", (quote(FEED, safe=""),)),
        ("/a/?next=%s", (quote(f"/login/?next={quote(FEED, safe='')}", safe=""),)),
        ('"%s" "%s"', ("GET / HTTP/1.1", f"https://site.example{CALLBACK}?code=CANARY")),
        ("%s", ((CALLBACK + "?code=CANARY", 1),)),
        ("%s", (Path(FEED),)),
        ({"event": f"{CALLBACK}?code=CANARY"}, None),
        ("%s", ({"url": f"{CALLBACK}?code=CANARY"},)),
    ],
)
def test_it_is_cut_wherever_it_stands(message: Any, args: Any) -> None:
    record = record_of(message, args, request_line=f"GET {FEED} HTTP/1.1")
    assert "CANARY" not in shown(record)


@pytest.mark.parametrize("name", ["django.server", "gunicorn.access", "uvicorn.access"])
@pytest.mark.parametrize("uri", [FEED, f"{CALLBACK}?code=CANARY&state=CANARY"])
def test_loggers_of_servers_cut_it_unasked(name: str, uri: str) -> None:
    record = record_of('"%s" %s', (f"GET {uri} HTTP/1.1", 200))
    assert logging.getLogger(name).filter(record)
    assert "CANARY" not in record.getMessage()


def test_calendar_links_are_made_and_removed_under_their_own_names() -> None:
    line = "POST /organization/7/app-connections/feeds/add/ HTTP/1.1 /app-connections/feeds/remove/"
    record = record_of("%s", (line,))
    shown(record)
    assert record.getMessage() == line


class Broken:
    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    ("message", "args"),
    [("%d", ("x",)), ("%s", (Broken(),)), ("%s", 5), ("%s %s", 5), ("x", ()), (5, None),
     ("%(x)s", {}), ("%s", "text"), ("%(a)s", ({"a": None},)), (None, None), (b"x", None)],
)  # fmt: skip
def test_every_record_passes(message: Any, args: Any) -> None:
    assert CallbackQueryFilter().filter(record_of(message, args))


def test_other_lines_are_left_alone() -> None:
    record = logging.LogRecord("django.server", 20, "", 0, "GET /?code=1", None, None)
    assert CallbackQueryFilter().filter(record)
    assert record.getMessage() == "GET /?code=1"


def test_only_our_own_token_requests_are_silent() -> None:
    record = logging.LogRecord("requests_oauthlib.oauth2_session", 10, "", 0, "x", None, None)
    assert TokenRequestFilter().filter(record)
    with silence():
        assert not TokenRequestFilter().filter(record)
    assert TokenRequestFilter().filter(record)
