"""Why a directory can't be read or changed now, in the words of who sees it."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from . import health
from .exceptions import Reaction, RemoteError, TokenUnavailableError, UnavailableError
from .models import RotatedSecret, Rotation
from .problems import Actor, Problem

_AGAIN = _("Try again in a few minutes.")
_IDS = _("Try again. If it happens again, tell the operator the ids below.")

_BY_CODE = {
    problem.code: problem
    for problem in (
        Problem(
            code="Authorization_RequestDenied",
            title=_("The connected account may not do this"),
            what=_("Microsoft Graph says that the account's rights there do not suffice."),
            actor=Actor.TENANT_ADMIN,
            next_step=_(
                "Make the connected account an owner of the application, or give it the role "
                "Application Administrator. Then try again."
            ),
        ),
        Problem(
            code="Request_ResourceNotFound",
            title=_("The application is not there"),
            what=_("The directory has no such application: it was deleted, or only just made."),
            actor=Actor.YOU,
            next_step=_("Look for it in the list of applications."),
        ),
        Problem(
            code="CredentialTypeNotAllowedAsPerAppPolicy",
            title=_("The directory forbids client secrets"),
            what=_("An application management policy lets nobody add one to this application."),
            actor=Actor.TENANT_ADMIN,
            next_step=_("Ask for an exemption of this application from the policy."),
        ),
        Problem(
            code="CredentialInvalidLifetimeAsPerAppPolicy",
            title=_("The directory does not allow so long a lifetime"),
            what=_("An application management policy limits how long client secrets last."),
            actor=Actor.YOU,
            next_step=_("Choose a shorter lifetime."),
        ),
        Problem(
            code="Directory_ResourceSizeExceeded",
            title=_("The application is full"),
            what=_("It holds as many client secrets and other entries as the directory allows."),
            actor=Actor.YOU,
            next_step=_("Remove client secrets that have expired. Then try again."),
        ),
        Problem(
            code="Directory_ConcurrencyViolation",
            title=_("Somebody else is changing the application"),
            what=_("Microsoft Graph takes one change to an application at a time."),
            actor=Actor.NOBODY,
            next_step=_("Try again in a few seconds."),
        ),
    )
}
#: Those that another lifetime in the form avoids.
OF_LIFETIME = {"CredentialInvalidLifetimeAsPerAppPolicy"}
_THROTTLED = Problem(
    code="throttled",
    title=_("Microsoft is receiving too many requests"),
    what=_("It asks to wait a little."),
    actor=Actor.NOBODY,
    next_step=_AGAIN,
)
_UNAVAILABLE = Problem(
    code="microsoft_unavailable",
    title=_("Microsoft could not be reached"),
    what=_("It did not answer in time, or not in a way that could be understood."),
    actor=Actor.NOBODY,
    next_step=_AGAIN,
)
_REFUSED = Problem(
    code="graph_refused",
    title=_("Microsoft Graph refused the request"),
    what=_("It did not say why in a way that this site knows."),
    actor=Actor.TENANT_ADMIN,
    next_step=_IDS,
)
#: What was begun may have been done, though nobody said so.
UNCERTAIN = Problem(
    code="uncertain",
    title=_("Microsoft did not answer"),
    what=_("The change may have been made all the same."),
    actor=Actor.YOU,
    next_step=_(
        "Before you try again, look at the application's client secrets, "
        "now and once more in a minute."
    ),
)
UNCERTAIN_ISSUE = Problem(
    code="uncertain_issue",
    title=UNCERTAIN.title,
    what=_("The client secret may have been made all the same. Then nobody has seen its value."),
    actor=Actor.YOU,
    next_step=_(
        "Look at the application's client secrets, now and once more in a minute. "
        "If it is there, remove it. Then add another one."
    ),
)
SPENT = Problem(
    code="form_spent",
    title=_("This form was sent before"),
    what=_("It works once, and shows its client secret's value for a minute, until it is saved."),
    actor=Actor.YOU,
    next_step=_(
        "Look at the application's client secrets. If nobody has saved the value of the new one, "
        "remove it. Then add another one."
    ),
)
UNDER_WAY = Problem(
    code="under_way",
    title=_("The client secret is still being issued"),
    what=_("You have sent this form twice, and Microsoft has not answered the first time yet."),
    actor=Actor.YOU,
    next_step=_("Reload this page in a minute: it shows the value then."),
)
NOT_ENDED = _(
    "It is being worked on, or something of it may still turn up in Azure. Until then it is "
    "paused. Try again in a quarter of an hour."
)
#: Of a connection that is to be removed.
NOT_ALL_ENDED = _(
    "One of its rotations is being worked on, or something of it may still turn up in Azure. It "
    "is paused, and the others are ended. Try again in a quarter of an hour."
)
#: Of a connection that is to be removed, too.
BEING_ISSUED = _(
    "A client secret is being issued through it at this moment. Try again in a minute."
)
_ACTORS = {
    Reaction.RETRY: Actor.NOBODY,
    Reaction.RECONNECT: Actor.ORGANIZATION_ADMIN,
    Reaction.OPERATOR: Actor.OPERATOR,
    Reaction.TENANT_ADMIN: Actor.TENANT_ADMIN,
}


_WAITS = _("The new client secret waits. What is in use stays in use.")
_OF_ROTATION = {
    problem.code: problem
    for problem in (
        Problem(
            code="invalid_client",
            title=_("Microsoft does not accept the new client secret"),
            what=_("It was issued, but signing in with it fails for longer than is usual."),
            actor=Actor.NOBODY,
            next_step=_("It is tried again. Until it works, the old one stays in use."),
        ),
        Problem(
            code="current_secret_missing",
            title=_("Somebody removed the client secret that was in use"),
            what=_("It is no longer in the directory. A new one is made at once."),
            actor=Actor.ORGANIZATION_ADMIN,
            next_step=_("Find out who removed it: the directory's audit log knows."),
        ),
        Problem(
            code="unforeseen",
            title=_("Something failed that this site did not foresee"),
            what=_("It is a mistake in this site or in its settings."),
            actor=Actor.OPERATOR,
            next_step=_("The operator finds the failure in the site's log. It is tried again."),
        ),
        Problem(
            code="delivery_failed",
            title=_("This site did not take the new client secret"),
            what=_("Its own function for that failed. The old client secret stays in use."),
            actor=Actor.OPERATOR,
            next_step=_("The operator finds the failure in the site's log. It is tried again."),
        ),
        Problem(
            code="ForbiddenByRbac",
            title=_("The connected account may not write to the destination"),
            what=_WAITS,
            actor=Actor.TENANT_ADMIN,
            next_step=_(
                "Give the account the role Key Vault Secrets Officer, or App Configuration Data "
                "Owner, there. It is tried again."
            ),
        ),
        Problem(
            code="key-locked",
            title=_("The key in App Configuration is locked"),
            what=_WAITS,
            actor=Actor.TENANT_ADMIN,
            next_step=_("Unlock it in the store, under Configuration explorer. It is tried again."),
        ),
        Problem(
            code="ObjectIsDeletedButRecoverable",
            title=_("The vault's secret was deleted, and keeps its name"),
            what=_WAITS,
            actor=Actor.TENANT_ADMIN,
            next_step=_(
                "Recover it, or purge it: in the vault, under Secrets, Manage deleted secrets. "
                "It is tried again."
            ),
        ),
        Problem(
            code="ForbiddenByFirewall",
            title=_("The vault's firewall keeps this site out"),
            what=_WAITS,
            actor=Actor.TENANT_ADMIN,
            next_step=_("Let this site's address in: in the vault's settings, under Networking."),
        ),
    )
}
#: As it may also be that the name was mistyped: a vault that isn't there can't be reached.
_UNREACHED_DESTINATION = Problem(
    code="destination_unavailable",
    title=_("The destination could not be reached"),
    what=_WAITS,
    actor=Actor.YOU,
    next_step=_(
        "Check the names under “Delivered to”. If one is wrong, add the right destination and "
        "remove that one. Otherwise wait: it is tried again."
    ),
)
_MORE_OF_ROTATION = (_THROTTLED, _UNAVAILABLE, _UNREACHED_DESTINATION)
_REFUSED_BY_DESTINATION = Problem(
    code="destination_refused",
    title=_("The destination does not take the new client secret"),
    what=_WAITS,
    actor=Actor.TENANT_ADMIN,
    next_step=_(
        "See that it exists, and that the account has the role Key Vault Secrets Officer, or "
        "App Configuration Data Owner, there. It is tried again."
    ),
)


_MISSING_WHILE_PAUSED = Problem(
    code="current_secret_missing",
    title=_OF_ROTATION["current_secret_missing"].title,
    what=_("It is no longer in the directory, and nothing new is made while this is paused."),
    actor=Actor.ORGANIZATION_ADMIN,
    next_step=_(
        "Resume the rotation: a new one is made then. Find out who removed it: the directory's "
        "audit log knows."
    ),
)


def rotation_obstacle(rotation: Rotation) -> Problem | None:
    """Return what to tell a person of a rotation that fails; None where it works."""
    code = rotation.problem
    if not code:
        return None
    if code == _MISSING_WHILE_PAUSED.code and rotation.is_paused:
        return _MISSING_WHILE_PAUSED
    known = _OF_ROTATION | _BY_CODE | {one.code: one for one in _MORE_OF_ROTATION}
    if code in health.REASONS and code not in known:
        return Problem(
            code=code,
            title=_("The connection has no access at the moment"),
            what=health.REASONS[code],
            actor=Actor.ORGANIZATION_ADMIN,
            next_step=_("Open the connection: it says what to do."),
        )
    # What Entra says has an AADSTS number; else it is the destination that is written to then.
    is_delivered = rotation.secrets.filter(state=RotatedSecret.State.PROVEN).exists()
    is_destination = is_delivered and rotation.aadsts is None
    return known.get(code, _REFUSED_BY_DESTINATION if is_destination else _REFUSED)


def obstacle_of(error: RemoteError | TokenUnavailableError) -> Problem:
    """Return what to tell a person of a call to Graph that failed."""
    if isinstance(error, TokenUnavailableError):
        return Problem(
            code=error.problem,
            title=_("The connection has no access at the moment"),
            what=health.REASONS.get(error.problem, ""),
            actor=_ACTORS[error.reaction],
            next_step=_("Open the connection: it says what to do."),
        )
    if isinstance(error, UnavailableError):
        return _THROTTLED if error.fault.is_throttle else _UNAVAILABLE
    return _BY_CODE.get(error.fault.error, _REFUSED)
