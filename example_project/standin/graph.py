"""Microsoft Graph v1.0: /me and /organization, and a Graph-shaped 404 for the rest."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.views.decorators.http import require_GET

from .bearer import is_revoked, sent_token
from .breakage import break_after, break_before
from .directory import tenant_of
from .fault_queue import Planned
from .grants import AccessToken
from .graph_answers import challenged, graph_error, graph_json, throttled, unavailable
from .permissions import GRAPH
from .state import STATE

_CONTEXT = "https://graph.microsoft.com/v1.0/$metadata"
_OTHER_ID = "00000000-1111-4222-8333-444444444444"
_DIRECTORY_READERS = {"Organization.Read.All", "Directory.Read.All", "Directory.ReadWrite.All"}


@require_GET
def me(request: HttpRequest) -> HttpResponseBase:
    return _serve(request, {"User.Read"})


@require_GET
def organization(request: HttpRequest) -> HttpResponseBase:
    return _serve(request, {"User.Read", *_DIRECTORY_READERS})


def not_found(request: HttpRequest, path: str) -> HttpResponseBase:
    segment = path.rpartition("/")[2]
    text = f"Resource not found for the segment '{segment}'."
    return graph_error(request, 404, "ResourceNotFound", text)


def _serve(request: HttpRequest, sufficient: set[str]) -> HttpResponseBase:
    token = sent_token(request)
    with STATE.lock:
        planned = _planned(token)
    broken = _broken(request, planned)
    if broken is not None:
        return broken
    refused = _refused(request, token, sufficient, "" if planned is None else planned.fault.name)
    if refused is not None or token is None:
        return refused or _unauthorized(request)
    name = "" if planned is None else planned.fault.name
    document = _me(token, name) if request.path.endswith("/me") else _organization(token, name)
    return break_after(planned, request, graph_json(request, document))


def _planned(token: AccessToken | None) -> Planned | None:
    if token is not None and token.fault is not None:
        return Planned(fault=token.fault, times=None)
    return STATE.faults.take("graph", tenant_id="" if token is None else token.account.tenant_id)


def _broken(request: HttpRequest, planned: Planned | None) -> HttpResponseBase | None:
    name = "" if planned is None else planned.fault.name
    if name.startswith("graph_throttled"):
        seconds = 30 if planned is None or planned.seconds is None else planned.seconds
        return throttled(request, None if name.endswith("_without_retry_after") else seconds)
    if name == "graph_unavailable":
        return unavailable(request)
    return break_before(planned, request)


def _unauthorized(request: HttpRequest, text: str = "Access token is empty.") -> HttpResponse:
    return graph_error(request, 401, "InvalidAuthenticationToken", text)


def _refused(
    request: HttpRequest, token: AccessToken | None, sufficient: set[str], fault: str
) -> HttpResponse | None:
    value = request.headers.get("Authorization", "").partition(" ")[2].strip()
    if not value:
        return _unauthorized(request)
    if token is None or fault == "graph_unauthorized":
        text = "CompactToken validation failed with reason code: 80049228."
        return _unauthorized(request, text)
    if token.resource != GRAPH:
        return _unauthorized(request, "Access token validation failure. Invalid audience.")
    if STATE.now() >= token.expires_at:
        return _unauthorized(request, "Access token has expired or is not yet valid.")
    # Only clients that declared they can handle it are challenged.
    if token.cae and (is_revoked(token) or fault == "graph_claims_challenge"):
        return challenged(request)
    if fault == "graph_claims_challenge":
        return _unauthorized(request, "Access token has expired or is not yet valid.")
    if fault == "graph_forbidden" or sufficient.isdisjoint(token.scopes):
        text = "Insufficient privileges to complete the operation."
        return graph_error(request, 403, "Authorization_RequestDenied", text)
    return None


def _me(token: AccessToken, fault: str) -> dict[str, object]:
    account = token.account
    return {
        "@odata.context": f"{_CONTEXT}#users/$entity",
        "businessPhones": [],
        "displayName": account.name,
        "givenName": account.given_name,
        "jobTitle": account.role,
        "mail": account.upn,
        "mobilePhone": None,
        "officeLocation": None,
        "preferredLanguage": "en-US",
        "surname": account.surname,
        "userPrincipalName": account.upn,
        "id": _OTHER_ID if fault == "graph_me_other_user" else account.oid,
    }


def _organization(token: AccessToken, fault: str) -> dict[str, object]:
    """One entry; with User.Read alone most of it is null."""
    tenant = tenant_of(token.account)
    full = not _DIRECTORY_READERS.isdisjoint(token.scopes)
    domains = [
        {
            "capabilities": "Email, OfficeCommunicationsOnline",
            "isDefault": not name.endswith(".onmicrosoft.com"),
            "isInitial": name.endswith(".onmicrosoft.com"),
            "name": name,
            "type": "Managed",
        }
        for name in tenant.domains
    ]
    entry: dict[str, object] = {
        "id": _OTHER_ID if fault == "graph_other_organization" else tenant.id,
        "deletedDateTime": None,
        "businessPhones": [],
        "city": "Berlin" if full else None,
        "country": None,
        "countryLetterCode": "DE" if full else None,
        "createdDateTime": "2021-03-04T05:06:07Z" if full else None,
        "displayName": tenant.name,
        "tenantType": "AAD" if full else None,
        "verifiedDomains": domains,
    }
    return {"@odata.context": f"{_CONTEXT}#organization", "value": [entry]}
