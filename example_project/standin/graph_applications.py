"""Microsoft Graph's applications: lists, one, and its client secrets."""

from __future__ import annotations

import time
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.views.decorators.http import require_GET, require_POST

from .application_answers import application_document, context
from .application_lists import list_applications, page_expired, resource_units
from .application_queries import read_select
from .application_secrets import add_password, conflict, remove_password
from .applications import Application, Applications
from .data_plane import Hit
from .directory import tenant_of
from .faults import Where
from .grants import AccessToken
from .graph_access import denied, serve
from .graph_answers import GraphError, graph_json, no_content
from .state import STATE

_ANY_WRITER, _OWNER = "Application.ReadWrite.All", "Application.ReadWrite.OwnedBy"
_WRITERS = {_ANY_WRITER, _OWNER}
_READERS = {*_WRITERS, "Directory.ReadWrite.All", "Application.Read.All", "Directory.Read.All"}


@require_GET
def applications(request: HttpRequest) -> HttpResponseBase:
    def answer(token: AccessToken, hit: Hit) -> HttpResponse:
        if hit.name == "page_expired":
            raise page_expired()
        document = list_applications(request, _applications(token), _publisher(token))
        return graph_json(request, document, units=resource_units(request))

    return serve(request, "graph_read", _READERS, answer)


@require_GET
def application(request: HttpRequest, id_: str = "", app_id: str = "") -> HttpResponseBase:
    def answer(token: AccessToken, hit: Hit) -> HttpResponse:
        found = _find(token, hit, id_, app_id)
        select = read_select(request.GET.get("$select", ""))
        secrets = found.look(STATE.now())
        shown = application_document(found, secrets, select, publisher=_publisher(token))
        entity = {"@odata.context": context(select, entity=True)}
        return graph_json(request, entity | shown)

    return serve(request, "graph_read", _READERS, answer)


@require_POST
def password_added(request: HttpRequest, id_: str = "", app_id: str = "") -> HttpResponseBase:
    def act(found: Application, token: AccessToken, hit: Hit) -> HttpResponse:
        document = add_password(request, found, _applications(token).policy)
        response = graph_json(request, document)
        response["Location"] = "https://graph.microsoft.com"
        return response

    return _write(request, "graph_add", id_, app_id, act)


@require_POST
def password_removed(request: HttpRequest, id_: str = "", app_id: str = "") -> HttpResponseBase:
    def act(found: Application, token: AccessToken, hit: Hit) -> HttpResponse:
        remove_password(request, found, missing=hit.name == "key_missing")
        return no_content(request)

    return _write(request, "graph_remove", id_, app_id, act)


def _write(
    request: HttpRequest,
    where: Where,
    id_: str,
    app_id: str,
    act: Callable[[Application, AccessToken, Hit], HttpResponse],
) -> HttpResponseBase:
    def answer(token: AccessToken, hit: Hit) -> HttpResponse:
        found = _find(token, hit, id_, app_id)
        STATE.journal.note(request, application=found.id)
        if not _may_write(token, found):
            raise denied()
        if hit.name == "conflict":
            raise conflict()
        return act(found, token, hit)

    # Not under the lock: meanwhile others are served.
    time.sleep(STATE.switches.slow_writes)
    return serve(request, where, _WRITERS, answer)


def _may_write(token: AccessToken, found: Application) -> bool:
    """Who is signed in must be an administrator or an owner; an application needs neither."""
    if _ANY_WRITER in token.scopes and (token.app_only or token.account.is_admin):
        return True
    return token.account.oid in found.owners


def _find(token: AccessToken, hit: Hit, id_: str, app_id: str) -> Application:
    directory = _applications(token)
    found = directory.find(id_) if id_ else directory.find_by_app_id(app_id)
    if found is None or hit.name == "not_found":
        raise GraphError(
            404,
            "Request_ResourceNotFound",
            f"Resource '{id_ or app_id}' does not exist or one of its queried reference-property "
            "objects are not present.",
        )
    return found


def _applications(token: AccessToken) -> Applications:
    return STATE.applications[token.account.tenant_id]


def _publisher(token: AccessToken) -> str:
    return tenant_of(token.account).domains[-1]
