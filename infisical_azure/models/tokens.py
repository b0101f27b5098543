"""The secrets of a connection, and who may refresh them now."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import Any, Self

from django.db import models, transaction
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from ..fields import EncryptedTextField
from .connections import AppConnection, database
from .leases import Leased, LeasedQuerySet
from .sealed import SealedQuerySet

_OWNER = ("connection__organization_id", "connection__cloud")


class RefreshTokenQuerySet(LeasedQuerySet, SealedQuerySet):  # type: ignore[override]
    """Refresh tokens, each refreshed by one process at a time."""

    def due(self, now: datetime) -> RefreshTokenQuerySet:
        """Those to refresh in the background now, the longest overdue first."""
        return self.free(now).filter(due_at__lte=now).order_by("due_at")

    def free(self, now: datetime) -> Self:
        """Those that work, are not paused, and that nobody refreshes at the moment."""
        may_be_tried = Q(next_try_at=None) | Q(next_try_at__lte=now)
        return super().free(now).filter(may_be_tried, revoked_at=None)

    def replace(self, row: RefreshToken) -> None:
        """
        Put the refresh token of a new grant in the old one's place, and raise the fence.

        Whoever began anything with the old grant can save nothing of it from then on.
        """
        fields = [one for one in row._meta.concrete_fields if not one.primary_key]
        values = {one.name: one.pre_save(row, add=False) for one in fields}
        if not self.filter(pk=row.pk).update(**values | {"fence": F("fence") + 1}):
            row.save(force_insert=True)

    def overtake(self, connection: AppConnection) -> None:
        """Let nobody save what was begun for a connection; locks the row until the commit."""
        self.filter(pk=connection.pk).update(fence=F("fence") + 1)

    def to_refresh(self) -> RefreshTokenQuerySet:
        """Read all that a refresh needs along, the access tokens as well."""
        rows = self.with_secret().select_related("connection")
        return rows.prefetch_related("connection__access_tokens")

    def pause(self, connection: AppConnection, until: datetime) -> None:
        """
        Let the organization's other connections to the same tenant wait until then.

        Never those of another organization: it must not wait for what this one did.
        """
        neighbours = AppConnection.objects.filter(
            organization=connection.organization_id,
            cloud=connection.cloud,
            tenant_id=connection.tenant_id,
        )
        sooner = Q(next_try_at=None) | Q(next_try_at__lt=until)
        rows = self.filter(sooner, connection__in=neighbours)
        with transaction.atomic(using=database()):
            # Two that are throttled at once would wait for each other's rows for ever.
            free = rows.select_for_update(skip_locked=True).values_list("pk", flat=True)
            self.filter(pk__in=list(free)).update(next_try_at=until)


class _SecretManager(models.Manager.from_queryset(SealedQuerySet)):  # type: ignore[misc]
    """Leave the ciphertext in the database until its attribute is touched."""

    def get_queryset(self) -> Any:
        return super().get_queryset().defer("secret")


class _RefreshTokenManager(models.Manager.from_queryset(RefreshTokenQuerySet)):  # type: ignore[misc]
    def get_queryset(self) -> Any:
        return super().get_queryset().defer("secret")


class RefreshToken(Leased):
    """
    What new access tokens are asked with; one serves every resource.

    The row lives as long as its connection, so that its fence only ever grows.
    """

    #: 90 days for web redirect URIs (entra-docs ``refresh-tokens``); Entra doesn't tell.
    LIFETIME = timedelta(days=90)
    #: A connection that nobody uses is refreshed when so much of the lifetime is left.
    KEEP_ALIVE = timedelta(days=30)

    connection = models.OneToOneField(
        AppConnection, models.CASCADE, primary_key=True, related_name="refresh_token"
    )
    secret = EncryptedTextField(_("refresh token"), null=True, bound_to=("pk", *_OWNER))
    """None, as is its expiry, where Microsoft granted no access beyond the first hour."""
    expires_at = models.DateTimeField(_("expires"), null=True)
    due_at = models.DateTimeField(_("next refresh"), null=True, db_index=True)
    revoked_at = models.DateTimeField(_("refused since"), null=True)
    next_try_at = models.DateTimeField(_("paused until"), null=True)
    failures = models.PositiveIntegerField(_("failures in a row"), default=0)
    refused = models.JSONField(default=dict, editable=False)
    """What was refused for one resource alone, by resource; see `refusals.Refusal`."""

    objects = _RefreshTokenManager()

    class Meta:
        base_manager_name = "objects"
        verbose_name = _("refresh token")
        verbose_name_plural = _("refresh tokens")

    def __str__(self) -> str:
        return f"refresh token of {self.connection_id}"


class AccessToken(models.Model):
    """A token for one resource, kept until it expires."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    connection = models.ForeignKey(AppConnection, models.CASCADE, related_name="access_tokens")
    resource = models.CharField(_("resource"), max_length=256)
    secret = EncryptedTextField(_("access token"), bound_to=("connection_id", "resource", *_OWNER))
    scopes = models.JSONField(_("granted permissions"), default=list)
    issued_at = models.DateTimeField(_("issued"))
    refresh_at = models.DateTimeField(_("refreshed from"))
    expires_at = models.DateTimeField(_("expires"))
    used_at = models.DateTimeField(_("last used"), null=True)
    forced_at = models.DateTimeField(null=True, editable=False)
    forced_claims = models.TextField(blank=True, editable=False)
    """When it last replaced a token that had time left, and for which claims challenge."""
    tested_at = models.DateTimeField(null=True, editable=False)
    test_problem = models.CharField(max_length=64, blank=True, editable=False)
    """How the last test ended: empty where it worked; see `probe`."""
    test_correlation_id = models.CharField(max_length=64, blank=True, editable=False)

    objects = _SecretManager()

    class Meta:
        base_manager_name = "objects"
        verbose_name = _("access token")
        verbose_name_plural = _("access tokens")
        constraints = [
            models.UniqueConstraint(
                fields=["connection", "resource"], name="infisical_azure_token_once"
            ),
        ]

    def __str__(self) -> str:
        return f"access token of {self.connection_id} for {self.resource}"

    def is_valid(self, now: datetime, leeway: timedelta) -> bool:
        """
        Say whether the token outlasts the leeway.

        Of a short life only a fifth is asked for, or a token that lives shorter than
        the leeway would be replaced at every use.
        """
        return now + min(leeway, (self.expires_at - self.issued_at) / 5) < self.expires_at
