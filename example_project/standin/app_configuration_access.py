"""May this request enter the store, and may its person do this there?"""

from __future__ import annotations

from django.http import HttpRequest

from .app_configuration_answers import (
    Problem,
    challenged,
    invalid_argument,
    throttled,
    unauthorized,
)
from .bearer import Objection, objection_to, sent_token
from .data_plane import Hit
from .grants import AccessToken
from .places import Place
from .roles import DELETE, READ, WRITE
from .state import STATE
from .stores import Store

_VERSIONS = ["1.0", "2023-10-01", "2023-11-01", "2024-09-01", "2026-04-01"]
_SCOPES = {READ: "KeyValue.Read", WRITE: "KeyValue.Write", DELETE: "KeyValue.Delete"}
_SOON = 10
_WRONG_ISSUER = (
    "The access token is from the wrong issuer. It must match the AD tenant associated with the "
    "subscription to which the configuration store belongs. If you just transferred your "
    "subscription and see this error message, please try back later."
)


def check_access(request: HttpRequest, store: Store, place: Place, *, right: str, hit: Hit) -> None:
    """Let the request through, or raise what the store would answer."""
    milliseconds = _SOON if hit.seconds is None else 1000 * hit.seconds
    if hit.name == "unavailable":
        raise Problem(503, headers={"retry-after-ms": f"{milliseconds:.0f}"})
    if hit.name == "throttled":
        raise throttled(milliseconds)
    token = _check_token(request, store, place, hit)
    _check_version(request.GET.get("api-version", ""))
    allowed = STATE.roles.allow(token.account, store.name, right)
    if hit.name == "forbidden" or not allowed or _SCOPES[right] not in token.scopes:
        # Documented without a body.
        raise Problem(403)


def _check_token(request: HttpRequest, store: Store, place: Place, hit: Hit) -> AccessToken:
    objection = objection_to(
        request, audiences=place.audiences, tenant_id=store.tenant_id, fault=hit.name
    )
    token = sent_token(request)
    if objection is Objection.MISSING:
        raise unauthorized()
    if objection is Objection.CLAIMS:
        raise challenged()
    if objection is Objection.TENANT:
        raise unauthorized(_WRONG_ISSUER)
    if objection is not None or token is None:
        raise unauthorized("Authorization token failed validation")
    return token


def _check_version(version: str) -> None:
    if not version:
        raise invalid_argument(
            "api-version",
            "An API version is required, but was not specified.",
            title="API version is not specified",
        )
    if version not in _VERSIONS:
        raise invalid_argument(
            "api-version",
            f"The HTTP resource that matches the request URI does not support the API version "
            f"'{version}'.",
            title="Unsupported API version",
        )
