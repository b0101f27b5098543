"""Client secrets of the directories as they were last seen, without values."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import models
from django.db.models import Exists, OuterRef
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from .connections import AppConnection
from .rotations import RotatedSecret

#: A rotation that is overdue for so long is not at work: nobody advances it.
_LATE = timedelta(days=1)


class WatchedSecretQuerySet(models.QuerySet["WatchedSecret"]):
    """What a watch has seen."""

    def of(self, organization: models.Model) -> WatchedSecretQuerySet:
        return self.filter(connection__organization=organization)

    def ending(self, since: datetime, until: datetime) -> WatchedSecretQuerySet:
        """Those that end in this time, the soonest first, with their connections."""
        found = self.filter(expires_at__gte=since, expires_at__lt=until)
        return found.select_related("connection").order_by("expires_at", "pk")

    def marking_rotated(self) -> WatchedSecretQuerySet:
        """Say of each in `is_rotated` whether a rotation of its organization has made it."""
        return self.annotate(is_rotated=Exists(_made()))

    def to_replace_by_hand(self) -> WatchedSecretQuerySet:
        """Without those that a rotation has replaced, or that one at work will replace."""
        superseded = _made().filter(state=RotatedSecret.State.RETIRING, retire_at__isnull=False)
        late = timezone.now() - _LATE
        at_work = _made().filter(
            rotation__paused_at=None, rotation__problem="", rotation__due_at__gt=late
        )
        return self.exclude(Exists(superseded)).exclude(Exists(at_work))


def _made() -> models.QuerySet[RotatedSecret]:
    """
    Return what rotations have made of the client secret of a query around this one.

    Those of its own organization only: others that see the directory learn nothing of them.
    """
    return RotatedSecret.objects.filter(
        key_id=OuterRef("key_id"),
        rotation__connection__organization=OuterRef("connection__organization"),
    )


class WatchedSecret(models.Model):
    """One client secret of one application as Graph last showed it; never its value."""

    connection = models.ForeignKey(AppConnection, models.CASCADE, related_name="watched_secrets")
    application_id = models.UUIDField(_("application's object ID"))
    app_id = models.UUIDField(_("application (client) ID"), db_index=True)
    application_name = models.CharField(_("application"), max_length=256, blank=True)
    key_id = models.UUIDField(_("key ID"))
    name = models.CharField(_("name"), max_length=256, blank=True)
    hint = models.CharField(_("hint"), max_length=3, blank=True)
    starts_at = models.DateTimeField(_("starts"), null=True)
    expires_at = models.DateTimeField(_("expires"), null=True)
    seen_at = models.DateTimeField(_("last seen"))
    #: The fewest days before the end of which people have been told.
    warned_days = models.PositiveIntegerField(_("warned of"), null=True)

    #: What a watch takes over of a secret that is known already.
    SEEN = (
        "application_id",
        "app_id",
        "application_name",
        "name",
        "hint",
        "starts_at",
        "expires_at",
        "seen_at",
    )

    objects = WatchedSecretQuerySet.as_manager()

    class Meta:
        verbose_name = _("watched client secret")
        verbose_name_plural = _("watched client secrets")
        constraints = [
            models.UniqueConstraint(
                fields=["connection", "key_id"], name="infisical_azure_watched_once"
            ),
        ]
        indexes = [
            models.Index(fields=["connection", "expires_at"], name="infisical_azure_expiring"),
        ]

    def __str__(self) -> str:
        return f"{self.name or self.key_id} of {self.application_name or self.app_id}"
