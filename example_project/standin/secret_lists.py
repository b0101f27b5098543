"""Lists of secrets, of versions and of deleted secrets, page by page."""

from __future__ import annotations

import base64
import binascii
from urllib.parse import urlencode

from .key_vault_answers import (
    Document,
    bad_parameter,
    deletion,
    not_found,
    secret_item,
    version_item,
)
from .secret_operations import Call, check_name
from .vaults import PAGE_SIZE


def list_secrets(call: Call) -> Document:
    secrets = call.vault.sorted(deleted=False)
    return _page(call, [(s.name.lower(), secret_item(call.place, s)) for s in secrets], "secrets")


def list_versions(call: Call) -> Document:
    check_name(call)
    secret = call.vault.find(call.name)
    if secret is None or secret.deleted_at is not None:
        raise not_found(call.name)
    # By id: nobody may count on finding the newest at a certain place.
    versions = sorted(secret.versions, key=lambda version: version.id)
    items = [(v.id, version_item(call.place, secret, v)) for v in versions]
    return _page(call, items, f"secrets/{call.name}/versions")


def list_deleted_secrets(call: Call) -> Document:
    items = [
        (secret.name.lower(), deletion(call.place, secret) | secret_item(call.place, secret))
        for secret in call.vault.sorted(deleted=True)
    ]
    return _page(call, items, "deletedsecrets")


def _page(call: Call, items: list[tuple[str, Document]], path: str) -> Document:
    """The items from the marker on; each item comes with what marks it."""
    size = _size(call)
    marker = _marker(call)
    rest = [pair for pair in items if pair[0] >= marker]
    shown, following = rest[:size], rest[size:]
    return {
        "value": [item for _, item in shown],
        "nextLink": _link(call, path, following[0][0]) if following else None,
    }


def _size(call: Call) -> int:
    text = call.request.GET.get("maxresults", str(PAGE_SIZE))
    if not text.isdecimal() or not 1 <= int(text) <= PAGE_SIZE:
        raise bad_parameter(f"maxresults must be between 1 and {PAGE_SIZE}")
    return int(text)


def _marker(call: Call) -> str:
    token = call.request.GET.get("$skiptoken", "")
    try:
        return base64.urlsafe_b64decode(token).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise bad_parameter("The skiptoken is not valid.") from error


def _link(call: Call, path: str, marker: str) -> str:
    query = {
        "api-version": call.request.GET["api-version"],
        "$skiptoken": base64.urlsafe_b64encode(marker.encode()).decode(),
    }
    if "maxresults" in call.request.GET:
        query["maxresults"] = call.request.GET["maxresults"]
    return f"{call.place.url}/{path}?{urlencode(query, safe='$')}"
