"""The forms of an organization's settings pages."""

from __future__ import annotations

import re
from typing import Any
from uuid import UUID

from django import forms
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Count, Q
from django.utils.translation import gettext_lazy as _

from . import entra, flow, limits
from .clouds import Cloud
from .conf import conf
from .exceptions import RemoteError, UnavailableError
from .health import REASONS
from .models import MARK, AppConnection, validate_name
from .text import displayable, is_guid

_DOMAIN = re.compile(r"(?=.{4,253}\Z)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{1,62}")
# Spaces that show and that don't, and the quotes and braces that tools print around GUIDs.
_PASTED = re.compile(r"[\s\u200b-\u200d\ufeff{}\"']+")
#: The attributes of a field whose text is taken letter by letter.
VERBATIM = {"autocomplete": "off", "autocapitalize": "none", "spellcheck": "false"}


class OwnIds:
    """Give the fields ids that no field of the host's page has."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"auto_id": "infisical_azure_%s", **kwargs})


class ConnectionDetailsForm(OwnIds, forms.ModelForm):
    """Name and description, which never touch the access itself."""

    class Meta:
        model = AppConnection
        fields = ("name", "description")
        widgets = {
            "name": forms.TextInput(attrs=VERBATIM),
            "description": forms.Textarea(attrs={"rows": 2}),
        }
        help_texts = {
            "name": _("Lower-case letters, digits and hyphens, such as “production-azure”."),
            "description": _("What the connection is used for."),
        }
        error_messages = {
            "name": {
                "required": _("Enter a name."),
                "max_length": _("Use at most %(limit_value)d characters."),
            },
            "description": {"max_length": _("Use at most %(limit_value)d characters.")},
        }

    def __init__(self, *args: Any, organization: models.Model, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.organization = organization
        # The model's validators run after clean(), which may ask Microsoft.
        self.fields["name"].validators.append(validate_name)

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        if self.is_taken(name):
            raise self.name_taken()
        return name

    def is_taken(self, name: str) -> bool:
        others = AppConnection.objects.of(self.organization).exclude(pk=self.instance.pk)
        return others.filter(name=name).exists()

    def name_taken(self) -> ValidationError:
        return ValidationError(
            _("This organization already has a connection named “%(name)s”."),
            code="unique",
            params={"name": self.data.get("name", "")},
        )


class TenantForm(OwnIds, forms.Form):
    """Find the directory that a person means, before anybody is sent to Microsoft."""

    tenant = forms.CharField(
        label=_("Directory (tenant) ID"),
        max_length=256,
        error_messages={"required": _("Enter the Directory (tenant) ID.")},
        help_text=_(
            "From the Azure portal: Microsoft Entra ID, Overview. "
            "A domain of the directory works too, such as contoso.com."
        ),
        widget=forms.TextInput(
            attrs={
                "autocomplete": "off",
                "autocapitalize": "none",
                "spellcheck": "false",
                "placeholder": "00000000-0000-0000-0000-000000000000",
            }
        ),
    )

    @property
    def cloud(self) -> Cloud:
        """The cloud to look in; asked for once the other fields are clean."""
        raise NotImplementedError

    def clean_tenant(self) -> str:
        tenant = _PASTED.sub("", self.cleaned_data["tenant"]).lower()
        if not (is_guid(tenant) or _DOMAIN.fullmatch(tenant)):
            raise ValidationError(
                _(
                    "Enter the Directory (tenant) ID: 32 hexadecimal digits in five groups, "
                    "or a domain name of the directory."
                ),
                code="invalid",
            )
        return tenant

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        if not self.errors:  # Only what is otherwise right is worth asking Microsoft for.
            try:
                cleaned["tenant_id"] = self._find_tenant(cleaned["tenant"])
            except ValidationError as error:
                self.add_error("tenant", error)
        return cleaned

    def _find_tenant(self, tenant: str) -> UUID:
        try:
            return entra.find_tenant(self.cloud, tenant)
        except UnavailableError as exc:
            if is_guid(tenant):
                return UUID(tenant)  # Microsoft will say on its own page if there is none.
            raise ValidationError(
                _(
                    "Microsoft can't be reached to look up this domain. "
                    "Enter the directory's ID instead, or try again later."
                ),
                code="unavailable",
            ) from exc
        except RemoteError as exc:
            raise self._unknown(tenant) from exc

    def _unknown(self, tenant: str) -> ValidationError:
        params = {"cloud": self.cloud.label, "tenant": tenant}
        elsewhere = entra.find_cloud_of(tenant, apart_from=self.cloud)
        if elsewhere is None:
            message = _(
                "%(cloud)s knows no directory “%(tenant)s”. Copy the ID from the Azure "
                "portal: Microsoft Entra ID, Overview."
            )
            return ValidationError(message, code="unknown", params=params)
        params["elsewhere"] = elsewhere.label
        if elsewhere.name in conf.clouds:
            message = _("This directory is in %(elsewhere)s. Choose that cloud.")
        else:
            message = _(
                "This directory is in %(elsewhere)s. The operator of this site must enable "
                "that cloud first."
            )
        return ValidationError(message, code="elsewhere", params=params)


class AzureConnectionForm(TenantForm, ConnectionDetailsForm):
    """Everything that must be right before a person is sent to Microsoft."""

    cloud_name = forms.ChoiceField(
        label=_("Cloud"), help_text=_("Where the directory lives; most are in Azure itself.")
    )
    method = forms.ChoiceField(
        label=_("Method"),
        choices=AppConnection.Method.choices,
        help_text=_("You sign in at Microsoft and grant the access there."),
    )

    field_order = ("name", "description", "tenant", "cloud_name", "method")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        clouds = conf.clouds
        self.fields["cloud_name"].choices = [(c.name, c.label) for c in clouds.values()]  # type: ignore[attr-defined]
        if len(clouds) == 1:
            del self.fields["cloud_name"]

    def is_taken(self, name: str) -> bool:
        """Look for the name, and in the same query whether the limit is reached."""
        found = AppConnection.objects.of(self.organization).aggregate(
            all=Count("pk"), named=Count("pk", filter=Q(name=name))
        )
        if limits.CONNECTIONS.refuses(found["all"] + 1):
            self.add_error(None, ValidationError(str(limits.CONNECTIONS), code="limit"))
        return bool(found["named"])

    @property
    def cloud(self) -> Cloud:
        clouds = conf.clouds
        return clouds[self.cleaned_data.get("cloud_name") or next(iter(clouds))]

    @property
    def wanted(self) -> flow.Wanted:
        """The valid input, as the round trip takes it."""
        return flow.Wanted(
            name=self.cleaned_data["name"],
            description=self.cleaned_data["description"],
            cloud=self.cloud,
            tenant_id=self.cleaned_data["tenant_id"],
        )


class ReconnectForm(TenantForm):
    """Which directory to sign in to again, and whether another account may take over."""

    may_switch = forms.BooleanField(
        label=_("Another account or directory may take this connection over"), required=False
    )

    def __init__(self, *args: Any, instance: AppConnection, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.instance = instance

    @property
    def cloud(self) -> Cloud:
        return self.instance.find_cloud()

    @property
    def wanted(self) -> flow.Wanted:
        """The valid input, as the round trip takes it."""
        return flow.Wanted(
            name=self.instance.name,
            description=self.instance.description,
            cloud=self.cloud,
            tenant_id=self.cleaned_data["tenant_id"],
            connection=self.instance,
            may_switch=self.cleaned_data["may_switch"],
        )

    def clean(self) -> dict[str, Any]:
        if self.instance.cloud not in conf.clouds:
            raise ValidationError(str(REASONS["cloud_disabled"]), code="cloud_disabled")
        cleaned = super().clean()
        is_other = cleaned.get("tenant_id", self.instance.tenant_id) != self.instance.tenant_id
        if is_other and not cleaned.get("may_switch"):
            message = _("That is another directory. To let it take over, tick the box below.")
            self.add_error("tenant", ValidationError(message, code="switched"))
        return cleaned


class ConfirmForm(OwnIds, forms.Form):
    """Ask for a name once more, so that no single click removes anything for good."""

    name = forms.CharField(
        label=_("Type the name to confirm"),
        widget=forms.TextInput(attrs=VERBATIM),
    )

    def __init__(self, *args: Any, expected: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.expected = expected

    def clean_name(self) -> str:
        # Pages show any white space as one space.
        name = " ".join(self.cleaned_data["name"].split())
        if name != " ".join(self.expected.split()):
            raise ValidationError(
                _("That is not the name. Type %(name)s."),
                code="mismatch",
                params={"name": self.expected},
            )
        return name


class SecretSavedForm(OwnIds, forms.Form):
    """The one-time key of a form that issues a client secret."""

    attempt = forms.UUIDField(widget=forms.HiddenInput)


class SecretAddForm(SecretSavedForm):
    """What a new client secret is called and how long it lasts."""

    name = forms.CharField(
        label=_("Name"),
        max_length=120,
        help_text=_("What it is for, such as “build server”. Everybody in Azure sees it."),
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
    )
    lifetime = forms.TypedChoiceField(
        label=_("Lifetime"),
        coerce=int,
        choices=[
            (30, _("30 days")),
            (90, _("90 days")),
            (180, _("180 days")),
            (365, _("1 year")),
            (730, _("2 years")),
        ],
        initial=180,
        help_text=_("The shorter, the less a leaked secret is worth."),
    )

    def clean_name(self) -> str:
        name = displayable(self.cleaned_data["name"])
        if not name:  # Invisible characters alone.
            raise ValidationError(self.fields["name"].error_messages["required"], code="required")
        if name.startswith(MARK):
            raise ValidationError(
                _("Names that begin with “%(mark)s” are for rotations."),
                code="reserved",
                params={"mark": MARK.strip()},
            )
        return name
