"""How a connection is: what broke it, in whose hands it lies, and what to do."""

from __future__ import annotations

from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from .exceptions import DecryptionError, Reaction, RemoteError
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
    "cloud_disabled": _("The cloud of this connection is no longer enabled on this site."),
    "decryption_failed": _(
        "The stored access can't be opened: this site's FERNET_KEYS lack the key, or it was "
        "stored for another organization or cloud."
    ),
    "throttled": _("Microsoft asks to wait: there are too many requests for this directory."),
    "microsoft_unavailable": _("Microsoft does not answer, or not in a way that is understood."),
    "offline_access_missing": _("Access beyond the first hour was not granted."),
}

# AADSTS numbers choose words only (entra-docs reference-error-codes).
_BY_AADSTS = {
    70008: "grant_expired",
    700082: "grant_expired",
    50132: "password_changed",
    50133: "password_changed",
    50076: "sign_in_needed",
    50078: "sign_in_needed",
    50079: "sign_in_needed",
    70043: "sign_in_needed",
    700084: "sign_in_needed",
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
    fault, reaction = error.fault, error.reaction
    if "consent_required" in {fault.error, fault.suberror}:
        return Diagnosis(
            status=Status.NEEDS_ADMIN_APPROVAL if is_graph else Status.PERMISSION_MISSING,
            code="consent_missing",
            reaction=Reaction.TENANT_ADMIN,
            is_of_resource=True,
        )
    if not is_graph and fault.error in {"invalid_resource", "invalid_scope"}:
        return Diagnosis(
            status=Status.READY, code="resource_unknown", reaction=reaction, is_of_resource=True
        )
    if reaction is Reaction.RECONNECT:
        code = _BY_AADSTS.get(fault.aadsts or 0, "grant_revoked")
    else:
        code = code_of(error, client_secret=client_secret)
    fallback = "microsoft_unavailable" if reaction is Reaction.RETRY else "operator_setup"
    known = code if code in REASONS else fallback
    return Diagnosis(status=_BY_REACTION[reaction], code=known, reaction=reaction)


IDENTITY_CHANGED = Diagnosis(
    status=Status.NEEDS_RECONNECT, code="identity_changed", reaction=Reaction.RECONNECT
)


def reaction_of(connection: AppConnection) -> Reaction:
    """Return the reaction that led to the connection's status."""
    found = (reaction for reaction, status in _BY_REACTION.items() if status == connection.status)
    return next(found, Reaction.RETRY)


def advice_for(connection: AppConnection) -> Advice:
    return ADVICE[Status(connection.status)]


def reason_of(connection: AppConnection) -> str | Promise:
    """Return why the connection is not simply ready, or nothing."""
    return REASONS.get(connection.problem, "")
