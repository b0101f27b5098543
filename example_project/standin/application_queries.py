"""What a list of applications is asked for: $filter, $search, $select and the like."""

from __future__ import annotations

import re
from dataclasses import dataclass

from .application_answers import FIELDS
from .graph_answers import GraphError

# The only options there are; $skiptoken says what the others were on the first page.
OPTIONS = ("$count", "$filter", "$orderby", "$search", "$select", "$top")
_DEFAULT_PAGE, _LONGEST_PAGE = 100, 999
_MOST_CLAUSES = 15
_QUOTED = r"'((?:[^']|'')*)'"
_CLAUSE = re.compile(
    rf"(?:(appId|id)\s+eq\s+{_QUOTED}|(startswith)\(\s*displayName\s*,\s*{_QUOTED}\s*\))"
)
_OR = re.compile(r"\s+or\s+")
_TERM = re.compile(r'"displayName:((?:[^"\\]|\\.)+)"')
_ORDER = re.compile(r"displayName(?:\s+(asc|desc))?")
# What would be a filter if the directory supported it for applications.
_WELL_FORMED = re.compile(r"[\w/]+\s+(eq|ne|ge|gt|le|lt|in)\s+\S|\w+\(.*\)|not\b", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Clause:
    field: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    clauses: tuple[Clause, ...]
    # One entry for each alternative: all its words must be in the name.
    searches: tuple[tuple[str, ...], ...]
    select: tuple[str, ...]
    top: int
    counted: bool
    # None: in no particular order.
    descending: bool | None


def unsupported(message: str) -> GraphError:
    return GraphError(400, "Request_UnsupportedQuery", message)


def bad_request(message: str) -> GraphError:
    return GraphError(400, "Request_BadRequest", message)


def read_query(options: dict[str, str], *, eventual: bool) -> Query:
    """Read the options, or raise what Graph would answer."""
    for name in options:
        if name.startswith("$") and name not in OPTIONS:
            raise unsupported(f"The query specified in the URI is not valid: {name}.")
    counted = _read_count(options.get("$count", "false"))
    for name, used in (("$search", "$search" in options), ("$count", counted)):
        if used and not eventual:
            raise unsupported(
                f"Request with {name} query parameter only works through MSGraph with a special "
                "request header: 'ConsistencyLevel: eventual'"
            )
    narrowed = "$filter" in options or "$search" in options
    if "$orderby" in options and narrowed and not (counted and eventual):
        raise unsupported("Sorting not supported for current query.")
    return Query(
        clauses=_read_filter(options["$filter"]) if "$filter" in options else (),
        searches=_read_search(options["$search"]) if "$search" in options else (),
        select=read_select(options.get("$select", "")),
        top=_read_top(options.get("$top", str(_DEFAULT_PAGE))),
        counted=counted,
        descending=_read_order(options["$orderby"]) if "$orderby" in options else None,
    )


def read_select(text: str) -> tuple[str, ...]:
    """The fields to show, in the order of the full object; none means all."""
    names = {name.strip() for name in text.split(",")} if text.strip() else set()
    for name in sorted(names - set(FIELDS)):
        raise bad_request(
            "Parsing OData Select and Expand failed: Could not find a property named "
            f"'{name}' on type 'microsoft.graph.application'."
        )
    return tuple(name for name in FIELDS if name in names)


def _read_count(text: str) -> bool:
    if text not in ("true", "false"):
        raise bad_request(f"Invalid value '{text}' for $count query option found.")
    return text == "true"


def _read_top(text: str) -> int:
    if not re.fullmatch(r"-?[0-9]{1,9}", text):
        raise bad_request(f"Invalid value '{text}' for $top query option found.")
    if not 1 <= int(text) <= _LONGEST_PAGE:
        raise unsupported(
            f"Invalid page size specified: '{text}'. Must be between 1 and 999 inclusive."
        )
    return int(text)


def _read_order(text: str) -> bool:
    match = _ORDER.fullmatch(text.strip())
    if match is None:
        raise unsupported("Unsupported sort property for 'Application'.")
    return match[1] == "desc"


def _read_filter(text: str) -> tuple[Clause, ...]:
    clauses = []
    position, text = 0, text.strip()
    while True:
        match = _CLAUSE.match(text, position)
        if match is None:
            if _WELL_FORMED.match(text, position):
                raise unsupported("Unsupported or invalid query filter clause specified.")
            raise bad_request(f"Invalid filter clause: syntax error at position {position}.")
        name, value = (match[1], match[2]) if match[1] else (match[3], match[4])
        clauses.append(Clause(field=name, value=value.replace("''", "'")))
        if match.end() == len(text):
            break
        joint = _OR.match(text, match.end())
        if joint is None:
            raise unsupported("Unsupported or invalid query filter clause specified.")
        position = joint.end()
    if len(clauses) > _MOST_CLAUSES:
        raise unsupported(
            "Too many child clauses specified in search filter expression containing 'OR' "
            f"operators: {len(clauses)}. Max allowed: {_MOST_CLAUSES}."
        )
    return tuple(clauses)


def _read_search(text: str) -> tuple[tuple[str, ...], ...]:
    searches = []
    for part in re.split(r'(?<=")\s+OR\s+(?=")', text.strip()):
        match = _TERM.fullmatch(part)
        words = tuple(re.sub(r"\\(.)", r"\1", match[1]).split()) if match else ()
        if not words:
            raise bad_request(f"Syntax error: the search clause '{part}' is not valid.")
        searches.append(words)
    return tuple(searches)
