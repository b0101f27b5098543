"""What can go wrong between two redirects, in the words of the person who sees it."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.db import Error as DatabaseError
from django.db import IntegrityError
from django.http import Http404
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from .anew import raised_anew
from .exceptions import (
    AuthorizationError,
    Fault,
    IdTokenError,
    Reaction,
    RemoteError,
    UnavailableError,
)
from .secret import Secret
from .text import is_guid


class Actor(enum.Enum):
    """Who must act."""

    YOU = _("You")
    ORGANIZATION_ADMIN = _("An administrator of this organization")
    OPERATOR = _("The operator of this site")
    TENANT_ADMIN = _("An administrator of your Azure directory")
    NOBODY = _("Nobody: waiting is enough")


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One outcome that is no connection; `code` is stored and logged."""

    code: str
    title: str | Promise
    what: str | Promise
    actor: Actor
    next_step: str | Promise
    admin_consent: bool = False
    """Whether the link for administrators of the tenant helps."""
    status: int = 400
    """Of the page, where it answers the callback itself: nothing was there to redirect to."""


CATALOGUE = {
    problem.code: problem
    for problem in (
        Problem(
            code="cancelled",
            title=_("You cancelled at Microsoft"),
            what=_("Microsoft sent you back without granting access. Nothing was saved."),
            actor=Actor.YOU,
            next_step=_(
                "Try again when you are ready. If Microsoft asked you for an administrator's "
                "approval, send the approval link below to one first."
            ),
            admin_consent=True,
        ),
        Problem(
            code="consent_declined",
            title=_("You declined the permissions"),
            what=_(
                "The connection needs the permissions that Microsoft showed. Nothing was saved."
            ),
            actor=Actor.YOU,
            next_step=_("Try again and choose Accept, or ask an administrator to approve for all."),
            admin_consent=True,
        ),
        Problem(
            code="admin_approval_needed",
            title=_("An administrator must approve first"),
            what=_(
                "Your Azure directory lets only administrators grant these permissions. "
                "Nothing was saved."
            ),
            actor=Actor.TENANT_ADMIN,
            next_step=_(
                "Send the approval link below to an administrator of the directory; "
                "when it is approved, try again."
            ),
            admin_consent=True,
        ),
        Problem(
            code="account_not_assigned",
            title=_("Your account may not use this application"),
            what=_("The Azure directory lets only assigned people sign in to it."),
            actor=Actor.TENANT_ADMIN,
            next_step=_(
                "Ask an administrator to assign you under Microsoft Entra ID, "
                "Enterprise applications, Users and groups; then try again."
            ),
        ),
        Problem(
            code="blocked_by_policy",
            title=_("A sign-in policy blocked the connection"),
            what=_("Conditional Access or security defaults of the Azure directory refused it."),
            actor=Actor.TENANT_ADMIN,
            next_step=_(
                "Give the ids below to an administrator: the sign-in logs of Microsoft "
                "Entra ID show which policy it was."
            ),
        ),
        Problem(
            code="interaction_needed",
            title=_("Microsoft wants you to sign in again"),
            what=_("The sign-in must be confirmed, for example with a second factor."),
            actor=Actor.YOU,
            next_step=_("Try again and complete every step that Microsoft shows."),
        ),
        Problem(
            code="wrong_tenant",
            title=_("That account belongs to another directory"),
            what=_(
                "Access was granted in another Azure directory than the one that you typed. "
                "Nothing was saved."
            ),
            actor=Actor.YOU,
            next_step=_("Try again with an account of the right directory, or correct its ID."),
        ),
        Problem(
            code="tenant_unknown",
            title=_("Microsoft doesn't know this directory"),
            what=_("There is no such directory in this Azure cloud."),
            actor=Actor.YOU,
            next_step=_(
                "Copy the Directory (tenant) ID from the Azure portal, under Microsoft "
                "Entra ID, Overview, and try again."
            ),
        ),
        Problem(
            code="client_secret_wrong",
            title=_("This site's client secret is wrong"),
            what=_(
                "Microsoft refused the client secret that this site uses for Azure. "
                "Your directory and your account are fine."
            ),
            actor=Actor.OPERATOR,
            next_step=_(
                "The operator must set INF_APP_CONNECTION_AZURE_CLIENT_SECRET to the secret's "
                "value. Then try again."
            ),
        ),
        Problem(
            code="client_secret_is_id",
            title=_("This site's client secret is an id, not a value"),
            what=_(
                "INF_APP_CONNECTION_AZURE_CLIENT_SECRET holds a GUID: the column "
                "“Secret ID” of the Azure portal instead of “Value”."
            ),
            actor=Actor.OPERATOR,
            next_step=_(
                "The operator must create a new client secret, since Azure shows a value only "
                "once, and set the variable to its value. Then try again."
            ),
        ),
        Problem(
            code="client_secret_expired",
            title=_("This site's client secret has expired"),
            what=_("Microsoft no longer accepts the client secret that this site uses for Azure."),
            actor=Actor.OPERATOR,
            next_step=_(
                "The operator must create a new client secret for the application in Azure and "
                "set INF_APP_CONNECTION_AZURE_CLIENT_SECRET to its value. Then try again."
            ),
        ),
        Problem(
            code="redirect_uri_mismatch",
            title=_("This site's address isn't registered in Azure"),
            what=_("The redirect URI of this site differs from the registered one."),
            actor=Actor.OPERATOR,
            next_step=_(
                "The operator must add the redirect URI of this site to the application in "
                "Azure, letter by letter, or correct SITE_URL. Then try again."
            ),
        ),
        Problem(
            code="application_missing",
            title=_("This site's application isn't usable in your directory"),
            what=_("Microsoft doesn't find the application, or it is disabled, in this directory."),
            actor=Actor.OPERATOR,
            next_step=_(
                "The operator must check INF_APP_CONNECTION_AZURE_CLIENT_ID, and that the "
                "application is enabled and supports accounts in any organizational directory."
            ),
        ),
        Problem(
            code="operator_setup",
            title=_("This site isn't set up correctly for Azure"),
            what=_("Microsoft refused the request as this site made it."),
            actor=Actor.OPERATOR,
            next_step=_("Give the ids below to the operator of this site."),
        ),
        Problem(
            code="code_rejected",
            title=_("The sign-in took too long"),
            what=_("Microsoft no longer accepts the answer that it sent you back with."),
            actor=Actor.YOU,
            next_step=_("Try again; you need not type anything a second time."),
        ),
        Problem(
            code="throttled",
            title=_("Microsoft is receiving too many requests"),
            what=_("It asks to wait a little. Nothing was saved."),
            actor=Actor.NOBODY,
            next_step=_("Try again in a few minutes."),
        ),
        Problem(
            code="microsoft_unavailable",
            title=_("Microsoft could not be reached"),
            what=_(
                "It did not answer in time, or not in a way that could be understood. "
                "Nothing was saved."
            ),
            actor=Actor.NOBODY,
            next_step=_("Try again in a few minutes."),
        ),
        Problem(
            code="id_token_invalid",
            title=_("Microsoft's answer could not be trusted"),
            what=_("The proof of who signed in did not pass its checks. Nothing was saved."),
            actor=Actor.OPERATOR,
            next_step=_(
                "Try again. If it happens again, tell the operator: the server's clock may be "
                "wrong, or something may be changing its traffic."
            ),
        ),
        Problem(
            code="account_mismatch",
            title=_("Microsoft answered for another account"),
            what=_("Microsoft Graph showed another account than the one that signed in."),
            actor=Actor.YOU,
            next_step=_("Try again. If it happens again, tell the operator of this site."),
        ),
        Problem(
            code="graph_refused",
            title=_("Microsoft Graph refused the access"),
            what=_("Access was granted, but a first request with it failed. Nothing was saved."),
            actor=Actor.TENANT_ADMIN,
            next_step=_("Try again; if it happens again, give an administrator the ids below."),
        ),
        Problem(
            code="refused",
            title=_("Microsoft refused the connection"),
            what=_("Nothing was saved."),
            actor=Actor.YOU,
            next_step=_("Try again. If it happens again, tell the operator the ids below."),
        ),
        Problem(
            code="approval_given",
            title=_("Thank you for your approval"),
            what=_("Microsoft reports that the permissions were approved for your directory."),
            actor=Actor.YOU,
            next_step=_("Tell the person who asked you: the connection can be made now."),
            status=200,
        ),
        Problem(
            code="approval_refused",
            title=_("The approval was not given"),
            what=_("Microsoft reports that the permissions were not approved."),
            actor=Actor.TENANT_ADMIN,
            next_step=_("Open the link again if that was a mistake."),
        ),
        Problem(
            code="state_unrecognised",
            title=_("This sign-in was not started here"),
            what=_(
                "It belongs to another browser or another person, has been cleaned up, or its "
                "address was changed on the way. Nothing was saved."
            ),
            actor=Actor.YOU,
            next_step=_("Start again from your organization's App Connections."),
        ),
        Problem(
            code="state_expired",
            title=_("This sign-in has expired"),
            what=_("It was started too long ago. Nothing was saved."),
            actor=Actor.YOU,
            next_step=_("Try again; you need not type anything a second time."),
        ),
        Problem(
            code="state_used",
            title=_("This sign-in was already completed"),
            what=_("Its answer works only once, and has been used."),
            actor=Actor.YOU,
            next_step=_("Look at your connections: it may well be there. If not, try again."),
        ),
        Problem(
            code="signed_out",
            title=_("You are signed out"),
            what=_("Your session ended while you were at Microsoft. Nothing was saved."),
            actor=Actor.YOU,
            next_step=_("Sign in and start again from your organization's App Connections."),
            status=403,
        ),
        Problem(
            code="permission_lost",
            title=_("You may no longer add connections"),
            what=_("Your rights in the organization changed meanwhile. Nothing was saved."),
            actor=Actor.ORGANIZATION_ADMIN,
            next_step=_("Ask an administrator of the organization for the right to add one."),
            status=403,
        ),
        Problem(
            code="account_switched",
            title=_("You signed in with another account"),
            what=_(
                "The connection acts as another account, or in another directory, than the "
                "one that you chose. Nothing was changed; it works as before."
            ),
            actor=Actor.YOU,
            next_step=_(
                "Try again with the connected account. To let the other one take over, tick "
                "the box that allows it."
            ),
        ),
        Problem(
            code="name_taken",
            title=_("The name was taken meanwhile"),
            what=_("Another connection got this name while you were at Microsoft."),
            actor=Actor.YOU,
            next_step=_("Choose another name and connect again."),
        ),
        Problem(
            code="connection_removed",
            title=_("The connection was removed meanwhile"),
            what=_("Somebody removed it while you were at Microsoft. Nothing was saved."),
            actor=Actor.YOU,
            next_step=_("Add a new connection if it is still needed."),
        ),
        Problem(
            code="too_many_connections",
            title=_("The organization has as many connections as it may have"),
            what=_("Others were added while you were at Microsoft. Nothing was saved."),
            actor=Actor.ORGANIZATION_ADMIN,
            next_step=_(
                "Remove a connection that is not needed, or ask the operator of this site to "
                "raise MAX_CONNECTIONS. Then connect again."
            ),
        ),
        Problem(
            code="storage_failed",
            title=_("The connection could not be stored"),
            what=_("Access was granted, but this site's database failed. Nothing was saved."),
            actor=Actor.NOBODY,
            next_step=_("Try again in a few minutes."),
            status=503,
        ),
        Problem(
            code="unexpected",
            title=_("Something went wrong on this site"),
            what=_("Nothing was saved."),
            actor=Actor.OPERATOR,
            next_step=_("Try again. If it happens again, tell the operator the ids below."),
            status=500,
        ),
    )
}

