"""The control API's switches for applications and their client secrets."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from django.utils.crypto import constant_time_compare

from .application_answers import stamp
from .applications import ORGANIZATION_ONLY, Application, Applications, fixed_id
from .client_secrets import ClientSecret, seeded_secret
from .control import Body, Mistake, account_named, control, tenant_named
from .seeded_applications import make_application
from .state import STATE

_DAYS = (200, 365, 510)


@control("GET", "POST", "DELETE")
def applications(method: str, body: Body) -> object:
    """GET {"tenant"}: all, as they truly are, whatever readers see; never a secret's value.

    POST {"tenant", "name", "owners"?: [upn or oid], "audience"?, "secrets"?: [{"displayName"?,
    "days": ends in so many, "value"?}]}: one more. POST {"tenant", "count"}: so many more.
    DELETE {"tenant", "id"}: object id or appId.
    """
    directory = STATE.applications[tenant_named(body["tenant"]).id]
    if method == "GET":
        return [_shown(application) for application in directory.all()]
    if method == "DELETE":
        directory.remove(_named(directory, body["id"]))
        return None
    if "count" in body:
        directory.add_all(_invented(directory) for _ in range(int(body["count"])))
        return None
    owners = [account_named(name).oid for name in body.get("owners") or ()]
    audience = body.get("audience") or ORGANIZATION_ONLY
    application = _made(directory, str(body["name"]), owners, audience, body.get("secrets") or ())
    directory.add(application)
    return _shown(application)


@control("POST")
def directory(method: str, body: Body) -> None:
    """POST {switch: value, ...}: see Switches in directory_switches.py."""
    for name, value in body.items():
        STATE.switches.set(name, value)


@control("POST")
def graph_policy(method: str, body: Body) -> None:
    """POST {"tenant", "forbid_secrets"?: bool, "max_lifetime_days"?: n|null}."""
    policy = STATE.applications[tenant_named(body["tenant"]).id].policy
    policy.forbid_secrets = bool(body.get("forbid_secrets", policy.forbid_secrets))
    longest = body.get("max_lifetime_days", policy.max_lifetime_days)
    policy.max_lifetime_days = None if longest is None else float(longest)


@control("POST")
def secret_check(method: str, body: Body) -> object:
    """POST {"tenant", "app_id", "value"}: whether it truly works, or will when all lag is over."""
    directory = STATE.applications[tenant_named(body["tenant"]).id]
    now, value = STATE.now(), str(body["value"])
    secrets = _named(directory, body["app_id"]).secrets
    return {"works": any(s.works(now) and constant_time_compare(s.value, value) for s in secrets)}


def _named(directory: Applications, id_: str) -> Application:
    found = directory.find(id_) or directory.find_by_app_id(id_)
    if found is None:
        raise Mistake(f"unknown application {id_!r}")
    return found


def _made(
    directory: Applications,
    name: str,
    owners: Sequence[str],
    audience: str,
    secrets: Sequence[dict[str, Any]],
) -> Application:
    now = STATE.now()
    directory.added += 1
    id_ = fixed_id(directory.tenant_id, "added", directory.added)
    application = make_application(id_, name, now, owners=tuple(owners), audience=audience)
    application.secrets = [
        seeded_secret(
            fixed_id(id_, place),
            display_name=secret.get("displayName"),
            days=float(secret["days"]),
            now=now,
            value=secret.get("value") or "",
        )
        for place, secret in enumerate(secrets)
    ]
    return application


def _invented(directory: Applications) -> Application:
    number = directory.added + 1
    secret = {"displayName": "ci", "days": _DAYS[number % len(_DAYS)]}
    return _made(directory, f"Service {number:05}", (), ORGANIZATION_ONLY, [secret])


def _shown(application: Application) -> dict[str, object]:
    return {
        "id": application.id,
        "appId": application.app_id,
        "displayName": application.name,
        "signInAudience": application.audience,
        "owners": list(application.owners),
        "secrets": [_shown_secret(secret) for secret in application.secrets],
    }


def _shown_secret(secret: ClientSecret) -> dict[str, object]:
    return {
        "keyId": secret.key_id,
        "displayName": secret.display_name,
        "hint": secret.hint,
        "startDateTime": stamp(secret.start),
        "endDateTime": stamp(secret.end),
        "value_sha256": hashlib.sha256(secret.value.encode()).hexdigest(),
        "is_removed": secret.is_removed,
    }
