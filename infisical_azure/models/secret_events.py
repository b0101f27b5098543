"""What this site did to applications' client secrets, and who did it."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from .connections import AppConnection


class SecretEvent(models.Model):
    """One act on one client secret, written before it is tried; never its value."""

    class Act(models.TextChoices):
        ISSUE = "issue", _("Issued")
        REMOVE = "remove", _("Removed")

    class Outcome(models.TextChoices):
        BEGUN = "begun", _("Under way")
        DONE = "done", _("Done")
        FAILED = "failed", _("Failed")
        UNCERTAIN = "uncertain", _("Uncertain: Microsoft did not answer")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    connection = models.ForeignKey(AppConnection, models.CASCADE, related_name="secret_events")
    application_id = models.UUIDField(_("application's object ID"))
    application_name = models.CharField(_("application"), max_length=256, blank=True)
    key_id = models.UUIDField(_("key ID"), null=True)
    name = models.CharField(_("name"), max_length=256, blank=True)
    act = models.CharField(_("act"), max_length=16, choices=Act.choices)
    outcome = models.CharField(
        _("outcome"), max_length=16, choices=Outcome.choices, default=Outcome.BEGUN
    )
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        related_name="+",
        verbose_name=_("who"),
    )
    at = models.DateTimeField(_("when"), default=timezone.now)

    class Meta:
        verbose_name = _("client secret event")
        verbose_name_plural = _("client secret events")
        ordering = ["-at"]
        indexes = [
            models.Index(
                fields=["connection", "application_id", "-at"], name="infisical_azure_history"
            )
        ]

    def __str__(self) -> str:
        return f"{self.get_act_display()}: {self.name or self.key_id}"

    def end(self, outcome: Outcome, key_id: uuid.UUID | None = None) -> None:
        """Save how it went."""
        self.outcome, self.key_id = outcome, key_id or self.key_id
        # An UPDATE: its connection may be gone by now, and it with it.
        SecretEvent.objects.filter(pk=self.pk).update(outcome=outcome, key_id=self.key_id)
