"""The data plane of App Configuration: reading, writing and locking key-values."""

from __future__ import annotations

import json
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse, HttpResponseBase

from .app_configuration_access import check_access
from .app_configuration_answers import (
    KEY_VALUE,
    Document,
    Problem,
    add_headers,
    invalid_argument,
    key_value_response,
    locked,
)
from .conditions import check_conditions
from .data_plane import Hit, run
from .domains import STORES
from .key_value_lists import list_key_values, selected_fields
from .places import place_of
from .roles import DELETE, READ, WRITE
from .state import STATE
from .stores import NO_LABEL, KeyValue, Store, new_etag

Operation = Callable[[HttpRequest, Store, str], HttpResponse]
View = Callable[..., HttpResponseBase]


def _view(**operations: tuple[str, Operation]) -> View:
    """A view of operations by their HTTP method, each with the right that it needs."""

    def view(request: HttpRequest, store: str, key: str = "", rest: str = "") -> HttpResponseBase:
        found = STATE.stores.get(store.lower())
        if found is None:
            # A store that does not exist has no address in DNS.
            return HttpResponse("No such store", status=404, content_type="text/plain")
        place = place_of(request, found.name, STORES)
        method = "GET" if request.method == "HEAD" else request.method or ""
        right, operation = operations.get(method, (READ, _not_allowed))

        def answer(hit: Hit) -> HttpResponse:
            try:
                check_access(request, found, place, right=right, hit=hit)
                response = operation(request, found, key)
            except Problem as problem:
                response = problem.response()
            add_headers(request, response, found.sync_token())
            return response

        return run(request, "app_configuration", found.tenant_id, answer)

    return view


def _list(request: HttpRequest, store: Store, key: str) -> HttpResponse:
    return list_key_values(request, store)


def _read(request: HttpRequest, store: Store, key: str) -> HttpResponse:
    item = store.find(key, _label(request))
    if item is None:
        raise Problem(404)
    check_conditions(request, item.etag)
    return key_value_response(item, selected_fields(request))


def _write(request: HttpRequest, store: Store, key: str) -> HttpResponse:
    label = _label(request)
    before = store.find(key, label)
    body = _body(request)
    _check_changeable(request, before)
    value, content_type, tags = body.get("value"), body.get("content_type"), body.get("tags")
    if not isinstance(value, str | None) or not isinstance(content_type, str | None):
        raise invalid_argument("value", "value: Not a string")
    if not isinstance(tags, dict | None):
        raise invalid_argument("tags", "tags: Not an object")
    item = KeyValue(
        key=key,
        label=label,
        value=value,
        content_type=content_type,
        tags=tags or {},
        last_modified=STATE.now(),
    )
    store.put(item)
    return key_value_response(item, selected_fields(request))


def _delete(request: HttpRequest, store: Store, key: str) -> HttpResponse:
    item = store.find(key, _label(request))
    _check_changeable(request, item)
    if item is None:
        return HttpResponse(status=204)
    store.delete(item)
    return key_value_response(item, selected_fields(request))


def _lock(request: HttpRequest, store: Store, key: str) -> HttpResponse:
    item = store.find(key, _label(request))
    if item is None:
        raise Problem(404)
    check_conditions(request, item.etag)
    item.locked = request.method == "PUT"
    item.etag, item.last_modified = new_etag(), STATE.now()
    store.put(item)
    return key_value_response(item, selected_fields(request))


def _not_allowed(request: HttpRequest, store: Store, key: str) -> HttpResponse:
    raise Problem(405)


def _not_found(request: HttpRequest, store: Store, key: str) -> HttpResponse:
    raise Problem(404)


def _label(request: HttpRequest) -> str:
    label = request.GET.get("label") or NO_LABEL
    if "*" in label or "," in label:
        raise invalid_argument("label", "label: Invalid character")
    return label


def _check_changeable(request: HttpRequest, item: KeyValue | None) -> None:
    check_conditions(request, None if item is None else item.etag)
    if item is not None and item.locked:
        raise locked(item.key)


def _body(request: HttpRequest) -> Document:
    if request.content_type not in (KEY_VALUE, "application/json"):
        raise Problem(415)
    try:
        body = json.loads(request.body or b"{}")
    except ValueError as error:
        raise invalid_argument("body", "The request body is not valid JSON.") from error
    if not isinstance(body, dict):
        raise invalid_argument("body", "The request body is not a JSON object.")
    return body


key_values = _view(GET=(READ, _list))
key_value = _view(GET=(READ, _read), PUT=(WRITE, _write), DELETE=(DELETE, _delete))
lock = _view(PUT=(WRITE, _lock), DELETE=(WRITE, _lock))
anything_else = _view(**dict.fromkeys(("GET", "PUT", "POST", "DELETE"), (READ, _not_found)))
