"""The data plane of Key Vault: its addresses, and which operation answers each."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse

from .data_plane import Hit, run
from .domains import VAULTS
from .key_vault_access import check_access
from .key_vault_answers import Document, KeyVaultError, add_headers
from .places import place_of
from .roles import DELETE, LIST, PURGE, READ, RECOVER, WRITE
from .secret_lists import list_deleted_secrets, list_secrets, list_versions
from .secret_operations import (
    Call,
    Operation,
    delete_secret,
    purge_secret,
    read_deleted_secret,
    read_secret,
    recover_secret,
    set_secret,
    update_secret,
)
from .state import STATE

View = Callable[..., HttpResponseBase]


def _view(**operations: tuple[str, Operation]) -> View:
    """A view of operations by their HTTP method, each with the right that it needs."""

    def view(
        request: HttpRequest, vault: str, name: str = "", version: str = "", rest: str = ""
    ) -> HttpResponseBase:
        found = STATE.vaults.get(vault.lower())
        if found is None:
            # A vault that does not exist has no address in DNS.
            return HttpResponse("No such vault", status=404, content_type="text/plain")
        place = place_of(request, found.name, VAULTS)
        call = Call(request=request, place=place, vault=found, name=name, version=version)
        right, operation = operations.get(request.method or "", (READ, _not_allowed))

        def answer(hit: Hit) -> HttpResponse:
            try:
                check_access(request, found, place, right=right, name=name, hit=hit)
                response = _response(operation(call))
            except KeyVaultError as error:
                response = error.response()
            add_headers(request, response)
            return response

        return run(request, "key_vault", found.tenant_id, answer)

    return view


def _response(document: Document | None) -> HttpResponse:
    return HttpResponse(status=204) if document is None else JsonResponse(document)


def _not_allowed(call: Call) -> Document:
    text = f"{call.request.method} is not allowed here."
    raise KeyVaultError(405, "MethodNotAllowed", text)


def _not_found(call: Call) -> Document:
    raise KeyVaultError(404, "NotFound", "The resource was not found.")


secrets = _view(GET=(LIST, list_secrets))
secret = _view(
    GET=(READ, read_secret),
    PUT=(WRITE, set_secret),
    PATCH=(WRITE, update_secret),
    DELETE=(DELETE, delete_secret),
)
versions = _view(GET=(LIST, list_versions))
secret_version = _view(GET=(READ, read_secret), PATCH=(WRITE, update_secret))
deleted_secrets = _view(GET=(LIST, list_deleted_secrets))
deleted_secret = _view(GET=(LIST, read_deleted_secret), DELETE=(PURGE, purge_secret))
recovery = _view(POST=(RECOVER, recover_secret))
anything_else = _view(**dict.fromkeys(("GET", "PUT", "POST", "DELETE"), (READ, _not_found)))
