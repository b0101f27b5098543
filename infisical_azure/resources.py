"""The APIs that tokens are for, and their audiences in each cloud."""

from __future__ import annotations

import enum
from urllib.parse import urlsplit

from .clouds import Cloud


class Resource(enum.StrEnum):
    """An API of Azure by its name; an audience of another one works as well."""

    GRAPH = "graph"
    KEY_VAULT = "key-vault"
    APP_CONFIGURATION = "app-configuration"


def audience_of(resource: str, cloud: Cloud) -> str:
    """
    Return what a token for this API is asked for, without ``/.default``.

    Takes a `Resource`, or a scope such as ``https://vault.azure.net/.default``.
    Raises ValueError for anything else.
    """
    known = {
        Resource.GRAPH: cloud.graph_audience,
        Resource.KEY_VAULT: cloud.key_vault_audience,
        Resource.APP_CONFIGURATION: cloud.app_configuration_audience,
    }
    if resource in known:
        return known[Resource(resource)]
    audience = resource.removesuffix("/.default").rstrip("/")
    url = urlsplit(audience)
    if url.scheme != "https" or not url.hostname or " " in resource or audience == resource:
        raise ValueError(
            f"{resource!r} is neither one of {', '.join(Resource)} "
            "nor a scope such as 'https://vault.azure.net/.default'."
        )
    return audience


def label_of(audience: str, cloud: Cloud | None) -> str:
    """Return how people call the API with this audience."""
    names = {
        "Microsoft Graph": {cloud.graph_audience} if cloud else set(),
        "Azure Key Vault": {cloud.key_vault_audience} if cloud else set(),
        "Azure App Configuration": (
            {cloud.app_configuration_audience, "https://azconfig.io"} if cloud else set()
        ),
    }
    return next((name for name, known in names.items() if audience in known), audience)
