"""Pending and finished OAuth round trips."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from ..clouds import Cloud
from ..conf import conf
from ..exceptions import AuthorizationError, Fault
from ..fields import EncryptedTextField
from .connections import AppConnection
from .explained import Explained

if TYPE_CHECKING:
    from django.contrib.auth.models import User


class AuthorizationQuerySet(models.QuerySet["Authorization"]):
    """Pending and finished OAuth round trips."""

    def make_room(self, user: User) -> None:
        """Forget what expired a day ago, and the person's oldest ones."""
        mine = self.filter(user=user).order_by("-expires_at").values_list("pk", flat=True)
        # Read first: MySQL has no LIMIT in such a subquery.
        kept = list(mine[: max(conf.max_pending_authorizations - 1, 0)])
        too_many = Q(user=user) & ~Q(pk__in=kept)
        old = Q(expires_at__lt=timezone.now() - Authorization.KEPT)
        self.filter(old | too_many).delete()

    def claim(self, *, state_hash: str, browser_hash: str, user: User) -> Authorization:
        """
        Take the one authorization that this person, in this browser, may finish.

        One UPDATE decides, so of many requests at once a single one gets it. It may have
        expired: then it is claimed all the same, so that the person can be told and try again.
        Raises AuthorizationError for all others.
        """
        now = timezone.now()
        mine = self.filter(state_hash=state_hash, browser_hash=browser_hash, user=user)
        claimed = mine.filter(claimed_at=None).update(claimed_at=now)
        found = mine.select_related("organization", "connection").first()
        if found is None:
            raise AuthorizationError("state_unrecognised")
        if not claimed:
            raise AuthorizationError("state_used")
        found.user = user
        return found


class Authorization(Explained):
    """One OAuth round trip: what to check on the return, and what was typed before."""

    #: How long a finished or expired one is kept, to explain and to try again.
    KEPT = timedelta(days=1)

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    state_hash = models.CharField(max_length=64, unique=True)
    browser_hash = models.CharField(max_length=64)
    nonce_hash = models.CharField(max_length=64)
    verifier = EncryptedTextField(bound_to=("pk", "organization_id", "cloud"))
    organization = models.ForeignKey(conf.organization_model, models.CASCADE, related_name="+")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    #: The connection to reconnect; without one the round trip makes a new connection.
    connection = models.ForeignKey(AppConnection, models.CASCADE, null=True, related_name="+")
    #: Whether another account or tenant may take the connection over.
    may_switch = models.BooleanField(default=False)
    app = models.CharField(max_length=64)
    name = models.CharField(max_length=64)
    description = models.CharField(max_length=256, blank=True)
    cloud = models.CharField(max_length=64)
    tenant_id = models.UUIDField()
    expires_at = models.DateTimeField(db_index=True)
    claimed_at = models.DateTimeField(null=True)

    objects = AuthorizationQuerySet.as_manager()

    class Meta:
        verbose_name = _("authorization")
        verbose_name_plural = _("authorizations")

    def __str__(self) -> str:
        return f"authorization {self.pk}"

    def note_problem(self, code: str, fault: Fault | None) -> bool:
        """
        Remember how the round trip failed.

        Return False where the row is gone: it ends with the connection to reconnect.
        """
        self.explain(code, fault)
        values = {name: getattr(self, name) for name in self.EXPLANATION}
        return bool(type(self).objects.filter(pk=self.pk).update(**values))

    def find_cloud(self) -> Cloud:
        """Return the cloud; raise AuthorizationError when it has been disabled since."""
        cloud = conf.clouds.get(self.cloud)
        if cloud is None:
            raise AuthorizationError("operator_setup")
        return cloud
