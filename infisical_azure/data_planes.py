"""Write to Key Vault and App Configuration as a connection's account."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

import requests

from . import transport
from .anew import raised_anew
from .claims import challenge_in
from .exceptions import Fault, RemoteError, UnavailableError
from .secret import Secret

KEY_VAULT = "Azure Key Vault"
APP_CONFIGURATION = "Azure App Configuration"
SERVICES = {KEY_VAULT, APP_CONFIGURATION}
# The newest versions of the two APIs that are recorded for these operations.
_VAULT_VERSION = "7.4"
_STORE_VERSION = "2023-11-01"
_REFERENCE = "application/vnd.microsoft.appconfig.keyvaultref+json;charset=utf-8"
_CODE = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,63}")


def set_vault_secret(
    vault: str,
    name: str,
    value: Secret,
    *,
    token: Secret,
    tags: dict[str, str],
    expires_at: datetime,
) -> None:
    """
    Make a new version of the secret of a vault, given by its URL.

    Raises RemoteError or UnavailableError. Source: azure-docs ``Set Secret``.
    """
    _put(
        f"{vault}/secrets/{name}?api-version={_VAULT_VERSION}",
        lambda: {
            "value": value.reveal(),
            "tags": tags,
            "attributes": {"exp": int(expires_at.timestamp())},
        },
        service=KEY_VAULT,
        token=token,
    )


def vault_secret_tags(vault: str, name: str, *, token: Secret) -> dict[str, Any]:
    """Return the tags of the newest version of a vault's secret; none without a secret."""
    return raised_anew(lambda: _vault_secret_tags(vault, name, token))


def _vault_secret_tags(vault: str, name: str, token: Secret) -> dict[str, Any]:
    url = f"{vault}/secrets/{name}/?api-version={_VAULT_VERSION}"
    response = transport.fetch(url, service=KEY_VAULT, auth=transport.Bearer(token))
    if response.status_code == 404:
        return {}
    if response.status_code != 200:
        error = _error(response, KEY_VAULT)
        if error.fault.error == "SecretDisabled":  # It can be replaced all the same.
            return {}
        raise error
    tags = transport.json_object(response, KEY_VAULT).get("tags")
    return tags if isinstance(tags, dict) else {}


def set_key_value(
    store: str, key: str, value: Secret, *, label: str, token: Secret, tags: dict[str, str]
) -> None:
    """
    Set a key-value of a store, given by its URL; the same once more changes nothing.

    Raises RemoteError or UnavailableError. Source: azure-docs ``rest-api-key-value``.
    """
    _put_key(store, key, label, lambda: {"value": value.reveal(), "tags": tags}, token)


def set_reference(
    store: str, key: str, secret: str, *, label: str, token: Secret, tags: dict[str, str]
) -> None:
    """
    Let a key of a store refer to the newest version of a vault's secret, given by its URL.

    Raises RemoteError or UnavailableError. Source: azure-docs
    ``use-key-vault-references-dotnet-core``.
    """
    body = {"value": json.dumps({"uri": secret}), "content_type": _REFERENCE, "tags": tags}
    _put_key(store, key, label, lambda: body, token)


def _put_key(
    store: str, key: str, label: str, body: Callable[[], dict[str, Any]], token: Secret
) -> None:
    where = f"&label={quote(label, safe='')}" if label else ""
    _put(
        f"{store}/kv/{quote(key, safe='')}?api-version={_STORE_VERSION}{where}",
        body,
        service=APP_CONFIGURATION,
        token=token,
        media_type="application/vnd.microsoft.appconfig.kv+json",
    )


def _put(
    url: str,
    body: Callable[[], dict[str, Any]],
    *,
    service: str,
    token: Secret,
    media_type: str = "application/json",
) -> None:
    auth, headers = transport.Bearer(token), {"Content-Type": media_type}

    def put() -> None:
        response = transport.send("PUT", url, body, service=service, auth=auth, headers=headers)
        if response.status_code != 200:
            raise _error(response, service)

    raised_anew(put)


def _error(response: requests.Response, service: str) -> RemoteError:
    try:
        data = transport.json_object(response, service)
    except UnavailableError:
        data = {}
    milliseconds = response.headers.get("retry-after-ms", "")
    in_milliseconds = milliseconds.isascii() and milliseconds.isdigit() and len(milliseconds) < 10
    fault = Fault(
        service=service,
        http_status=response.status_code,
        error=_code_of(data),
        correlation_id=transport.request_id(response, "x-ms-request-id"),
        claims=challenge_in(response.headers),
        retry_after=timedelta(milliseconds=int(milliseconds))
        if in_milliseconds
        else transport.retry_after(response),
    )
    is_transient = response.status_code in transport.TRANSIENT
    return UnavailableError(fault) if is_transient else RemoteError(fault)


def _code_of(data: dict[str, Any]) -> str:
    """Return Key Vault's innermost code, or the last word of App Configuration's type."""
    error = data.get("error")
    outer = error if isinstance(error, dict) else {}
    inner = outer.get("innererror")
    codes = [inner.get("code")] if isinstance(inner, dict) else []
    codes += [outer.get("code"), str(data.get("type", "")).rpartition("/")[2]]
    return next((str(code) for code in codes if _CODE.fullmatch(str(code or ""))), "")
