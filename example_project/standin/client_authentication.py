"""Does the application know its secret?"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass, field
from urllib.parse import unquote_plus

from django.http import HttpRequest
from django.utils.crypto import constant_time_compare

from .aadsts import NOT_THE_ID
from .errors import Refusal
from .state import STATE

_GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    client_id: str
    secret: str = field(repr=False)


def read_client(request: HttpRequest) -> Client:
    """Client id and secret from the form, or from a Basic header."""
    scheme, _, encoded = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            decoded = base64.b64decode(encoded, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            decoded = ""
        client_id, _, secret = decoded.partition(":")
        return Client(client_id=unquote_plus(client_id), secret=unquote_plus(secret))
    return Client(
        client_id=request.POST.get("client_id", ""),
        secret=request.POST.get("client_secret", ""),
    )


def check_client_id(client: Client, tenant: str) -> None:
    if not client.client_id:
        raise Refusal(900144, parameter="client_id")
    if client.client_id.lower() != STATE.app.client_id:
        raise Refusal(700016, app=client.client_id, tenant=tenant)


def check_secret(client: Client) -> None:
    app = STATE.app
    if not client.secret:
        raise Refusal(7000218)
    for secret in app.secrets:
        if constant_time_compare(secret.value, client.secret):
            if secret.expires_at is not None and secret.expires_at <= STATE.now():
                raise Refusal(7000222, app=app.client_id)
            return
    if _GUID.fullmatch(client.secret):
        raise Refusal(7000215, text=NOT_THE_ID, app=app.client_id)
    raise Refusal(7000215)
