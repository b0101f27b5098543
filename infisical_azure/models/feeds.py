"""Calendar links: who made one, and the hash of its token."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from ..conf import conf
from ..secret import Secret

if TYPE_CHECKING:
    from django.contrib.auth.models import User


class FeedQuerySet(models.QuerySet["Feed"]):
    """Calendar links; each is found by its token only."""

    def make(self, organization: models.Model, user: User) -> Secret:
        """Return the token of a person's new link, the only one from now on."""
        token = Secret.random()
        values = {"token_hash": token.digest(), "created_at": timezone.now()}
        self.update_or_create(organization=organization, created_by=user, defaults=values)
        return token

    def having(self, token: Secret) -> FeedQuerySet:
        found = self.filter(token_hash=token.digest())
        return found.select_related("organization", "created_by")


class Feed(models.Model):
    """One person's calendar link to one organization; the token itself is stored nowhere."""

    organization = models.ForeignKey(
        conf.organization_model, models.CASCADE, related_name="+", verbose_name=_("organization")
    )
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="+", verbose_name=_("who")
    )
    token_hash = models.CharField(max_length=64, unique=True)
    created_at = models.DateTimeField(_("created"), default=timezone.now)

    objects = FeedQuerySet.as_manager()

    class Meta:
        verbose_name = _("calendar link")
        verbose_name_plural = _("calendar links")
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "created_by"], name="infisical_azure_feed_once"
            ),
        ]

    def __str__(self) -> str:
        return f"calendar link {self.pk}"