#: AADSTS numbers only choose the words; what may be done is decided without them.
_BY_AADSTS = {
    **dict.fromkeys((65004,), "consent_declined"),
    **dict.fromkeys((90094, 90095, 65001), "admin_approval_needed"),
    **dict.fromkeys((50105,), "account_not_assigned"),
    **dict.fromkeys((53000, 53001, 53002, 53003, 530035), "blocked_by_policy"),
    **dict.fromkeys((50076, 50078, 50079, 16000), "interaction_needed"),
    **dict.fromkeys((50020,), "wrong_tenant"),
    **dict.fromkeys((90002, 900439), "tenant_unknown"),
    **dict.fromkeys((7000215, 7000218), "client_secret_wrong"),
    **dict.fromkeys((7000222,), "client_secret_expired"),
    **dict.fromkeys((50011, 900971), "redirect_uri_mismatch"),
    **dict.fromkeys((700016, 7000112, 50194), "application_missing"),
    **dict.fromkeys((54005, 70008, 9002313, 501481, 700005), "code_rejected"),
}
_BY_ERROR = {
    "access_denied": "consent_declined",
    "consent_required": "admin_approval_needed",
    "login_required": "interaction_needed",
    "interaction_required": "interaction_needed",
    "invalid_client": "client_secret_wrong",
    "invalid_tenant": "tenant_unknown",
    "invalid_grant": "code_rejected",
    "cancel": "cancelled",
}
_BY_SUBERROR = {
    "consent_required": "admin_approval_needed",
    "basic_action": "interaction_needed",
    "message_only": "blocked_by_policy",
}
_BY_REACTION = {
    Reaction.OPERATOR: "operator_setup",
    Reaction.TENANT_ADMIN: "blocked_by_policy",
}


