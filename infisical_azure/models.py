"""A connection without secrets, its secrets in rows of their own, and pending sign-ins."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from . import permissions
from .clouds import Cloud
from .conf import conf
from .exceptions import AuthorizationError, Fault
from .fields import EncryptedTextField
from .permissions import Permission

if TYPE_CHECKING:
    from django.contrib.auth.models import User

validate_name = RegexValidator(
    r"\A[a-z0-9]+(?:-[a-z0-9]+)*\Z",
    _("Use lower-case letters, digits and single hyphens between them, such as “my-connection”."),
)


class AppConnectionQuerySet(models.QuerySet["AppConnection"]):
    """Connections; secrets are never among their columns."""

    def of(self, organization: models.Model) -> AppConnectionQuerySet:
        return self.filter(organization=organization)

    def for_display(self) -> AppConnectionQuerySet:
        """Order by name, with the people who are shown beside them."""
        return self.select_related("connected_by").order_by("name")


class AppConnection(models.Model):
    """An organization's standing access to one Azure directory."""

    class App(models.TextChoices):
        AZURE_CLIENT_SECRETS = "azure-client-secrets", _("Azure Client Secrets")

    class Method(models.TextChoices):
        OAUTH = "oauth", _("OAuth")

    class Status(models.TextChoices):
        READY = "ready", _("Ready")
        PERMISSION_MISSING = "permission-missing", _("Permission missing")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organization = models.ForeignKey(
        conf.organization_model,
        models.CASCADE,
        related_name="+",
        verbose_name=_("organization"),
    )
    name = models.CharField(_("name"), max_length=64, validators=[validate_name])
    description = models.CharField(_("description"), max_length=256, blank=True)
    app = models.CharField(
        _("app"), max_length=64, choices=App.choices, default=App.AZURE_CLIENT_SECRETS
    )
    method = models.CharField(
        _("method"), max_length=32, choices=Method.choices, default=Method.OAUTH
    )
    cloud = models.CharField(_("cloud"), max_length=64)
    tenant_id = models.UUIDField(_("directory (tenant) ID"))
    tenant_name = models.CharField(_("directory"), max_length=256, blank=True)
    tenant_domain = models.CharField(_("directory domain"), max_length=256, blank=True)
    account_object_id = models.UUIDField(_("account object ID"))
    account_name = models.CharField(_("account name"), max_length=256, blank=True)
    account_username = models.CharField(_("account"), max_length=256, blank=True)
    granted_scopes = models.JSONField(_("granted permissions"), default=list)
    status = models.CharField(_("status"), max_length=32, choices=Status.choices)
    connected_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        related_name="+",
        verbose_name=_("connected by"),
    )
    connected_at = models.DateTimeField(_("connected"), default=timezone.now)
    updated_at = models.DateTimeField(_("changed"), auto_now=True)

    objects = AppConnectionQuerySet.as_manager()

    class Meta:
        verbose_name = _("app connection")
        verbose_name_plural = _("app connections")
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "name"], name="infisical_azure_name_once"
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def missing_permissions(self) -> tuple[Permission, ...]:
        """What a person must still grant for every page to work."""
        return permissions.missing(self.granted_scopes)

    @property
    def cloud_label(self) -> str:
        """The cloud's name for people, also where it is no longer enabled."""
        cloud = conf.clouds.get(self.cloud)
        return cloud.label if cloud else self.cloud

    def note_granted(self, scopes: Iterable[str]) -> None:
        """Take over the granted scopes and the status that follows from them."""
        self.granted_scopes = sorted(scopes)
        limited = bool(self.missing_permissions)
        self.status = self.Status.PERMISSION_MISSING if limited else self.Status.READY


class _SecretManager(models.Manager[Any]):
    """Leave the ciphertext in the database until its attribute is touched."""

    def get_queryset(self) -> models.QuerySet[Any]:
        return super().get_queryset().defer("secret")


