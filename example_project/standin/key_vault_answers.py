"""Key Vault's shapes: bundles, lists, errors, challenges and headers."""

from __future__ import annotations

import base64
import uuid
from datetime import datetime

from django.http import HttpRequest, HttpResponse, JsonResponse

from .aadsts import CHALLENGE
from .graph_answers import CAE_TEXT
from .places import Place
from .state import STATE
from .vaults import RECOVERABLE_DAYS, Secret, Version

Document = dict[str, object]


class KeyVaultError(Exception):
    """The vault says no."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        inner: str = "",
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.inner = status, code, message, inner
        self.headers = headers or {}

    def response(self) -> HttpResponse:
        error: Document = {"code": self.code, "message": self.message}
        if self.inner:
            error["innererror"] = {"code": self.inner}
        return JsonResponse({"error": error}, status=self.status, headers=self.headers)


def not_found(name: str, version: str = "") -> KeyVaultError:
    shown = f"{name}/{version}" if version else name
    return KeyVaultError(
        404,
        "SecretNotFound",
        f"A secret with (name/id) {shown} was not found in this key vault. If you recently deleted "
        "this secret you may be able to recover it using the correct recovery command. For help "
        "resolving this issue, please see https://go.microsoft.com/fwlink/?linkid=2125182",
    )


def deleted_not_found(name: str) -> KeyVaultError:
    return KeyVaultError(404, "SecretNotFound", f"Deleted Secret not found: {name}")


def bad_parameter(message: str) -> KeyVaultError:
    return KeyVaultError(400, "BadParameter", message)


def conflict(message: str, inner: str) -> KeyVaultError:
    return KeyVaultError(409, "Conflict", message, inner=inner)


def unauthorized(message: str, tenant_id: str, place: Place) -> KeyVaultError:
    """401 with the challenge from which clients learn the tenant and the resource."""
    challenge = f'authorization="{STATE.origin}/{tenant_id}", resource="{place.audiences[0]}"'
    headers = {"WWW-Authenticate": f"Bearer {challenge}"}
    return KeyVaultError(401, "Unauthorized", message, headers=headers)


def challenged() -> KeyVaultError:
    """Continuous access evaluation: the token is good no longer, sign in again."""
    claims = base64.b64encode(CHALLENGE.encode()).decode()
    challenge = (
        f'realm="", authorization_uri="{STATE.origin}/common/oauth2/authorize", '
        f'error="insufficient_claims", claims="{claims}"'
    )
    headers = {"WWW-Authenticate": f"Bearer {challenge}"}
    return KeyVaultError(401, "Unauthorized", CAE_TEXT, headers=headers)


def bundle(place: Place, secret: Secret, version: Version, *, with_value: bool) -> Document:
    """One version in full; the answers to PATCH and DELETE leave the value out."""
    value: Document = {"value": version.value} if with_value else {}
    return value | _item(version, f"{place.id_url}/secrets/{secret.name}/{version.id}")


def version_item(place: Place, secret: Secret, version: Version) -> Document:
    return _item(version, f"{place.id_url}/secrets/{secret.name}/{version.id}")


def secret_item(place: Place, secret: Secret) -> Document:
    return _item(secret.latest, f"{place.id_url}/secrets/{secret.name}")


def deletion(place: Place, secret: Secret) -> Document:
    """What makes a bundle or an item one of a deleted secret."""
    return {
        "recoveryId": f"{place.id_url}/deletedsecrets/{secret.name}",
        "deletedDate": _epoch(secret.deleted_at),
        "scheduledPurgeDate": _epoch(secret.purged_at),
    }


def add_headers(request: HttpRequest, response: HttpResponse) -> None:
    response["Cache-Control"] = "no-cache"
    response["Pragma"] = "no-cache"
    response["Expires"] = "-1"
    response["Strict-Transport-Security"] = "max-age=31536000;includeSubDomains"
    response["X-Content-Type-Options"] = "nosniff"
    response["x-ms-keyvault-region"] = "stand-in"
    response["x-ms-keyvault-service-version"] = "1.9.2203.1"
    response["x-ms-request-id"] = str(uuid.uuid4())
    sent = request.headers.get("x-ms-client-request-id")
    if sent:
        response["x-ms-client-request-id"] = sent
    if response.headers.get("Content-Type") == "application/json":
        response["Content-Type"] = "application/json; charset=utf-8"


def _item(version: Version, id_: str) -> Document:
    attributes: Document = {"enabled": version.enabled}
    if version.not_before is not None:
        attributes["nbf"] = version.not_before
    if version.expires is not None:
        attributes["exp"] = version.expires
    attributes |= {
        "created": _epoch(version.created),
        "updated": _epoch(version.updated),
        "recoveryLevel": "Recoverable+Purgeable",
        "recoverableDays": RECOVERABLE_DAYS,
    }
    item: Document = {"id": id_, "attributes": attributes}
    if version.content_type is not None:
        item["contentType"] = version.content_type
    if version.tags is not None:
        item["tags"] = version.tags
    return item


def _epoch(when: datetime | None) -> int | None:
    return None if when is None else int(when.timestamp())
