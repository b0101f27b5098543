"""How a connection is: what broke it, who must act, and what to do."""

from __future__ import annotations

from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from .exceptions import DecryptionError, Fault, Reaction, RemoteError, UnavailableError
from .models import AppConnection
from .problems import Actor, code_of
from .secret import Secret

Status = AppConnection.Status

#: Why a refresh failed, by the code that is stored.
REASONS: dict[str, str | Promise] = {
    "grant_revoked": _("The access was revoked at Microsoft."),
    "grant_expired": _("The access expired at Microsoft because it was not used."),
    "password_changed": _("The connected account's password expired or was changed."),
    "sign_in_needed": _("Microsoft wants the connected account to sign in again."),
    "identity_changed": _(
        "Microsoft answered for another account, directory or application than the connected "
        "one. Nothing of that answer was used."
    ),
    "consent_missing": _("A permission was never granted, or has been taken back."),
    "account_not_assigned": _(
        "The connected account is not assigned to an application in the Azure directory."
    ),
    "blocked_by_policy": _("A sign-in policy of the Azure directory blocks the connection."),
    "client_secret_wrong": _("Microsoft refuses this site's client secret."),
    "client_secret_is_id": _("This site's client secret is its id instead of its value."),
    "client_secret_expired": _("This site's client secret has expired."),
    "application_missing": _("This site's application is missing or disabled in Azure."),
    "operator_setup": _("Microsoft refuses the requests that this site makes."),
    "resource_unknown": _(
        "The Azure directory doesn't know the service: it was never used there, or its name "
        "is wrong."
    ),
    "api_not_registered": _(
        "This site's application is not registered for the service: its API permissions in "
        "Azure don't list it."
    ),
    "api_refused": _("Microsoft refuses the access for a reason that is not known here."),
    "cloud_disabled": _("The cloud of this connection is no longer enabled on this site."),
    "decryption_failed": _(
        "The stored access can't be opened: this site's FERNET_KEYS lack the key, or it was "
        "stored for another organization or cloud."
    ),
    "throttled": _("Microsoft asks to wait: there are too many requests for this directory."),
    "microsoft_unavailable": _("Microsoft does not answer, or not in a way that is understood."),
    "offline_access_missing": _("Access beyond the first hour was not granted."),
}

