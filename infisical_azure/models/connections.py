"""A connection: an organization's standing access to one Azure directory, without secrets."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.validators import RegexValidator
from django.db import models, router, transaction
from django.db.models import F, Max, Min, Q
from django.db.models.deletion import Collector
from django.utils import timezone
from django.utils.module_loading import import_string
from django.utils.translation import gettext_lazy as _

from .. import permissions
from ..claims import merged
from ..clouds import Cloud
from ..conf import conf
from ..exceptions import Fault
from ..permissions import Permission
from .explained import Explained

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser, AnonymousUser

validate_name = RegexValidator(
    r"\A[a-z0-9]+(?:-[a-z0-9]+)*\Z",
    _("Use lower-case letters, digits and single hyphens between them, such as “my-connection”."),
)


class AppConnectionQuerySet(models.QuerySet["AppConnection"]):
    """Connections; secrets are never among their columns."""

    def of(self, organization: models.Model) -> AppConnectionQuerySet:
        return self.filter(organization=organization)

    def to_watch(self, now: datetime) -> AppConnectionQuerySet:
        """Those whose directory is to be read for client secrets now."""
        return self.filter(Q(watch_due_at=None) | Q(watch_due_at__lte=now))

    def for_display(self) -> AppConnectionQuerySet:
        """Order by name, with what is shown beside them."""
        return (
            self.select_related("connected_by")
            .annotate(
                last_used_at=Max("access_tokens__used_at"),
                works_until=Min(
                    "access_tokens__expires_at",
                    filter=Q(access_tokens__expires_at__gt=timezone.now()),
                ),
            )
            .order_by("name")
        )


def end_first(collector: Collector, field: Any, sub_objs: Any, using: str) -> None:
    """
    Delete connections with their organization, unless rotations are left (``on_delete``).

    What those have begun in Azure would stay there, and nobody would replace what is in use.
    """
    kept = {row for one in sub_objs for row in one.rotations.all()}
    if kept:
        raise models.RestrictedError(
            f"{len(kept)} rotations of client secrets belong to this organization. Call "
            "infisical_azure.removal.remove_all(organization) before it is deleted: it ends them "
            "in Azure, and says what has to wait.",
            kept,
        )
    models.CASCADE(collector, field, sub_objs, using)


class AppConnection(Explained):
    """An organization's standing access to one Azure directory."""

    class App(models.TextChoices):
        AZURE_CLIENT_SECRETS = "azure-client-secrets", _("Azure Client Secrets")

    class Method(models.TextChoices):
        OAUTH = "oauth", _("OAuth")

    class Status(models.TextChoices):
        READY = "ready", _("Ready")
        PERMISSION_MISSING = "permission-missing", _("Permission missing")
        RETRYING = "retrying", _("Refreshing fails")
        NEEDS_RECONNECT = "needs-reconnect", _("Needs reconnect")
        NEEDS_ADMIN_APPROVAL = "needs-admin-approval", _("Needs admin approval")
        OPERATOR_MUST_ACT = "operator-must-act", _("Operator must act")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organization = models.ForeignKey(
        conf.organization_model,
        end_first,
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
    account_subject = models.CharField(max_length=255, blank=True, editable=False)
    """The id token's ``sub``, which every later one must have as well."""
    account_name = models.CharField(_("account name"), max_length=256, blank=True)
    account_username = models.CharField(_("account"), max_length=256, blank=True)
    granted_scopes = models.JSONField(_("granted permissions"), default=list)
    status = models.CharField(_("status"), max_length=32, choices=Status.choices)
    status_since = models.DateTimeField(_("status since"), default=timezone.now)
    claims = models.TextField(blank=True, editable=False)
    """What has to be proven at the next reconnect, which sends it along: JSON; see `claims`."""
    connected_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        related_name="+",
        verbose_name=_("connected by"),
    )
    connected_at = models.DateTimeField(_("connected"), default=timezone.now)
    updated_at = models.DateTimeField(_("changed"), auto_now=True)
    #: When a watch last read the whole directory, and when the next one may.
    watched_at = models.DateTimeField(_("directory last read"), null=True, editable=False)
    watch_due_at = models.DateTimeField(null=True, editable=False, db_index=True)

    STATUS_FIELDS = ("status", "status_since", *Explained.EXPLANATION)
    #: What people write.
    DETAIL_FIELDS = ("name", "description", "updated_at")
    #: What a round trip writes.
    GRANT_FIELDS = (
        *("cloud", "tenant_id", "tenant_name", "tenant_domain", "account_object_id"),
        *(
            "account_subject",
            "account_name",
            "account_username",
            "connected_by",
            "connected_at",
            "updated_at",
        ),
        *("granted_scopes", "claims", *STATUS_FIELDS),
    )

    objects = AppConnectionQuerySet.as_manager()

    removed_by: AbstractBaseUser | AnonymousUser | None = None
    """Set it before `delete`, for the history."""

    class Meta:
        verbose_name = _("app connection")
        verbose_name_plural = _("app connections")
        permissions = permissions.DECLARED
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "name"], name="infisical_azure_name_once"
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def lock(self) -> bool:
        """
        Lock the row until the transaction ends; return False where it is gone.

        Issuing a client secret and removing the connection wait for each other here.
        Whoever locks the refresh token's row as well locks that first.
        """
        rows = AppConnection.objects.filter(pk=self.pk)
        return bool(rows.update(updated_at=F("updated_at")))

    def save_details(self) -> bool:
        """
        Save name and description alone, since the rest may have changed after it was read.

        Return False where the row is gone: a plain save would bring it back.
        """
        with transaction.atomic(using=database()):
            is_there = self.lock()
            if is_there:
                self.save(update_fields=self.DETAIL_FIELDS)
        return is_there

    @property
    def missing_permissions(self) -> tuple[Permission, ...]:
        """What a person must still grant for every page to work."""
        return permissions.missing(self.granted_scopes)

    def find_cloud(self) -> Cloud:
        """Return the cloud; raise ImproperlyConfigured when it has been disabled since."""
        cloud = conf.clouds.get(self.cloud)
        if cloud is None:
            raise ImproperlyConfigured(
                f"Connection {self.pk} is in the cloud {self.cloud!r}: "
                f'add it to INFISICAL_AZURE["CLOUDS"] again, or remove the connection.'
            )
        return cloud

    @property
    def cloud_label(self) -> str:
        """The cloud's name for people, also where it is no longer enabled."""
        cloud = conf.clouds.get(self.cloud)
        return cloud.label if cloud else self.cloud

    @property
    def is_broken(self) -> bool:
        """Whether it stays unusable until a person acts."""
        return self.status in BROKEN

    def note_granted(self, scopes: Iterable[str]) -> None:
        """Take over the granted scopes and the status that follows from them."""
        self.granted_scopes = sorted(scopes)
        limited = bool(self.missing_permissions)
        self.note_status(self.Status.PERMISSION_MISSING if limited else self.Status.READY)

    def note_status(self, status: Status, code: str = "", fault: Fault | None = None) -> None:
        """Take over a status with its reason; the caller saves `STATUS_FIELDS`."""
        if status != self.status:
            self.status_since = timezone.now()
        self.status = status
        self.explain(code, fault)

    def keep_claims(self, *challenges: str) -> None:
        """Save what Entra or an API wants to be proven, beside what is wanted already."""
        if any(challenges):
            with transaction.atomic(using=database()):
                row = AppConnection.objects.select_for_update().filter(pk=self.pk)
                wanted = row.values_list("claims", flat=True).first() or ""
                self.claims = merged(wanted, *challenges)
                row.update(claims=self.claims)

    def credential(self) -> Any:
        """
        Return an azure.core credential for Microsoft's SDK clients.

        Raises ImportError without the extra ``keyvault`` or ``appconfig``.
        """
        # By name: the credential is an edge above this module, and azure.core an extra.
        return import_string("infisical_azure.credential.ConnectionCredential")(self)


def database() -> str:
    """Return the alias of the database that the connections are written to."""
    return router.db_for_write(AppConnection)


BROKEN = frozenset(
    {
        AppConnection.Status.NEEDS_RECONNECT,
        AppConnection.Status.NEEDS_ADMIN_APPROVAL,
        AppConnection.Status.OPERATOR_MUST_ACT,
    }
)
