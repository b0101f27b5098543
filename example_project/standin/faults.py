"""The one table of everything that can be made to go wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Where = Literal[
    "authorize",
    "token",
    "discovery",
    "jwks",
    # Any call of Graph; the other three only those that read applications, add or remove secrets.
    "graph",
    "graph_read",
    "graph_add",
    "graph_remove",
    "key_vault",
    "app_configuration",
]
Kind = Literal[
    "refusal", "transport", "body", "id_token", "redirect_error", "redirect", "graph", "data_plane"
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    name: str
    label: str
    where: Where
    kind: Kind
    code: int = 0
    # Whether a person may pick it for one sign-in, or only for the renewal after it.
    offered: bool = True
    offered_later: bool = False


# Refusals of the token endpoint: name, AADSTS code, label; "later" may hit the renewal.
_REFUSALS = (
    ("invalid_client_secret", 7000215, "The application's client secret is wrong", False),
    ("secret_id_used", 7000215, "The secret's id was sent instead of its value", False),
    ("secret_expired", 7000222, "The application's client secret has expired", False),
    ("app_missing", 700016, "The application is not known in this organization", False),
    ("redirect_mismatch", 50011, "The redirect address does not match", False),
    ("tenant_missing", 90002, "The tenant does not exist", False),
    ("consent_required", 65001, "Nobody has consented to the application", True),
    ("revoked", 50173, "The grant was revoked", True),
    ("mfa", 50076, "Multi-factor authentication is asked for", True),
    ("ca_block", 53003, "Conditional Access blocks the sign-in", True),
    ("sign_in_frequency", 70043, "The sign-in is too old for the organization's rules", True),
    ("inactive", 700082, "The grant was not used for 90 days", True),
    ("resource_missing", 500011, "The API does not exist in this organization", False),
    ("bad_scope", 70011, "The requested scope is not valid", False),
    ("loop", 50196, "Microsoft sees a request loop", False),
    ("throttled", 90055, "Too many requests (429, says when to retry)", True),
    ("throttled_without_retry_after", 90055, "Too many requests (429, no hint)", False),
    ("transient", 90033, "A transient error (503, as JSON)", False),
)
# Broken HTTP and what is shaped like an API: name, label, and the endpoints that can do it.
_Rows = tuple[tuple[str, str, tuple[Where, ...]], ...]
_DATA_PLANES: tuple[Where, ...] = ("key_vault", "app_configuration")
_SECRET_WRITES: tuple[Where, ...] = ("graph_add", "graph_remove")
_APPLICATIONS: tuple[Where, ...] = ("graph_read", *_SECRET_WRITES)
_ALL: tuple[Where, ...] = ("token", "discovery", "jwks", "graph", *_APPLICATIONS, *_DATA_PLANES)
_TRANSPORT: _Rows = (
    ("unavailable", "is down (503)", _ALL),
    ("html", "answers an HTML error page (500)", _ALL),
    ("html_200", "answers HTML with status 200", _ALL),
    ("empty", "answers an empty body", _ALL),
    ("huge", "answers five megabytes", _ALL),
    ("slow", "answers slowly", _ALL),
    ("drip", "answers one byte per second", _ALL),
    ("redirect", "redirects elsewhere", _ALL),
    ("truncated", "breaks off in the middle of its answer", _ALL),
    ("reset", "closes the connection", _ALL),
    ("lost", "does it, but closes the connection", _SECRET_WRITES),
    ("throttled", "says too many requests (429)", _ALL[1:]),
)
_NOUNS: dict[Where, str] = {
    "token": "Microsoft's token endpoint",
    "discovery": "Microsoft's configuration document",
    "jwks": "Microsoft's list of signing keys",
    "graph": "Microsoft Graph",
    "graph_read": "Microsoft Graph's list of applications",
    "graph_add": "Adding a client secret",
    "graph_remove": "Removing a client secret",
    "key_vault": "Key Vault",
    "app_configuration": "App Configuration",
}
_BODY = (
    ("no_refresh_token", "No refresh token is returned"),
    ("no_id_token", "No id token is returned"),
    ("narrow_scope", "The grant has too few permissions (only User.Read)"),
    ("without_user_read", "The grant lacks permission to read the account"),
    ("expires_in_missing", "The answer does not say when the token expires"),
    ("expires_in_string", "The token's lifetime is a string"),
    ("expires_in_zero", "The token's lifetime is zero"),
    ("expires_in_negative", "The token's lifetime is negative"),
    ("expires_in_huge", "The token's lifetime is absurdly long"),
    ("token_type_missing", "The answer has no token type"),
    ("access_token_missing", "The answer has no access token"),
)
_ID_TOKEN = (
    ("wrong_tenant", "The id token is from another organization"),
    ("wrong_nonce", "The id token answers another sign-in (nonce)"),
    ("wrong_audience", "The id token is for another application"),
    ("wrong_issuer", "The id token has another issuer"),
    ("wrong_signature", "The id token's signature is wrong"),
    ("alg_none", "The id token is not signed"),
    ("alg_hs256", "The id token is signed with the client secret"),
    ("expired_id_token", "The id token has expired"),
    ("future_id_token", "The id token is not valid yet"),
    ("missing_sub", "The id token lacks its subject (sub)"),
    ("missing_oid", "The id token lacks the account's id (oid)"),
    ("missing_tid", "The id token lacks the organization's id (tid)"),
    ("unknown_kid", "The id token names an unknown signing key"),
    ("other_at_hash", "The id token belongs to another access token"),
)
_REDIRECT_ERRORS = (
    ("authorize_server_error", "Microsoft reports a server error", 0),
    ("authorize_temporarily_unavailable", "Microsoft is temporarily unavailable", 0),
    ("authorize_declined", "Consent is declined", 65004),
    ("authorize_cancelled", "The sign-in is cancelled", 0),
    ("authorize_consent_required", "Consent is required", 65001),
    ("authorize_interaction_required", "More interaction is required", 50076),
    ("authorize_login_required", "Nobody is signed in", 50058),
    ("authorize_admin_approval", "An administrator has to approve", 90094),
)
_REDIRECTS = (
    ("iss_wrong", "The answer names another issuer"),
    ("code_missing", "The answer has no code"),
    ("code_duplicated", "The answer has two codes"),
    ("code_too_long", "The code is far too long"),
    ("code_invented", "The code is not one of Microsoft's"),
    ("state_missing", "The answer has no state"),
    ("state_altered", "The state was altered on the way"),
    ("error_and_code", "The answer has an error and a code"),
)
_GRAPH = (
    ("graph_unauthorized", "Microsoft Graph refuses the token (401)"),
    ("graph_claims_challenge", "Microsoft Graph asks for a new sign-in (401)"),
    ("graph_forbidden", "Microsoft Graph lacks a permission (403)"),
    ("graph_throttled_without_retry_after", "Microsoft Graph says too many requests, no hint"),
    ("graph_me_other_user", "Microsoft Graph names another user"),
    ("graph_other_organization", "Microsoft Graph names another organization"),
)
_APPLICATION: _Rows = (
    ("unauthorized", "is refused for the token (401)", _APPLICATIONS),
    ("claims_challenge", "asks for a new sign-in (401)", _APPLICATIONS),
    ("forbidden", "is not permitted (403)", _APPLICATIONS),
    ("not_found", "finds no such application (404)", _APPLICATIONS),
    ("throttled_without_retry_after", "is one request too many (429), no hint", _APPLICATIONS),
    ("page_expired", "does not know its page any more (400)", ("graph_read",)),
    ("conflict", "meets another write (409)", _SECRET_WRITES),
    ("key_missing", "finds no such client secret (400)", ("graph_remove",)),
)
_DATA_PLANE: _Rows = (
    ("unauthorized", "refuses the token (401)", _DATA_PLANES),
    ("claims_challenge", "asks for a new sign-in (401)", _DATA_PLANES),
    ("forbidden", "does not let the person do that (403)", _DATA_PLANES),
    ("forbidden_by_firewall", "does not let this address in (403)", ("key_vault",)),
)
_SHAPED: tuple[tuple[Kind, tuple[Where, ...], _Rows], ...] = (
    ("graph", _APPLICATIONS, _APPLICATION),
    ("data_plane", _DATA_PLANES, _DATA_PLANE),
)


def _table() -> dict[str, Fault]:
    faults = [
        Fault(name=n, label=label, where="token", kind="refusal", code=code, offered_later=later)
        for n, code, label, later in _REFUSALS
    ]
    faults += [
        Fault(
            name=name if where == "token" else f"{where}_{name}",
            label=f"{_NOUNS[where]} {label}",
            where=where,
            kind="transport",
            # The sign-in itself calls no data plane, and needs no application.
            offered=name != "drip" and where not in (*_APPLICATIONS, *_DATA_PLANES),
            offered_later=where == "token" and name in {"unavailable", "html", "reset", "slow"},
        )
        for where in _ALL
        for name, label, places in _TRANSPORT
        if where in places
    ]
    faults += [Fault(name=n, label=text, where="token", kind="body") for n, text in _BODY]
    faults += [Fault(name=n, label=text, where="token", kind="id_token") for n, text in _ID_TOKEN]
    faults += [
        Fault(name=n, label=text, where="authorize", kind="redirect_error", code=code)
        for n, text, code in _REDIRECT_ERRORS
    ]
    faults += [
        Fault(name=n, label=text, where="authorize", kind="redirect") for n, text in _REDIRECTS
    ]
    faults += [Fault(name=n, label=text, where="graph", kind="graph") for n, text in _GRAPH]
    faults += [
        Fault(
            name=f"{where}_{name}",
            label=f"{_NOUNS[where]} {label}",
            where=where,
            kind=kind,
            offered=False,
        )
        for kind, wheres, rows in _SHAPED
        for where in wheres
        for name, label, places in rows
        if where in places
    ]
    return {fault.name: fault for fault in faults}


FAULTS = _table()
GROUPS: tuple[tuple[str, Where], ...] = (
    ("On the way back to the application", "authorize"),
    ("When the application fetches its tokens", "token"),
    ("When the application reads Microsoft's configuration", "discovery"),
    ("When the application fetches the signing keys", "jwks"),
    ("When the application calls Microsoft Graph", "graph"),
)
LATER = "later:"
CALLS: tuple[tuple[str, Where], ...] = (
    ("When applications are read", "graph_read"),
    ("When a client secret is added", "graph_add"),
    ("When a client secret is removed", "graph_remove"),
    ("When Key Vault is called", "key_vault"),
    ("When App Configuration is called", "app_configuration"),
)


def menu_of_calls() -> list[tuple[str, list[tuple[str, str]]]]:
    """Option groups for the front page: what may go wrong once people have signed in."""
    return [
        (heading, [(f.name, f.label) for f in FAULTS.values() if f.where == where])
        for heading, where in CALLS
    ]


def menu() -> list[tuple[str, list[tuple[str, str]]]]:
    """Option groups for the sign-in page: heading, then value and label of each."""
    groups = [
        (heading, [(f.name, f.label) for f in FAULTS.values() if f.where == where and f.offered])
        for heading, where in GROUPS
    ]
    later = [(LATER + f.name, f.label) for f in FAULTS.values() if f.offered_later]
    return [*groups, ("Later, when the application renews its tokens", later)]
