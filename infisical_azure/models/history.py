"""What was done to connections, client secrets, rotations and destinations, and by whom."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NoReturn
from uuid import UUID

from django.db import models
from django.db.models import Exists, OuterRef
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

_APPEND_ONLY = "The history is append-only: an entry is neither changed nor deleted."
_CHUNK = 1000


class HistoryQuerySet(models.QuerySet["HistoryEntry"]):
    """Entries to read; each can be added, and leaves when its time is over."""

    def update(self, **kwargs: Any) -> NoReturn:
        raise TypeError(_APPEND_ONLY)

    def delete(self) -> NoReturn:
        raise TypeError(_APPEND_ONLY)

    def bulk_create(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refuse: it can overwrite rows, and it skips `HistoryEntry.save`."""
        raise TypeError(_APPEND_ONLY)

    def shown(self) -> HistoryQuerySet:
        """Leave out what was begun, where a later entry tells how it went."""
        ended = HistoryEntry.objects.filter(attempt=OuterRef("attempt"))
        is_over = Exists(ended.exclude(outcome=HistoryEntry.Outcome.BEGUN))
        return self.exclude(is_over, outcome=HistoryEntry.Outcome.BEGUN)

    def issued_and_not_gone(
        self, connection_id: UUID, secrets: models.QuerySet[Any]
    ) -> HistoryQuerySet:
        """Return by which of these client secrets were issued here, unless their end is told."""
        of_connection = self.filter(connection_id=connection_id, outcome=HistoryEntry.Outcome.DONE)
        ends = (HistoryEntry.Act.SECRET_REMOVED, HistoryEntry.Act.SECRET_GONE)
        end = of_connection.filter(act__in=ends, key_id=OuterRef("key_id"))
        issued = of_connection.filter(
            act=HistoryEntry.Act.SECRET_ISSUED, key_id__in=secrets.values("key_id")
        )
        return issued.exclude(Exists(end))

    def older_than(self, time: datetime) -> HistoryQuerySet:
        return self.filter(at__lt=time)

    def purge(self) -> int:
        """Delete these entries, a thousand at a time, and return how many there were."""
        total = 0
        rows = self.values_list("pk", flat=True)
        while chunk := list(rows[:_CHUNK]):
            total += HistoryEntry.objects.filter(pk__in=chunk)._raw_delete(self.db)
        return total


class HistoryEntry(models.Model):
    """
    One act and its outcome; never a secret.

    It has no foreign key: it outlives the organization, the connection, the rotation,
    the destination and the person, which are named as they were called then.
    """

    class Act(models.TextChoices):
        CONNECTION_ADDED = "connection-added", _("Add connection")
        CONNECTION_EDITED = "connection-edited", _("Edit connection")
        CONNECTION_RECONNECTED = "connection-reconnected", _("Reconnect")
        CONNECTION_REMOVED = "connection-removed", _("Remove connection")
        CONNECTION_TESTED = "connection-tested", _("Test connection")
        CONNECTION_BROKEN = "connection-broken", _("Connection broken")
        CONNECTION_RECOVERED = "connection-recovered", _("Connection works again")
        SIGNED_IN = "signed-in", _("Sign in at Microsoft")
        SECRET_ISSUED = "secret-issued", _("Issue client secret")
        SECRET_SHOWN = "secret-shown", _("Show value of client secret")
        SECRET_REMOVED = "secret-removed", _("Remove client secret")
        SECRET_GONE = "secret-gone", _("Client secret is gone from the directory")
        ROTATION_ADDED = "rotation-added", _("Set up rotation")
        ROTATION_EDITED = "rotation-edited", _("Change rotation")
        ROTATION_PAUSED = "rotation-paused", _("Pause rotation")
        ROTATION_RESUMED = "rotation-resumed", _("Resume rotation")
        ROTATION_REQUESTED = "rotation-requested", _("Rotate now")
        ROTATION_ENDED = "rotation-ended", _("End rotation")
        ROTATION_FAILED = "rotation-failed", _("Rotation fails")
        ROTATION_RECOVERED = "rotation-recovered", _("Rotation works again")
        SECRET_ROTATED = "secret-rotated", _("Rotate client secret")
        DESTINATION_ADDED = "destination-added", _("Add destination")
        DESTINATION_REMOVED = "destination-removed", _("Remove destination")
        SECRET_DELIVERED = "secret-delivered", _("Deliver client secret")
        FEED_ADDED = "feed-added", _("Make calendar link")
        FEED_REMOVED = "feed-removed", _("Remove calendar link")

    class Outcome(models.TextChoices):
        BEGUN = "begun", _("Under way")
        DONE = "done", _("Done")
        FAILED = "failed", _("Failed")
        UNCERTAIN = "uncertain", _("Uncertain: Microsoft did not answer")

    at = models.DateTimeField(_("when"), default=timezone.now, db_index=True)
    act = models.CharField(_("act"), max_length=32, choices=Act.choices)
    outcome = models.CharField(
        _("outcome"), max_length=16, choices=Outcome.choices, default=Outcome.DONE
    )
    actor_id = models.CharField(_("ID of the person"), max_length=64, blank=True)
    """The user's primary key as text; empty where nobody clicked."""
    actor = models.CharField(_("who"), max_length=256, blank=True)
    organization_id = models.CharField(_("organization's ID"), max_length=64)
    connection_id = models.UUIDField(_("connection's ID"), null=True)
    connection_name = models.CharField(_("connection"), max_length=64, blank=True)
    application_id = models.UUIDField(_("application's object ID"), null=True)
    application_name = models.CharField(_("application"), max_length=256, blank=True)
    key_id = models.UUIDField(_("key ID"), null=True)
    rotation_id = models.UUIDField(_("rotation's ID"), null=True)
    destination_id = models.UUIDField(_("destination's ID"), null=True)
    name = models.CharField(_("name"), max_length=256, blank=True)
    """Of the client secret or the destination; of a renamed connection its name before."""
    problem = models.CharField(_("problem"), max_length=64, blank=True)
    correlation_id = models.CharField(_("correlation ID"), max_length=64, blank=True)
    attempt = models.UUIDField(null=True, editable=False)
    """The same for an entry that was written before a call and the one after it."""

    objects = HistoryQuerySet.as_manager()

    class Meta:
        base_manager_name = "objects"
        default_permissions = ("view",)
        verbose_name = _("history entry")
        verbose_name_plural = _("history")
        ordering = ["-at", "-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["attempt", "outcome"], name="infisical_azure_attempt_once"
            )
        ]
        indexes = [
            models.Index(
                fields=["connection_id", "-at", "-id"], name="infisical_azure_of_connection"
            ),
            models.Index(
                fields=["connection_id", "application_id", "-at", "-id"],
                name="infisical_azure_of_application",
            ),
            models.Index(fields=["rotation_id", "-at", "-id"], name="infisical_azure_of_rotation"),
        ]

    def __str__(self) -> str:
        return f"{self.get_act_display()}: {self.get_outcome_display()}"

    def save(self, **kwargs: Any) -> None:
        """Add the entry; raise TypeError for an entry that is there."""
        if not self._state.adding:
            raise TypeError(_APPEND_ONLY)
        super().save(**kwargs | {"force_insert": True})

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise TypeError(_APPEND_ONLY)
