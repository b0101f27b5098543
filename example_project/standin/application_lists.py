"""Lists of applications, page by page."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from django.core import signing
from django.http import HttpRequest

from .application_answers import Document, application_document, context
from .application_queries import Clause, Query, read_query
from .applications import Applications, Key
from .graph_answers import GraphError
from .state import STATE

_SALT = "skiptoken"


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Where in which list; opaque in the link to it."""

    tenant_id: str
    options: dict[str, str]
    number: int = 0
    # The last application of the pages before.
    after: Key | None = None

    def token(self) -> str:
        fields = (self.tenant_id, self.options, self.number, self.after)
        return signing.dumps(fields, salt=_SALT, compress=True)

    @classmethod
    def of(cls, request: HttpRequest, tenant_id: str) -> Page:
        if "$skiptoken" not in request.GET:
            chosen = {name: request.GET[name] for name in request.GET if name.startswith("$")}
            return cls(tenant_id=tenant_id, options=chosen)
        try:
            fields = signing.loads(request.GET["$skiptoken"], salt=_SALT)
        except signing.BadSignature as error:
            raise page_expired() from error
        issued_for, options, number, after = fields
        if issued_for != tenant_id:
            raise page_expired()
        return cls(
            tenant_id=tenant_id,
            options=options,
            number=number,
            after=None if after is None else (after[0], after[1]),
        )


def page_expired() -> GraphError:
    text = "The specified page token value has expired and can no longer be included in your "
    return GraphError(400, "Directory_ExpiredPageToken", f"{text}request.")


def list_applications(request: HttpRequest, applications: Applications, publisher: str) -> Document:
    page = Page.of(request, applications.tenant_id)
    eventual = request.headers.get("ConsistencyLevel", "").lower() == "eventual"
    query = read_query(page.options, eventual=eventual)
    matches = _matches(applications, query)
    shown, more = _slice(matches, query, page.after)
    # Real pages can be empty, too, without being the last.
    if STATE.switches.empty_pages and page.number % 2:
        shown, more = [], True
    document: Document = {"@odata.context": context(query.select)}
    if query.counted and not page.number:
        document["@odata.count"] = len(matches)
    if more:
        document["@odata.nextLink"] = _link(page, shown[-1] if shown else page.after)
    now = STATE.now()
    document["value"] = [
        application_document(found, found.look(now), query.select, publisher=publisher)
        for found in applications.named(shown)
    ]
    return document


def resource_units(request: HttpRequest) -> int:
    """What a list costs: less with $select, less with a short page."""
    top = request.GET.get("$top", "")
    return max(1, 2 - ("$select" in request.GET) - (top.isdecimal() and int(top) < 20))


def _slice(matches: Sequence[Key], query: Query, after: Key | None) -> tuple[list[Key], bool]:
    """The page after this key, and whether there is one after that."""
    if query.descending:
        end = len(matches) if after is None else bisect_left(matches, after)
        start = max(0, end - query.top)
        return list(reversed(matches[start:end])), start > 0
    start = 0 if after is None else bisect_right(matches, after)
    end = start + query.top
    return list(matches[start:end]), end < len(matches)


def _matches(applications: Applications, query: Query) -> Sequence[Key]:
    """The keys of all that match, ascending; the whole index as it is when all do."""
    if not query.clauses and not query.searches:
        return applications.ids if query.descending is None else applications.names
    parts = [_matching(applications, clause) for clause in query.clauses]
    found = [applications.containing(words) for words in query.searches]
    if parts and found:
        searched = set(_union(found))
        return [key for key in _union(parts) if key in searched]
    return _union(parts or found)


def _matching(applications: Applications, clause: Clause) -> Sequence[Key]:
    if clause.field == "startswith":
        return applications.starting_with(clause.value)
    find = applications.find if clause.field == "id" else applications.find_by_app_id
    found = find(clause.value)
    return [] if found is None else [applications.key_of(found)]


def _union(parts: list[Sequence[Key]]) -> Sequence[Key]:
    if len(parts) == 1:
        return parts[0]
    return sorted({key for part in parts for key in part})


def _link(page: Page, after: Key | None) -> str:
    following = Page(
        tenant_id=page.tenant_id, options=page.options, number=page.number + 1, after=after
    )
    query = urlencode({"$skiptoken": following.token()}, safe="$")
    return f"{STATE.origin}/graph/v1.0/applications?{query}"
