"""The forms of an organization's settings pages."""

from __future__ import annotations

import re
from typing import Any
from uuid import UUID

from django import forms
from django.core.exceptions import ValidationError
from django.db import models
from django.utils.translation import gettext_lazy as _

from . import entra, flow
from .clouds import Cloud
from .conf import conf
from .exceptions import RemoteError, UnavailableError
from .guid import is_guid
from .models import AppConnection, validate_name

_DOMAIN = re.compile(r"(?=.{4,253}\Z)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{1,62}")
# Spaces that show and that don't, and the quotes and braces that tools print around GUIDs.
_PASTED = re.compile(r"[\s\u200b-\u200d\ufeff{}\"']+")


class ConnectionDetailsForm(forms.ModelForm):
    """Name and description, which never touch the access itself."""

    class Meta:
        model = AppConnection
        fields = ("name", "description")
        widgets = {
            "name": forms.TextInput(
                attrs={"autocomplete": "off", "autocapitalize": "none", "spellcheck": "false"}
            ),
            "description": forms.Textarea(attrs={"rows": 2}),
        }
        help_texts = {
            "name": _("Lower-case letters, digits and hyphens, such as “production-azure”."),
            "description": _("Optional: what the connection is used for."),
        }
        error_messages = {
            "name": {"max_length": _("Use at most %(limit_value)d characters.")},
            "description": {"max_length": _("Use at most %(limit_value)d characters.")},
        }

    def __init__(self, *args: Any, organization: models.Model, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.organization = organization
        # The model's validators run after clean(), which may ask Microsoft.
        self.fields["name"].validators.append(validate_name)

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        others = AppConnection.objects.of(self.organization).exclude(pk=self.instance.pk)
        if others.filter(name=name).exists():
            raise ValidationError(
                _("This organization already has a connection named “%(name)s”."),
                code="unique",
                params={"name": name},
            )
        return name


class AzureConnectionForm(ConnectionDetailsForm):
    """Everything that must be right before a person is sent to Microsoft."""

    tenant = forms.CharField(
        label=_("Directory (tenant) ID"),
        max_length=256,
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
    cloud = forms.ChoiceField(
        label=_("Cloud"), help_text=_("Where the directory lives; most are in Azure itself.")
    )
    method = forms.ChoiceField(
        label=_("Method"),
        choices=AppConnection.Method.choices,
        help_text=_("You sign in at Microsoft and grant the access there."),
    )

    field_order = ("name", "description", "tenant", "cloud", "method")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        clouds = conf.clouds
        self.fields["cloud"].choices = [(c.name, c.label) for c in clouds.values()]  # type: ignore[attr-defined]
        if len(clouds) == 1:
            del self.fields["cloud"]

    @property
    def wanted(self) -> flow.Wanted:
        """The valid input, as the round trip takes it."""
        return flow.Wanted(
            name=self.cleaned_data["name"],
            description=self.cleaned_data["description"],
            cloud=self._cloud,
            tenant_id=self.cleaned_data["tenant_id"],
        )

    @property
    def _cloud(self) -> Cloud:
        clouds = conf.clouds
        return clouds[self.cleaned_data.get("cloud") or next(iter(clouds))]

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
            return entra.find_tenant(self._cloud, tenant)
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
            raise ValidationError(
                _(
                    "%(cloud)s knows no directory “%(tenant)s”. Copy the ID from the Azure "
                    "portal: Microsoft Entra ID, Overview."
                ),
                code="unknown",
                params={"cloud": self._cloud.label, "tenant": tenant},
            ) from exc


class ConnectionRemoveForm(forms.Form):
    """Ask for the name once more, so that no click alone removes a connection."""

    name = forms.CharField(
        label=_("Type the name to confirm"),
        widget=forms.TextInput(
            attrs={"autocomplete": "off", "autocapitalize": "none", "spellcheck": "false"}
        ),
    )

    def __init__(self, *args: Any, instance: AppConnection, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.instance = instance

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"].strip()
        if name != self.instance.name:
            raise ValidationError(
                _("That is not the name. Type %(name)s."),
                code="mismatch",
                params={"name": self.instance.name},
            )
        return name
