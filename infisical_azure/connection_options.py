"""What the "Add connection" dialog offers; a further kind is one more entry."""

from __future__ import annotations

from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionOption:
    """One kind of connection."""

    label: str | Promise
    description: str | Promise
    icon: str
    """A template with an inline SVG."""
    url_name: str
    """The form's URL, reversed with the organization's key."""


OPTIONS = (
    ConnectionOption(
        label=_("Azure Client Secrets"),
        description=_("Issue, watch and rotate the client secrets of applications in Azure."),
        icon="infisical_azure/icons/azure.svg",
        url_name="infisical_azure:azure_connection_add",
    ),
)
