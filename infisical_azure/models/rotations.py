"""Rotations of client secrets: what is wanted, how far each one is, and where it goes."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import Self

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from ..clouds import is_store, is_vault, is_vault_secret
from ..conf import conf
from ..fields import EncryptedTextField
from .connections import AppConnection
from .explained import Explained
from .leases import Leased, LeasedQuerySet
from .sealed import SealedQuerySet

#: What the names of rotated client secrets begin with in Azure.
MARK = "rotation "
#: As many characters the name of a vault, a store or a hook may have.
LONGEST_PLACE = 64


class RotationQuerySet(LeasedQuerySet):
    """Rotations, each advanced by one process at a time."""

    def of(self, organization: models.Model) -> Self:
        return self.filter(connection__organization=organization)

    def due(self, now: datetime) -> Self:
        """Those for which something is to be done now, the longest overdue first."""
        return self.free(now).filter(wake_at__lte=now).order_by("wake_at")


class Rotation(Leased, Explained):
    """The standing order to replace an application's client secret again and again."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    connection = models.ForeignKey(AppConnection, models.CASCADE, related_name="rotations")
    application_id = models.UUIDField(_("application's object ID"))
    app_id = models.UUIDField(_("application (client) ID"))
    application_name = models.CharField(_("application"), max_length=256, blank=True)
    interval = models.DurationField(_("interval"))
    lifetime = models.DurationField(_("lifetime"))
    overlap = models.DurationField(_("overlap"))
    due_at = models.DateTimeField(_("next rotation"), default=timezone.now)
    paused_at = models.DateTimeField(_("paused since"), null=True)
    sweep_at = models.DateTimeField(null=True, editable=False)
    """When to look once more for a client secret whose answer was lost."""
    missed_at = models.DateTimeField(null=True, editable=False)
    """When to look whether the one in use is gone, which a watch has not seen."""
    wake_at = models.DateTimeField(default=timezone.now, null=True, db_index=True, editable=False)
    """
    When there is something to do next; None while paused with nothing left to end.

    Whoever wants anything of a rotation sets it to now; a process that works on it
    meanwhile sees by that that it has to look again.
    """
    wished_at = models.DateTimeField(null=True, editable=False)
    """When somebody last wanted it to go on: a failure since then is told anew."""
    wanted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+", editable=False
    )
    """Who wants the next one now."""
    failures = models.PositiveIntegerField(_("failures in a row"), default=0)
    failing_since = models.DateTimeField(_("failing since"), null=True)
    told_at = models.DateTimeField(null=True, editable=False)
    """When its people were told of the failure that lasts."""
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        related_name="+",
        verbose_name=_("created by"),
    )
    created_at = models.DateTimeField(_("created"), default=timezone.now)

    objects = RotationQuerySet.as_manager()

    class Meta:
        verbose_name = _("rotation")
        verbose_name_plural = _("rotations")
        constraints = [
            models.UniqueConstraint(
                fields=["connection", "application_id"], name="infisical_azure_rotation_once"
            )
        ]

    def __str__(self) -> str:
        return self.application_name or str(self.app_id)

    @property
    def is_paused(self) -> bool:
        return self.paused_at is not None

    @property
    def is_under_way(self) -> bool:
        """Whether a client secret is being made, or the first one is yet to be."""
        states = set(self.secrets.values_list("state", flat=True).order_by().distinct())
        return RotatedSecret.State.CURRENT not in states or not states.isdisjoint(
            RotatedSecret.PENDING
        )


class RotatedSecret(models.Model):
    """One client secret that a rotation made, from the intent to its removal."""

    class State(models.TextChoices):
        INTENDED = "intended", _("To be issued")
        ISSUED = "issued", _("To be proven")
        PROVEN = "proven", _("To be delivered")
        CURRENT = "current", _("In use")
        RETIRING = "retiring", _("Superseded, still valid")
        REMOVED = "removed", _("Removed")

    PENDING = (State.INTENDED, State.ISSUED, State.PROVEN)

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    rotation = models.ForeignKey(Rotation, models.CASCADE, related_name="secrets")
    state = models.CharField(
        _("state"), max_length=16, choices=State.choices, default=State.INTENDED
    )
    key_id = models.UUIDField(_("key ID"), null=True, db_index=True)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        related_name="+",
        verbose_name=_("who"),
    )
    """Who wanted it now; nobody where the interval did."""
    intended_at = models.DateTimeField(_("begun"), default=timezone.now)
    asked_at = models.DateTimeField(null=True, editable=False)
    """When Graph was asked to issue it, as long as the answer is unknown."""
    issued_at = models.DateTimeField(_("issued"), null=True)
    expires_at = models.DateTimeField(_("expires"), null=True)
    proven_at = models.DateTimeField(_("proven"), null=True)
    offered_at = models.DateTimeField(null=True, editable=False)
    """When it was first sent to a destination, which may have it since."""
    delivered_at = models.DateTimeField(_("delivered"), null=True)
    retire_at = models.DateTimeField(_("to be removed"), null=True)
    removed_at = models.DateTimeField(_("removed"), null=True)

    class Meta:
        verbose_name = _("rotated client secret")
        verbose_name_plural = _("rotated client secrets")
        ordering = ["-intended_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["rotation"],
                condition=Q(state__in=["intended", "issued", "proven"]),
                name="infisical_azure_pending_once",
            )
        ]

    def __str__(self) -> str:
        return self.marker

    @property
    def has_ended(self) -> bool:
        """Whether it works no longer, though it may not have been removed."""
        return self.expires_at is not None and self.expires_at <= timezone.now()

    @property
    def marker(self) -> str:
        """Its name in Azure, by which it is found again when Graph's answer is lost."""
        return f"{MARK}{self.id}"