def find(code: str) -> Problem:
    """Return the problem with this code; one of an older release is unexpected."""
    return CATALOGUE.get(code, CATALOGUE["unexpected"])


def code_of(error: Exception, *, client_secret: Secret) -> str:
    """Return the code of the problem that an exception means to the person."""
    match error:
        case AuthorizationError():
            return error.code
        case RemoteError():
            code = _code_of_fault(error)
            is_wrong = code == "client_secret_wrong"
            if is_wrong and raised_anew(lambda: is_guid(client_secret.reveal())):
                return "client_secret_is_id"
            return code
        case IdTokenError():
            return "id_token_invalid"
        case Http404() | PermissionDenied():
            return "permission_lost"
        case SuspiciousOperation():
            return "state_unrecognised"  # More parameters than a browser brings.
        case IntegrityError():
            return "name_taken"
        case DatabaseError():
            return "storage_failed"
    return "unexpected"


def fault_of(error: Exception) -> Fault | None:
    """Return what the remote service said, where it was one that failed."""
    return error.fault if isinstance(error, RemoteError) else None


def _code_of_fault(error: RemoteError) -> str:
    fault = error.fault
    if isinstance(error, UnavailableError):
        return "throttled" if fault.is_throttle else "microsoft_unavailable"
    if fault.service != "Microsoft Entra ID":
        return "graph_refused"
    return (
        _BY_AADSTS.get(fault.aadsts or 0)
        or _BY_SUBERROR.get(fault.suberror)
        or _BY_ERROR.get(fault.error)
        or _BY_REACTION.get(error.reaction)
        or "refused"
    )
