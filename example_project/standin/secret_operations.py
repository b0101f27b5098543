"""What the operations on one secret do."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass

from django.http import HttpRequest

from .key_vault_answers import (
    Document,
    KeyVaultError,
    bad_parameter,
    bundle,
    conflict,
    deleted_not_found,
    deletion,
    not_found,
)
from .places import Place
from .state import STATE
from .vaults import Secret, Vault, Version

_NAME = re.compile("[0-9a-zA-Z-]{1,127}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    request: HttpRequest
    place: Place
    vault: Vault
    name: str = ""
    version: str = ""


Operation = Callable[[Call], Document | None]


def set_secret(call: Call) -> Document:
    check_name(call)
    body = _body(call)
    value = body.get("value")
    if not isinstance(value, str):
        raise bad_parameter("Property value is required.")
    secret = call.vault.find(call.name)
    if secret is not None:
        _check_settled(secret)
    version = Version(value=value, created=STATE.now(), updated=STATE.now())
    _describe(version, body)
    secret = call.vault.add(call.name, version)
    return bundle(call.place, secret, version, with_value=True)


def read_secret(call: Call) -> Document:
    secret, version = _find(call)
    if not version.enabled:
        text = "Operation get is not allowed on a disabled secret."
        raise KeyVaultError(403, "Forbidden", text, inner="SecretDisabled")
    return bundle(call.place, secret, version, with_value=True)


def update_secret(call: Call) -> Document:
    secret, version = _find(call)
    _describe(version, _body(call))
    version.updated = STATE.now()
    return bundle(call.place, secret, version, with_value=False)


def delete_secret(call: Call) -> Document:
    secret, version = _find(call)
    secret.deleted_at = STATE.now()
    secret.pending = STATE.looks_until_settled
    described = bundle(call.place, secret, version, with_value=False)
    return deletion(call.place, secret) | described


def read_deleted_secret(call: Call) -> Document:
    secret = _find_deleted(call)
    if secret.still_pending():
        raise deleted_not_found(call.name)
    described = bundle(call.place, secret, secret.latest, with_value=False)
    return deletion(call.place, secret) | described


def recover_secret(call: Call) -> Document:
    secret = _find_deleted(call)
    _check_deleted(secret)
    secret.deleted_at = None
    secret.pending = STATE.looks_until_settled
    return bundle(call.place, secret, secret.latest, with_value=False)


def purge_secret(call: Call) -> None:
    secret = _find_deleted(call)
    _check_deleted(secret)
    call.vault.purge(secret)


def check_name(call: Call) -> None:
    if not _NAME.fullmatch(call.name):
        raise bad_parameter(f"The request URI contains an invalid name: {call.name}")


def _find(call: Call) -> tuple[Secret, Version]:
    check_name(call)
    secret = call.vault.find(call.name)
    # Recovery takes a moment too.
    if secret is None or secret.deleted_at is not None or secret.still_pending():
        raise not_found(call.name, call.version)
    version = secret.version(call.version)
    if version is None:
        raise not_found(call.name, call.version)
    return secret, version


def _find_deleted(call: Call) -> Secret:
    check_name(call)
    secret = call.vault.find(call.name)
    if secret is None or secret.deleted_at is None:
        raise deleted_not_found(call.name)
    return secret


def _check_settled(secret: Secret) -> None:
    """A name can't be set while its secret is deleted, or on the way to or from there."""
    if secret.deleted_at is not None:
        _check_deleted(secret)
        raise conflict(
            f"Secret {secret.name} is currently in a deleted but recoverable state, and its name "
            "cannot be reused; in this state, the secret can only be recovered or purged.",
            "ObjectIsDeletedButRecoverable",
        )
    if secret.still_pending():
        raise conflict(
            f"Secret {secret.name} is currently being recovered and cannot be re-created; retry "
            "later.",
            "ObjectIsBeingRecovered",
        )


def _check_deleted(secret: Secret) -> None:
    if secret.still_pending():
        raise conflict(
            f"Secret {secret.name} is currently being deleted and cannot be re-created; retry "
            "later.",
            "ObjectIsBeingDeleted",
        )


def _body(call: Call) -> Document:
    try:
        body = json.loads(call.request.body)
    except ValueError as error:
        raise bad_parameter("The request body is not valid JSON.") from error
    if not isinstance(body, dict):
        raise bad_parameter("The request body is not a JSON object.")
    return body


def _describe(version: Version, body: Document) -> None:
    """Take over what the body says about the version, and leave the rest."""
    attributes = body.get("attributes") or {}
    tags = body.get("tags")
    content_type = body.get("contentType")
    if not isinstance(attributes, dict) or not isinstance(tags, dict | None):
        raise bad_parameter("Property has invalid value")
    if not isinstance(content_type, str | None):
        raise bad_parameter("Property has invalid value")
    version.enabled = bool(attributes.get("enabled", version.enabled))
    version.not_before = attributes.get("nbf", version.not_before)
    version.expires = attributes.get("exp", version.expires)
    version.tags = version.tags if tags is None else tags
    version.content_type = version.content_type if content_type is None else content_type
