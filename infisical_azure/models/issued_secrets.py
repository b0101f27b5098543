"""Client secrets that people had this site issue, and their values for a minute."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import models
from django.db.models import Exists, F, OuterRef, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from ..conf import conf
from ..fields import EncryptedTextField
from .connections import AppConnection
from .sealed import SealedQuerySet
from .watched_secrets import WatchedSecret

if TYPE_CHECKING:
    from django.contrib.auth.models import User

#: Reads of the directory lag its writes; a younger client secret may just not be seen yet.
_SEEN_AFTER = timedelta(minutes=15)


class IssuedSecretQuerySet(models.QuerySet["IssuedSecret"]):
    """Client secrets that people asked for."""

    def alive(self) -> IssuedSecretQuerySet:
        """
        Those that something may sign in with.

        What a directory that was read since has no longer was removed elsewhere.
        """
        seen = WatchedSecret.objects.filter(
            connection=OuterRef("connection"), key_id=OuterRef("key_id")
        )
        was_read_since = Q(connection__watched_at__gt=F("asked_at") + _SEEN_AFTER)
        gone = was_read_since & Q(key_id__isnull=False) & ~Exists(seen)
        return self.filter(removed_at=None, expires_at__gt=timezone.now()).exclude(gone)

    def alive_of(self, organization: models.Model) -> IssuedSecretQuerySet:
        return self.alive().filter(connection__organization=organization)

    def under_way(self) -> IssuedSecretQuerySet:
        """Those that a request is at Microsoft for now."""
        return self.filter(state=IssuedSecret.State.ASKED, asked_at__gt=_lost_since())

    def note_removed(self, connection: AppConnection, key_id: uuid.UUID) -> None:
        """
        Note that a client secret is gone from a connection's directory; delete its value.

        Another connection of the organization to the same directory may have issued it.
        """
        same = self.filter(
            connection__organization=connection.organization_id,
            connection__cloud=connection.cloud,
            connection__tenant_id=connection.tenant_id,
            key_id=key_id,
        )
        IssuedValue.objects.filter(of__in=same).delete()
        same.update(removed_at=timezone.now())


class IssuedSecret(models.Model):
    """
    One client secret that a person asked for, saved before Microsoft is asked.

    The id is the one-time key of the form that was sent, so that no form issues two.
    """

    class State(models.TextChoices):
        ASKED = "asked", _("Under way")
        ISSUED = "issued", _("Issued")
        UNCERTAIN = "uncertain", _("Uncertain: Microsoft did not answer")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    connection = models.ForeignKey(AppConnection, models.CASCADE, related_name="issued_secrets")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    application_id = models.UUIDField(_("application's object ID"))
    app_id = models.UUIDField(_("application (client) ID"))
    application_name = models.CharField(_("application"), max_length=256, blank=True)
    name = models.CharField(_("name"), max_length=256)
    state = models.CharField(_("state"), max_length=16, choices=State.choices, default=State.ASKED)
    key_id = models.UUIDField(_("key ID"), null=True)
    asked_at = models.DateTimeField(_("asked for"), default=timezone.now)
    expires_at = models.DateTimeField(_("expires"))
    """As Microsoft answered, or as was asked for."""
    removed_at = models.DateTimeField(_("removed"), null=True)

    objects = IssuedSecretQuerySet.as_manager()

    class Meta:
        verbose_name = _("issued client secret")
        verbose_name_plural = _("issued client secrets")

    def __str__(self) -> str:
        return self.name

    @property
    def is_uncertain(self) -> bool:
        """Whether Microsoft may have issued it without this site knowing."""
        is_lost = self.state == self.State.ASKED and self.asked_at <= _lost_since()
        return is_lost or self.state == self.State.UNCERTAIN


class IssuedValueQuerySet(SealedQuerySet):
    """Values that are still shown to who asked for them."""

    def shown_to(self, user: User) -> IssuedValueQuerySet:
        now = timezone.now()
        return self.with_secret().filter(user=user, kept_until__gt=now).select_related("of")

    def purge(self) -> None:
        """Delete those whose minute is over."""
        self.filter(kept_until__lte=timezone.now()).delete()


class IssuedValue(models.Model):
    """The value of an issued client secret, for the person and the form that asked for it."""

    #: A second click, or a page that got lost on its way, comes within this time.
    KEPT = timedelta(minutes=1)

    of = models.OneToOneField(IssuedSecret, models.CASCADE, primary_key=True, related_name="value")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    secret = EncryptedTextField(
        _("client secret"),
        bound_to=(
            "pk",
            "user_id",
            "of__connection_id",
            "of__connection__organization_id",
            "of__connection__cloud",
        ),
    )
    kept_until = models.DateTimeField(db_index=True)

    objects = IssuedValueQuerySet.as_manager()

    class Meta:
        verbose_name = _("value of an issued client secret")
        verbose_name_plural = _("values of issued client secrets")

    def __str__(self) -> str:
        return f"value of {self.of_id}"


def _lost_since() -> datetime:
    """Return before when whoever asked must be dead: a refresh by others, then three calls."""
    return timezone.now() - 4 * conf.lease
