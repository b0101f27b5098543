"""An application and its client secrets as Graph shows them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from .applications import Application
from .client_secrets import ClientSecret

Document = dict[str, object]
METADATA = "https://graph.microsoft.com/v1.0/$metadata"
# The order of the full object.
FIELDS = (
    *("id", "deletedDateTime", "appId", "applicationTemplateId", "disabledByMicrosoftStatus"),
    *("createdDateTime", "displayName", "description", "groupMembershipClaims", "identifierUris"),
    *("isDeviceOnlyAuthSupported", "isFallbackPublicClient", "notes", "publisherDomain"),
    *("serviceManagementReference", "signInAudience", "tags", "tokenEncryptionKeyId"),
    *("defaultRedirectUri", "certification", "optionalClaims", "addIns", "api", "appRoles"),
    *("info", "keyCredentials", "parentalControlSettings", "passwordCredentials", "publicClient"),
    *("requiredResourceAccess", "verifiedPublisher", "web", "spa"),
)
_API: Document = {
    "acceptMappedClaims": None,
    "knownClientApplications": [],
    "requestedAccessTokenVersion": None,
    "oauth2PermissionScopes": [],
    "preAuthorizedApplications": [],
}
_INFO = dict.fromkeys(
    ("logoUrl", "marketingUrl", "privacyStatementUrl", "supportUrl", "termsOfServiceUrl")
)
_PUBLISHER = dict.fromkeys(("displayName", "verifiedPublisherId", "addedDateTime"))
_WEB: Document = {
    "homePageUrl": None,
    "logoutUrl": None,
    "redirectUris": [],
    "implicitGrantSettings": {
        "enableAccessTokenIssuance": False,
        "enableIdTokenIssuance": False,
    },
    "redirectUriSettings": [],
}
_SAME_FOR_ALL: Document = {
    "identifierUris": [],
    "addIns": [],
    "api": _API,
    "appRoles": [],
    "info": _INFO,
    "keyCredentials": [],
    "parentalControlSettings": {"countriesBlockedForMinors": [], "legalAgeGroupRule": "Allow"},
    "publicClient": {"redirectUris": []},
    "requiredResourceAccess": [],
    "verifiedPublisher": _PUBLISHER,
    "web": _WEB,
    "spa": {"redirectUris": []},
}
_TEMPLATE: Document = {name: _SAME_FOR_ALL.get(name) for name in FIELDS}


def context(select: Sequence[str], *, entity: bool = False) -> str:
    chosen = f"({','.join(select)})" if select else ""
    return f"{METADATA}#applications{chosen}{'/$entity' if entity else ''}"


def application_document(
    application: Application,
    secrets: Sequence[ClientSecret],
    select: Sequence[str],
    *,
    publisher: str,
) -> Document:
    """Only the fields chosen, if any were: not even the id comes by itself."""
    document = _TEMPLATE | {
        "id": application.id,
        "appId": application.app_id,
        "createdDateTime": whole_seconds(application.created),
        "displayName": application.name,
        "publisherDomain": publisher,
        "signInAudience": application.audience,
        "tags": list(application.tags),
        "passwordCredentials": [secret_document(secret) for secret in secrets],
    }
    return {name: document[name] for name in select} if select else document


def secret_document(secret: ClientSecret) -> Document:
    """As every read shows it: without the value."""
    return {
        "customKeyIdentifier": None,
        "displayName": secret.display_name,
        "endDateTime": stamp(secret.end),
        "hint": secret.hint,
        "keyId": secret.key_id,
        "secretText": None,
        "startDateTime": stamp(secret.start),
    }


def new_secret_document(secret: ClientSecret, given: dict[str, str]) -> Document:
    """The answer to addPassword: the value for once, and given dates as they were given."""
    return {
        "@odata.context": f"{METADATA}#microsoft.graph.passwordCredential",
        **secret_document(secret),
        "endDateTime": given.get("endDateTime") or seven_digits(secret.end),
        "secretText": secret.value,
        "startDateTime": given.get("startDateTime") or seven_digits(secret.start),
    }


def whole_seconds(when: datetime) -> str:
    return f"{when:%Y-%m-%dT%H:%M:%SZ}"


def seven_digits(when: datetime) -> str:
    return f"{when:%Y-%m-%dT%H:%M:%S}.{when.microsecond:06}0Z"


def stamp(when: datetime) -> str:
    """With as many digits as it takes, so often with none."""
    if not when.microsecond:
        return whole_seconds(when)
    return f"{seven_digits(when)[:-1].rstrip('0')}Z"
