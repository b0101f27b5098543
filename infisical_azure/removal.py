"""Remove a connection, once nothing of it is under way, and tell what stays in Azure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast
from uuid import UUID

from django.db import transaction
from django.utils import timezone
from django.utils.formats import localize
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from . import obstacles, rotation
from .exceptions import InfisicalAzureError
from .models import AppConnection, RefreshToken, RotatedSecret, database

if TYPE_CHECKING:
    from datetime import datetime

    from django.contrib.auth.models import User


class NotRemovedError(InfisicalAzureError):
    """The connection must stay for now; `advice` says why, in words for people."""

    def __init__(self, advice: str | Promise) -> None:
        super().__init__(str(advice))
        self.advice = str(advice)


class RemovedBeforeError(NotRemovedError):
    """Somebody else has removed the connection."""

    def __init__(self) -> None:
        super().__init__(_("Somebody else has removed it."))


@dataclass(frozen=True, slots=True, kw_only=True)
class Staying:
    """A client secret that this site made, and that stays valid without the connection."""

    name: str
    application_name: str
    app_id: UUID
    key_id: UUID | None
    expires_at: datetime
    is_uncertain: bool = False
    """Whether Microsoft has never said that it exists."""

    @property
    def told(self) -> str:
        """The sentence for people."""
        text = _("The client secret “%(name)s” of %(application)s stays valid until %(at)s.")
        if self.is_uncertain:
            text = _(
                "The client secret “%(name)s” of %(application)s may exist until %(at)s: "
                "Microsoft did not say so."
            )
        application = self.application_name or self.app_id
        at = localize(timezone.localtime(self.expires_at).date())
        return text % {"name": self.name, "application": application, "at": at}


def what_stays(connection: AppConnection) -> list[Staying]:
    """Return the client secrets that stay valid, those that expire first coming first."""
    found = [*_rotated(connection), *_issued(connection)]
    return sorted(found, key=lambda secret: (secret.expires_at, secret.name))


def remove(connection: AppConnection, *, user: User | None = None) -> None:
    """
    End the connection's rotations in Azure, then delete it with all its tokens.

    Raises NotRemovedError while something of it is under way, and RemovedBeforeError.
    Call it outside of transactions: it asks Microsoft.
    """
    end(connection, user=user)
    delete(connection, user=user)


def end(connection: AppConnection, *, user: User | None = None) -> None:
    """Do what comes before `delete`: end the rotations; raise NotRemovedError."""
    if connection.issued_secrets.under_way().exists():
        raise NotRemovedError(obstacles.BEING_ISSUED)
    if not rotation.end_all(connection, user):
        raise NotRemovedError(obstacles.NOT_ALL_ENDED)


def delete(connection: AppConnection, *, user: User | None = None) -> None:
    """Delete a connection whose rotations are ended; raise what `remove` raises."""
    with transaction.atomic(using=database()):
        # The order of all who lock both: a refresh saves the token first, then the connection.
        RefreshToken.objects.overtake(connection)
        if not connection.lock():
            raise RemovedBeforeError
        # Asked again under the lock, which whoever issues a client secret takes first.
        if connection.issued_secrets.under_way().exists():
            raise NotRemovedError(obstacles.BEING_ISSUED)
        if connection.rotations.exists():
            raise NotRemovedError(obstacles.NOT_ALL_ENDED)
        connection.removed_by = user
        connection.delete()


def _rotated(connection: AppConnection) -> list[Staying]:
    """Return what rotations leave: all but what has certainly arrived nowhere."""
    in_use = (RotatedSecret.State.CURRENT, RotatedSecret.State.RETIRING)
    rows = RotatedSecret.objects.filter(
        rotation__connection=connection, expires_at__gt=timezone.now()
    )
    rows = rows.exclude(state=RotatedSecret.State.REMOVED).select_related("rotation")
    return [
        Staying(
            name=row.marker,
            application_name=row.rotation.application_name,
            app_id=row.rotation.app_id,
            key_id=row.key_id,
            expires_at=cast("datetime", row.expires_at),
        )
        for row in rows
        if row.state in in_use or row.offered_at is not None
    ]


def _issued(connection: AppConnection) -> list[Staying]:
    """Return what people had issued, unless the directory has been read without it since."""
    return [
        Staying(
            name=row.name,
            application_name=row.application_name,
            app_id=row.app_id,
            key_id=row.key_id,
            expires_at=row.expires_at,
            is_uncertain=row.is_uncertain,
        )
        for row in connection.issued_secrets.alive()
    ]
