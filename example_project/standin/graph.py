"""Microsoft Graph v1.0: /me and /organization, and a Graph-shaped 404 for the rest."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.views.decorators.http import require_GET

from .data_plane import Hit
from .directory import tenant_of
from .grants import AccessToken
from .graph_access import serve
from .graph_answers import graph_error, graph_json

_CONTEXT = "https://graph.microsoft.com/v1.0/$metadata"
_OTHER_ID = "00000000-1111-4222-8333-444444444444"
_DIRECTORY_READERS = {"Organization.Read.All", "Directory.Read.All", "Directory.ReadWrite.All"}


@require_GET
def me(request: HttpRequest) -> HttpResponseBase:
    def answer(token: AccessToken, hit: Hit) -> HttpResponse:
        return graph_json(request, _me(token, hit.name))

    return serve(request, "graph", {"User.Read"}, answer)


@require_GET
def organization(request: HttpRequest) -> HttpResponseBase:
    def answer(token: AccessToken, hit: Hit) -> HttpResponse:
        return graph_json(request, _organization(token, hit.name))

    return serve(request, "graph", {"User.Read", *_DIRECTORY_READERS}, answer)


def not_found(request: HttpRequest, path: str) -> HttpResponseBase:
    segment = path.rpartition("/")[2]
    text = f"Resource not found for the segment '{segment}'."
    return graph_error(request, 404, "ResourceNotFound", text)


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
        "id": _OTHER_ID if fault == "me_other_user" else account.oid,
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
        "id": _OTHER_ID if fault == "other_organization" else tenant.id,
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
