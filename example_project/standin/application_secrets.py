"""addPassword and removePassword: the client secrets of an application."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.http import HttpRequest

from .application_answers import Document, new_secret_document
from .applications import PERSONAL_TOO, Application, Policy
from .client_secrets import ClientSecret, Delay
from .graph_answers import GraphError
from .state import STATE

_GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,7})?)?(Z|[+-]\d\d:\d\d)")
_DATES = ("startDateTime", "endDateTime")
_MOST_WITH_PERSONAL_ACCOUNTS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What addPassword is asked for."""

    display_name: str | None
    start: datetime
    end: datetime
    # The dates as they were written.
    given: dict[str, str]


def add_password(request: HttpRequest, application: Application, policy: Policy) -> Document:
    wish = _read_wish(request)
    _check_policy(wish, policy)
    _check_room(application)
    _check_gap(application)
    now, switches = STATE.now(), STATE.switches
    secret = ClientSecret(
        value=STATE.grants.new_secret(),
        display_name=wish.display_name,
        start=wish.start,
        end=wish.end,
        added=_delay(now),
        removable_from=now + timedelta(seconds=switches.remove_lag),
        accepted_from=now + timedelta(seconds=switches.secret_lag),
        flaps=list(switches.secret_flaps),
    )
    application.secrets.append(secret)
    application.written_at = now
    STATE.journal.note(request, key_id=secret.key_id)
    return new_secret_document(secret, wish.given)


def remove_password(request: HttpRequest, application: Application, *, missing: bool) -> None:
    """missing: as if the directory had not heard of the secret."""
    body = _read_body(request, {"keyId"})
    key_id = body.get("keyId")
    if not isinstance(key_id, str) or not _GUID.fullmatch(key_id):
        raise _bad_request("Invalid value specified for property 'keyId' of type 'Edm.Guid'.")
    STATE.journal.note(request, key_id=key_id.lower())
    now, living = STATE.now(), application.living_secrets()
    secret = next((s for s in living if s.key_id == key_id.lower()), None)
    unheard = secret is None or (secret.removable_from is not None and now < secret.removable_from)
    if secret is None or unheard or missing:
        raise _bad_request(f"No password credential found with keyId {key_id}.")
    _check_gap(application)
    secret.removed = _delay(now)
    secret.works_until = now + timedelta(seconds=STATE.switches.removed_secret_works_for)
    application.written_at = now


def conflict() -> GraphError:
    return GraphError(
        409,
        "Directory_ConcurrencyViolation",
        "Error due to concurrent requests being made to the tenant. Please wait briefly and retry.",
    )


def _delay(now: datetime) -> Delay:
    switches = STATE.switches
    until = now + timedelta(seconds=switches.read_lag_seconds)
    return Delay(until=until, looks=switches.read_lag)


def _check_gap(application: Application) -> None:
    gap = timedelta(seconds=STATE.switches.write_gap)
    if application.written_at is not None and STATE.now() < application.written_at + gap:
        raise conflict()


def _check_policy(wish: Wish, policy: Policy) -> None:
    if policy.forbid_secrets:
        text = "Credential type not allowed as per assigned policy."
        raise GraphError(400, "CredentialTypeNotAllowedAsPerAppPolicy", text)
    longest = policy.max_lifetime_days
    if longest is not None and wish.end - wish.start > timedelta(days=longest):
        text = "Credential lifetime exceeds the max value allowed as per assigned policy."
        raise GraphError(400, "CredentialInvalidLifetimeAsPerAppPolicy", text)


def _check_room(application: Application) -> None:
    count = len(application.living_secrets())
    if application.audience in PERSONAL_TOO and count >= _MOST_WITH_PERSONAL_ACCOUNTS:
        raise _bad_request("You can only add a maximum of 2 encrypted credentials.")
    if count >= STATE.switches.max_secrets:
        raise GraphError(
            400,
            "Directory_ResourceSizeExceeded",
            "The size of the object has exceeded its limit. Please reduce the number of values "
            "and retry your request.",
        )


def _read_wish(request: HttpRequest) -> Wish:
    body = _read_body(request, {"passwordCredential"})
    wished = body.get("passwordCredential")
    if wished is None:
        wished = {}
    if not isinstance(wished, dict) or set(wished) - {"displayName", *_DATES}:
        raise _bad_request("Invalid value specified for property 'passwordCredential'.")
    if not isinstance(wished.get("displayName"), str | None):
        raise _bad_request("Invalid value specified for property 'displayName'.")
    given = {name: wished[name] for name in _DATES if wished.get(name) is not None}
    dates = {name: _read_date(name, text) for name, text in given.items()}
    start = dates.get("startDateTime", STATE.now())
    end = dates.get("endDateTime") or _two_years_after(start)
    if end <= max(start, STATE.now()):
        raise _bad_request("Key credential end date is invalid.")
    return Wish(display_name=wished.get("displayName"), start=start, end=end, given=given)


def _read_body(request: HttpRequest, known: set[str]) -> dict[str, Any]:
    try:
        body = json.loads(request.body)
    except ValueError as error:
        raise _bad_request("Unable to read JSON request payload.") from error
    if not isinstance(body, dict):
        raise _bad_request("Unable to read JSON request payload.")
    for name in sorted(set(body) - known):
        raise _bad_request(f"The parameter '{name}' in the request payload is not valid.")
    return body


def _read_date(name: str, text: object) -> datetime:
    """An OData date: with a zone, and up to seven digits of a second."""
    try:
        if isinstance(text, str) and _DATE.fullmatch(text):
            return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise _bad_request(f"Cannot convert the value of '{name}' to the type 'Edm.DateTimeOffset'.")


def _two_years_after(start: datetime) -> datetime:
    try:
        return start.replace(year=start.year + 2)
    except ValueError:  # The 29th of February.
        return start.replace(year=start.year + 2, day=28)


def _bad_request(message: str) -> GraphError:
    return GraphError(400, "Request_BadRequest", message)