# AADSTS numbers about one API alone (entra-docs reference-error-codes): more exact than
# ``error`` and ``suberror``, which Entra does not always send.
_OF_AN_API = {
    **dict.fromkeys((50072, 50074, 50076, 50078, 50079, 50097, 50158), "sign_in_needed"),
    **dict.fromkeys((53000, 53001, 53002, 53003, 53011), "blocked_by_policy"),
    **dict.fromkeys((530003, 530032, 530035), "blocked_by_policy"),
    **dict.fromkeys((50105,), "account_not_assigned"),
    **dict.fromkeys((65001,), "consent_missing"),
    **dict.fromkeys((65005, 650053, 650056, 650057), "api_not_registered"),
    **dict.fromkeys((500011, 650052), "resource_unknown"),
}
_API_SUBERRORS = {"basic_action", "additional_action", "message_only", "consent_required"}
_API_ERRORS = {"interaction_required", "consent_required"}
# AADSTS numbers about the refresh token itself.
_OF_THE_GRANT = {
    **dict.fromkeys((50057, 50173, 70000), "grant_revoked"),
    **dict.fromkeys((70008, 700082), "grant_expired"),
    **dict.fromkeys((50132, 50133), "password_changed"),
    **dict.fromkeys((70043, 700084), "sign_in_needed"),
}
_GRANT_SUBERRORS = {"bad_token", "token_expired", "user_password_expired"}
# AADSTS numbers about this site's application, or the whole directory.
_OF_THE_SITE = {
    *(7000215, 7000216, 7000218, 7000222, 700025, 700027),
    *(50011, 50194, 90002, 700016, 7000112, 7000229),
}
# Who must act where the reason is known better than by ``error``.
_BY_CODE = {
    **dict.fromkeys(("blocked_by_policy", "account_not_assigned"), Reaction.TENANT_ADMIN),
    **dict.fromkeys(("consent_missing",), Reaction.TENANT_ADMIN),
    **dict.fromkeys(("api_not_registered", "resource_unknown"), Reaction.OPERATOR),
    **dict.fromkeys(("sign_in_needed",), Reaction.RECONNECT),
}
_BY_REACTION = {
    Reaction.RETRY: Status.RETRYING,
    Reaction.RECONNECT: Status.NEEDS_RECONNECT,
    Reaction.OPERATOR: Status.OPERATOR_MUST_ACT,
    Reaction.TENANT_ADMIN: Status.NEEDS_ADMIN_APPROVAL,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """What a failure means for the connection."""

    status: AppConnection.Status
    code: str
    reaction: Reaction
    is_of_resource: bool = False
    """Whether it says nothing of the tokens for other APIs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """What a person should know of a status."""

    actor: Actor | None
    next_step: str | Promise
    may_reconnect: bool = False


ADVICE = {
    Status.READY: Advice(actor=None, next_step=""),
    Status.PERMISSION_MISSING: Advice(
        actor=Actor.TENANT_ADMIN,
        next_step=_("Have the missing permissions approved, then reconnect."),
        may_reconnect=True,
    ),
    Status.RETRYING: Advice(
        actor=Actor.NOBODY, next_step=_("It is tried again by itself, ever less often.")
    ),
    Status.NEEDS_RECONNECT: Advice(
        actor=Actor.ORGANIZATION_ADMIN,
        next_step=_("Reconnect: sign in at Microsoft again. Name and history stay."),
        may_reconnect=True,
    ),
    Status.NEEDS_ADMIN_APPROVAL: Advice(
        actor=Actor.TENANT_ADMIN,
        next_step=_("Let an administrator of the directory approve or change the policy."),
        may_reconnect=True,
    ),
    Status.OPERATOR_MUST_ACT: Advice(
        actor=Actor.OPERATOR,
        next_step=_("Give the ids below to the operator of this site. It recovers by itself."),
    ),
}


def diagnose(
    error: RemoteError | DecryptionError, *, client_secret: Secret, is_graph: bool
) -> Diagnosis:
    """
    Say what a failed refresh means (entra.py's errors, or ours at decryption).

    What is wrong with one API, such as a missing consent, leaves the others working.
    """
    if isinstance(error, DecryptionError):
        return Diagnosis(
            status=Status.OPERATOR_MUST_ACT, code="decryption_failed", reaction=Reaction.OPERATOR
        )
    is_of_resource = _concerns_one_api(error, is_graph=is_graph)
    code = _code_of(error, client_secret=client_secret, is_of_resource=is_of_resource)
    reaction = _BY_CODE.get(code, error.reaction)
    status = _BY_REACTION[reaction]
    if is_of_resource and not is_graph:
        status = Status.PERMISSION_MISSING if code == "consent_missing" else Status.READY
    return Diagnosis(status=status, code=code, reaction=reaction, is_of_resource=is_of_resource)


def _concerns_one_api(error: RemoteError, *, is_graph: bool) -> bool:
    """
    Say whether an error concerns one API alone, so that the tokens for others go on.

    Policies and consents are an API's own. An error that is not understood concerns its API
    alone unless that is Graph, whose next refresh tells whether the grant has ended.
    """
    fault = error.fault
    if isinstance(error, UnavailableError):
        return fault.is_loop  # Entra counts the requests for one API.
    if fault.suberror in _GRANT_SUBERRORS or fault.aadsts in _OF_THE_SITE:
        return False
    if fault.aadsts in _OF_THE_GRANT and not fault.claims:
        return False
    is_about_api = (
        bool(fault.claims)
        or fault.error in _API_ERRORS
        or fault.suberror in _API_SUBERRORS
        or fault.aadsts in _OF_AN_API
    )
    # Without a number it is the client's authentication that failed (RFC 6749 5.2).
    is_about_site = fault.error == "invalid_client" and fault.aadsts is None
    return is_about_api or not (is_graph or is_about_site)


def _code_of(error: RemoteError, *, client_secret: Secret, is_of_resource: bool) -> str:
    """Return the code of the reason; numbers only make the words more exact."""
    fault, reaction = error.fault, error.reaction
    found = code_of(error, client_secret=client_secret)
    if isinstance(error, UnavailableError):
        return found
    if "consent_required" in {fault.error, fault.suberror}:
        return "consent_missing"
    exact = (_OF_AN_API | _OF_THE_GRANT).get(fault.aadsts or 0)
    if exact:
        return exact
    if is_of_resource:
        return _code_of_api(fault, reaction)
    if reaction is Reaction.RECONNECT:
        return "grant_revoked"
    fallback = "microsoft_unavailable" if reaction is Reaction.RETRY else "operator_setup"
    return found if found in REASONS else fallback


def _code_of_api(fault: Fault, reaction: Reaction) -> str:
    """Return why one API is refused, where no number says it better."""
    if fault.error in {"invalid_resource", "invalid_scope"}:
        return "resource_unknown"
    if reaction is Reaction.TENANT_ADMIN:
        return "blocked_by_policy"
    is_sign_in = fault.claims or fault.error in _API_ERRORS or fault.suberror in _API_SUBERRORS
    return "sign_in_needed" if is_sign_in else "api_refused"


IDENTITY_CHANGED = Diagnosis(
    status=Status.NEEDS_RECONNECT, code="identity_changed", reaction=Reaction.RECONNECT
)


def reaction_of(connection: AppConnection) -> Reaction:
    """Return the reaction that led to the connection's status."""
    found = (reaction for reaction, status in _BY_REACTION.items() if status == connection.status)
    return next(found, Reaction.RETRY)


def advice_on(reaction: Reaction) -> Advice:
    return ADVICE[_BY_REACTION[reaction]]


def advice_for(connection: AppConnection) -> Advice:
    return ADVICE[Status(connection.status)]


def reason_of(connection: AppConnection) -> str | Promise:
    """Return why the connection is not simply ready, or nothing."""
    return REASONS.get(connection.problem, "")
