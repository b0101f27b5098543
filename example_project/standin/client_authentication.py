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
from .applications import Application
from .directory import CONTOSO_ID
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
    """The registered application's, for those who signed in to it from any tenant."""
    application = STATE.applications[CONTOSO_ID].find_by_app_id(client.client_id)
    if application is None:
        raise Refusal(700016, app=client.client_id, tenant=CONTOSO_ID)
    check_secret_of(application, client)


def check_secret_of(application: Application, client: Client) -> None:
    if not client.secret:
        raise Refusal(7000218)
    now = STATE.now()
    for secret in application.secrets:
        if not constant_time_compare(secret.value, client.secret):
            continue
        if not secret.is_removed and secret.end <= now:
            raise Refusal(7000222, app=application.app_id)
        if secret.is_accepted(now):
            return
    if _GUID.fullmatch(client.secret):
        raise Refusal(7000215, text=NOT_THE_ID, app=application.app_id)
    raise Refusal(7000215)