class RefreshToken(models.Model):
    """What new access tokens are asked with; one serves every resource."""

    connection = models.OneToOneField(
        AppConnection, models.CASCADE, primary_key=True, related_name="refresh_token"
    )
    secret = EncryptedTextField(_("refresh token"))
    expires_at = models.DateTimeField(_("expires"))

    #: 90 days for web redirect URIs (entra-docs ``refresh-tokens``); Entra doesn't tell.
    LIFETIME = timedelta(days=90)

    objects = _SecretManager()

    class Meta:
        base_manager_name = "objects"
        verbose_name = _("refresh token")
        verbose_name_plural = _("refresh tokens")

    def __str__(self) -> str:
        return f"refresh token of {self.connection_id}"


class AccessToken(models.Model):
    """A token for one resource, cached until it expires."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    connection = models.ForeignKey(AppConnection, models.CASCADE, related_name="access_tokens")
    resource = models.CharField(_("resource"), max_length=256)
    secret = EncryptedTextField(_("access token"), bound_to=("connection_id", "resource"))
    expires_at = models.DateTimeField(_("expires"))

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


class AuthorizationQuerySet(models.QuerySet["Authorization"]):
    """Pending and finished OAuth round trips."""

    def make_room(self, user: User) -> None:
        """Forget what expired a day ago and the person's oldest pending ones."""
        pending = self.filter(user=user, claimed_at=None).order_by("-expires_at").values("pk")
        too_many = Q(user=user, claimed_at=None) & ~Q(
            pk__in=pending[: conf.max_pending_authorizations - 1]
        )
        old = Q(expires_at__lt=timezone.now() - Authorization.KEPT)
        self.filter(old | too_many).delete()

    def claim(self, *, state_hash: str, browser_hash: str, user: User) -> Authorization:
        """
        Take the one authorization that this person, in this browser, may finish now.

        One UPDATE decides, so of many requests at once a single one gets it.
        Raises AuthorizationError for all others.
        """
        now = timezone.now()
        mine = self.filter(state_hash=state_hash, browser_hash=browser_hash, user=user)
        claimed = mine.filter(claimed_at=None, expires_at__gt=now).update(claimed_at=now)
        found = mine.select_related("organization").first()
        if found is None:
            raise AuthorizationError("state_unrecognised")
        if not claimed:
            raise AuthorizationError("state_used" if found.claimed_at else "state_expired")
        found.user = user
        return found


class Authorization(models.Model):
    """One OAuth round trip: what to check on the return, and what was typed before."""

    #: How long a finished or expired one is kept, to explain and to try again.
    KEPT = timedelta(days=1)

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    state_hash = models.CharField(max_length=64, unique=True)
    browser_hash = models.CharField(max_length=64)
    nonce_hash = models.CharField(max_length=64)
    verifier = EncryptedTextField()
    organization = models.ForeignKey(conf.organization_model, models.CASCADE, related_name="+")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    app = models.CharField(max_length=64)
    name = models.CharField(max_length=64)
    description = models.CharField(max_length=256, blank=True)
    cloud = models.CharField(max_length=64)
    tenant_id = models.UUIDField()
    expires_at = models.DateTimeField(db_index=True)
    claimed_at = models.DateTimeField(null=True)
    problem = models.CharField(max_length=64, blank=True)
    aadsts = models.PositiveIntegerField(null=True)
    correlation_id = models.CharField(max_length=64, blank=True)
    trace_id = models.CharField(max_length=64, blank=True)

    objects = AuthorizationQuerySet.as_manager()

    class Meta:
        verbose_name = _("authorization")
        verbose_name_plural = _("authorizations")

    def __str__(self) -> str:
        return f"authorization {self.pk}"

    def note_problem(self, code: str, fault: Fault | None) -> None:
        """Remember how the round trip failed; nothing of it is secret."""
        self.problem = code
        if fault is not None:
            self.aadsts = fault.aadsts
            self.correlation_id = fault.correlation_id
            self.trace_id = fault.trace_id
        self.save(update_fields=["problem", "aadsts", "correlation_id", "trace_id"])

    def find_cloud(self) -> Cloud:
        """Return the cloud; raise AuthorizationError when it has been disabled since."""
        cloud = conf.clouds.get(self.cloud)
        if cloud is None:
            raise AuthorizationError("operator_setup")
        return cloud
