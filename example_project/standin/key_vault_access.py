"""May this request enter the vault, and may its person do this there?"""

from __future__ import annotations

from django.http import HttpRequest

from .bearer import Objection, objection_to, sent_token
from .data_plane import Hit
from .grants import AccessToken
from .key_vault_answers import KeyVaultError, bad_parameter, challenged, unauthorized
from .places import Place
from .roles import DELETE, LIST, PURGE, READ, RECOVER, WRITE
from .state import STATE
from .vaults import Vault

_VERSIONS = (
    *("2016-10-01", "7.0", "7.1", "7.2", "7.3", "7.4", "7.5", "7.6"),
    *("2025-07-01", "2026-04-01"),
)
_ACTIONS = {
    READ: "getSecret/action",
    LIST: "readMetadata/action",
    WRITE: "setSecret/action",
    DELETE: "delete",
    RECOVER: "recover/action",
    PURGE: "purge/action",
}


def check_access(
    request: HttpRequest, vault: Vault, place: Place, *, right: str, name: str, hit: Hit
) -> None:
    """Let the request through, or raise what the vault would answer."""
    _check_availability(hit)
    token = _check_token(request, vault, place, hit)
    version = request.GET.get("api-version", "")
    if not version:
        raise bad_parameter("The api-version query parameter is required.")
    if version not in _VERSIONS:
        raise bad_parameter(
            f"The specified version ({version}) is not recognized. Consider using the latest "
            f"supported version ({_VERSIONS[-1]})."
        )
    if hit.name == "forbidden_by_firewall":
        raise _forbidden_by_firewall(request, vault, token)
    allowed = STATE.roles.allow(token.account, vault.name, right)
    if hit.name == "forbidden" or not allowed or "user_impersonation" not in token.scopes:
        raise _forbidden_by_rbac(vault, token, right, name)


def _check_availability(hit: Hit) -> None:
    if hit.name == "unavailable":
        text = "The service is temporarily unavailable. Please retry later."
        raise KeyVaultError(503, "ServiceUnavailable", text)
    if hit.name == "throttled":
        # Key Vault gives no hint: clients are told to wait 1, 2, 4, 8 and 16 seconds.
        hint = {} if hit.seconds is None else {"Retry-After": f"{hit.seconds:.0f}"}
        text = "Request was not processed because too many requests were received. Reason: "
        text += "VaultRequestTypeLimitReached"
        raise KeyVaultError(429, "Throttled", text, headers=hint)


def _check_token(request: HttpRequest, vault: Vault, place: Place, hit: Hit) -> AccessToken:
    objection = objection_to(
        request, audiences=place.audiences, tenant_id=vault.tenant_id, fault=hit.name
    )
    token = sent_token(request)
    if objection is Objection.CLAIMS:
        raise challenged()
    if objection is not None or token is None:
        text = _text(objection or Objection.UNKNOWN, token, vault, place)
        raise unauthorized(text, vault.tenant_id, place)
    return token


def _text(objection: Objection, token: AccessToken | None, vault: Vault, place: Place) -> str:
    if objection is Objection.MISSING:
        return "AKV10000: Request is missing a Bearer or PoP token."
    if objection is Objection.EXPIRED:
        return "Error validating token: IDX10223: Lifetime validation failed. Token is expired."
    if token is None or objection is Objection.UNKNOWN:
        return "AKV10046: Unable to resolve the key used for signature validation."
    if objection is Objection.AUDIENCE:
        return (
            f"AKV10022: Invalid audience. Expected {place.audiences[0]}, found: {token.audience}."
        )
    return (
        f"AKV10032: Invalid issuer. Expected one of {_issuer(vault.tenant_id)}, "
        f"found {_issuer(token.account.tenant_id)}."
    )


def _issuer(tenant_id: str) -> str:
    return f"https://sts.windows.net/{tenant_id}/"


def _caller(token: AccessToken) -> str:
    account = token.account
    return f"Caller: appid={STATE.app.client_id};oid={account.oid};iss={_issuer(account.tenant_id)}"


def _forbidden_by_rbac(vault: Vault, token: AccessToken, right: str, name: str) -> KeyVaultError:
    resource = (
        "/subscriptions/00000000-0000-0000-0000-000000000000/resourcegroups/stand-in/providers/"
        f"microsoft.keyvault/vaults/{vault.name}"
    )
    lines = (
        "Caller is not authorized to perform action on resource.",
        "If role assignments, deny assignments or role definitions were changed recently, please "
        "observe propagation time.",
        _caller(token),
        f"Action: 'Microsoft.KeyVault/vaults/secrets/{_ACTIONS[right]}'",
        f"Resource: '{resource}/secrets/{name}'" if name else f"Resource: '{resource}'",
        "Assignment: (not found)",
        "DenyAssignmentId: null",
        "DecisionReason: 'DeniedWithNoValidRBAC' ",
        f"Vault: {vault.name};location=standin",
        "",
    )
    return KeyVaultError(403, "Forbidden", "\r\n".join(lines), inner="ForbiddenByRbac")


def _forbidden_by_firewall(request: HttpRequest, vault: Vault, token: AccessToken) -> KeyVaultError:
    lines = (
        "Client address is not authorized and caller is not a trusted service.",
        f"Client address: {request.META.get('REMOTE_ADDR', '')}",
        _caller(token),
        f"Vault: {vault.name};location=standin",
    )
    return KeyVaultError(403, "Forbidden", "\r\n".join(lines), inner="ForbiddenByFirewall")