class HeldSecret(models.Model):
    """The value of a client secret, from its issue until it is delivered everywhere."""

    of = models.OneToOneField(RotatedSecret, models.CASCADE, primary_key=True, related_name="held")
    secret = EncryptedTextField(
        _("client secret"),
        bound_to=(
            "pk",
            "of__rotation__connection_id",
            "of__rotation__connection__organization_id",
            "of__rotation__connection__cloud",
        ),
    )

    objects = SealedQuerySet.as_manager()

    def __str__(self) -> str:
        return f"value of {self.of_id}"


class Destination(models.Model):
    """Where a rotation delivers its client secrets."""

    class Kind(models.TextChoices):
        KEY_VAULT = "key-vault", _("Key Vault secret")
        APP_CONFIGURATION = "app-configuration", _("App Configuration key-value")
        REFERENCE = "key-vault-reference", _("App Configuration reference to Key Vault")
        HOOK = "hook", _("This site")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    rotation = models.ForeignKey(Rotation, models.CASCADE, related_name="destinations")
    kind = models.CharField(_("kind"), max_length=32, choices=Kind.choices)
    place = models.CharField(_("vault or store"), max_length=LONGEST_PLACE)
    """The vault's or store's name, without the domain; the hook's name for a hook."""
    name = models.CharField(_("name"), max_length=256)
    """Of the secret in the vault, or the key in the store."""
    label = models.CharField(_("label"), max_length=256, blank=True)
    refers_to = models.ForeignKey(
        "self",
        models.CASCADE,
        null=True,
        blank=True,
        related_name="references",
        verbose_name=_("Key Vault secret"),
    )
    """The destination in Key Vault whose address a reference holds."""
    delivered = models.ForeignKey(
        RotatedSecret, models.SET_NULL, null=True, related_name="+", editable=False
    )
    delivered_at = models.DateTimeField(_("delivered"), null=True, editable=False)

    class Meta:
        verbose_name = _("destination")
        verbose_name_plural = _("destinations")
        ordering = ["kind", "place", "name", "label"]

    def __str__(self) -> str:
        label = f" ({self.label})" if self.label else ""
        return f"{self.place} / {self.name}{label}"

    def clean(self) -> None:
        """Refuse names that would lead elsewhere, or that nothing there can have."""
        errors: dict[str, str | Promise] = {}
        Kind = self.Kind
        in_store = self.kind in {Kind.APP_CONFIGURATION, Kind.REFERENCE}
        if self.kind == Kind.HOOK:
            if self.place and self.place not in conf.secret_hooks:
                errors["place"] = _("This site takes it as: %s.") % ", ".join(conf.secret_hooks)
        elif in_store and self.place and not is_store(self.place):
            errors["place"] = _("A store's name has 5 to 50 letters, digits and hyphens.")
        elif self.kind == Kind.KEY_VAULT and self.place and not is_vault(self.place):
            errors["place"] = _("A vault's name has 3 to 24 letters, digits and hyphens.")
        if self.kind == Kind.KEY_VAULT and self.name and not is_vault_secret(self.name):
            errors["name"] = _("A vault's secrets have letters, digits and hyphens.")
        if in_store and (self.name in {".", ".."} or "%" in self.name):
            errors["name"] = _("App Configuration allows no such key.")
        for field in ("name", "label"):
            if not getattr(self, field).isprintable():
                errors[field] = _("Use no line breaks or other invisible characters.")
        if errors:
            raise ValidationError(errors)

    @property
    def is_last(self) -> bool:
        """Whether nothing would be left without it and what refers to it."""
        others = Destination.objects.filter(rotation=self.rotation_id).exclude(pk=self.pk)
        return not others.exclude(refers_to=self.pk).exists()


def shortest_lifetime(interval: timedelta, overlap: timedelta) -> timedelta:
    """
    Return how long a client secret must last to outlive its successor's first days.

    With half an interval, at least a week, to spare: so long a rotation may fail.
    """
    return interval + overlap + max(interval / 2, timedelta(days=7))
