"""Lists of key-values: filtered, page by page, if they changed."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse

from .app_configuration_answers import (
    Problem,
    invalid_argument,
    key_value_document,
    list_response,
)
from .conditions import check_conditions
from .key_value_filters import parse_filter, parse_tags
from .state import STATE
from .stores import NO_LABEL, KeyValue, Store

_FIELDS = ["etag", "key", "label", "content_type", "value", "tags", "locked", "last_modified"]


def list_key_values(request: HttpRequest, store: Store) -> HttpResponse:
    chosen = _chosen(request, store)
    after = _after(request)
    rest = [item for item in chosen if after is None or item.place > after]
    shown, following = rest[: STATE.page_size], rest[STATE.page_size :]
    etag = hashlib.sha256("".join(item.etag for item in shown).encode()).hexdigest()
    next_link = _next_link(request, shown[-1]) if following else ""
    try:
        check_conditions(request, etag)
    except Problem as problem:
        # A page that did not change still says where the next one is.
        if next_link:
            problem.headers["Link"] = f'<{next_link}>; rel="next"'
        raise
    fields = selected_fields(request)
    documents = [key_value_document(item) for item in shown]
    items = [{name: document[name] for name in fields} for document in documents]
    return list_response(items, etag, next_link)


def selected_fields(request: HttpRequest) -> list[str]:
    wanted = [name for name in request.GET.get("$select", "").split(",") if name]
    if not set(wanted) <= set(_FIELDS):
        raise invalid_argument("$select", "$select: Invalid field")
    return [name for name in _FIELDS if not wanted or name in wanted]


def _chosen(request: HttpRequest, store: Store) -> list[KeyValue]:
    key = parse_filter(request.GET.get("key") or "*", "key")
    # Given but empty means no label; not given means any.
    label = parse_filter(request.GET.get("label", "*") or NO_LABEL, "label")
    tags = parse_tags(request.GET.getlist("tags"))
    items = store.sorted()
    return [item for item in items if key(item.key) and label(item.label) and tags(item)]


def _after(request: HttpRequest) -> tuple[str, str] | None:
    token = request.GET.get("after", "")
    if not token:
        return None
    try:
        key, label = json.loads(base64.urlsafe_b64decode(token))
    except (binascii.Error, ValueError) as error:
        raise invalid_argument("after", "after: Invalid token") from error
    return key, label


def _next_link(request: HttpRequest, last: KeyValue) -> str:
    after = base64.urlsafe_b64encode(json.dumps(last.place).encode()).decode()
    query = [(name, value) for name, value in _pairs(request) if name != "after"]
    return f"/kv?{urlencode([*query, ('after', after)], safe='$')}"


def _pairs(request: HttpRequest) -> list[tuple[str, str]]:
    return [(name, value) for name, values in request.GET.lists() for value in values]
