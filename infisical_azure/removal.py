"""Remove connections, once nothing of them is under way, and tell what stays in Azure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from django.core.exceptions import ImproperlyConfigured
from django.db import models, transaction
from django.utils import timezone
from django.utils.formats import localize
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from . import calendar_links, obstacles, rotation
from .exceptions import InfisicalAzureError
from .models import (
    AppConnection,
    Authorization,
    Feed,
    RefreshToken,
    RotatedSecret,
    Rotation,
    database,
)

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """How far `remove_all` has come."""

    removed: int
    """So many connections."""
    waiting: tuple[str, ...]
    """The names of the connections that could not be removed yet, each with the reason."""
    staying: tuple[Staying, ...]
    """The client secrets that stay valid in Azure until they expire, or are removed there."""

    @property
    def is_done(self) -> bool:
        """Whether the organization can be deleted now."""
        return not self.waiting


def remove_all(organization: models.Model, *, user: User | None = None) -> Report:
    """
    End all that an organization has here, so that it can be deleted.

    Sign-ins under way and calendar links are deleted, rotations ended in Azure as far as it
    lets us, then each connection is removed by itself with its tokens and values. Client
    secrets that are or may be in use stay valid; the report lists them. Call it outside of
    transactions, and again, a quarter of an hour later, where the report is not done or the
    process died: it goes on where it was.
    """
    Authorization.objects.filter(organization=organization).delete()
    calendar_links.end(Feed.objects.filter(organization=organization), by=user)
    removed, waiting, staying = 0, list[str](), list[Staying]()
    for connection in AppConnection.objects.of(organization).order_by("name"):
        staying += what_stays(connection)
        for made in connection.rotations.all():
            staying += _left_behind(made, user)
        try:
            remove(connection, user=user)
            removed += 1
        except RemovedBeforeError:
            continue
        except NotRemovedError as error:
            waiting.append(f"{connection}: {error.advice}")
    return Report(removed=removed, waiting=tuple(waiting), staying=tuple(staying))


def _left_behind(made: Rotation, user: User | None) -> list[Staying]:
    """End a rotation; return the client secret that it has begun and that can't be removed."""
    begun = made.secrets.filter(state__in=RotatedSecret.PENDING, offered_at=None).first()
    try:
        rotation.end(made.pk, user=user)
    except (InfisicalAzureError, ImproperlyConfigured):
        if begun is not None and (begun.key_id or begun.asked_at):
            return [_staying(begun)]
    return []


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
        # In the order of a refresh, which saves the token first, then the connection.
        RefreshToken.objects.overtake(connection)
        if not connection.lock():
            raise RemovedBeforeError
        # Asked again under the lock, which comes before a client secret or a rotation is begun.
        if connection.issued_secrets.under_way().exists():
            raise NotRemovedError(obstacles.BEING_ISSUED)
        if connection.rotations.exists():
            raise NotRemovedError(obstacles.NOT_ALL_ENDED)
        connection.removed_by = user
        connection.delete()


def _rotated(connection: AppConnection) -> list[Staying]:
    """Return the client secrets of rotations, without those that certainly arrived nowhere."""
    in_use = (RotatedSecret.State.CURRENT, RotatedSecret.State.RETIRING)
    rows = RotatedSecret.objects.filter(
        rotation__connection=connection, expires_at__gt=timezone.now()
    )
    rows = rows.exclude(state=RotatedSecret.State.REMOVED).select_related("rotation")
    return [_staying(row) for row in rows if row.state in in_use or row.offered_at is not None]


def _staying(row: RotatedSecret) -> Staying:
    asked_at = row.asked_at or row.intended_at
    return Staying(
        name=row.marker,
        application_name=row.rotation.application_name,
        app_id=row.rotation.app_id,
        key_id=row.key_id,
        expires_at=row.expires_at or asked_at + row.rotation.lifetime,
        is_uncertain=row.key_id is None,
    )


def _issued(connection: AppConnection) -> list[Staying]:
    """Return the client secrets that people issued, without those that a watch has missed."""
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
