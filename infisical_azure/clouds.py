"""The Azure clouds as data: hosts to call and audiences to ask tokens for."""

from __future__ import annotations

import re
from dataclasses import dataclass

# A vault's or store's name is the first label of a host's name: nothing else may be in it
# (azure-resource-manager, resource-name-rules).
_VAULT = re.compile(r"(?=.{3,24}\Z)[A-Za-z](-?[A-Za-z0-9])+")
_STORE = re.compile(r"(?=.{5,50}\Z)[A-Za-z0-9](-{0,2}[A-Za-z0-9])+")
_VAULT_SECRET = re.compile(r"[0-9A-Za-z-]{1,127}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cloud:
    """
    One Azure cloud; URLs without a trailing slash.

    Sources: entra-docs ``authentication-national-cloud``, Graph ``deployments``,
    azure-docs ``about-keys-secrets-certificates`` and ``concept-enable-rbac``.
    """

    name: str
    """How settings and rows call it."""
    label: str
    """How people call it."""
    authority: str
    """Microsoft Entra ID's origin."""
    graph: str
    """Where Microsoft Graph is called."""
    graph_audience: str
    """What a Graph token is asked for; its scopes begin with it."""
    key_vault_audience: str
    app_configuration_audience: str
    vaults: str
    """A vault's URL, with ``{name}``."""
    stores: str
    """An App Configuration store's URL, with ``{name}``."""
    portal: str
    """The Azure portal's origin, for links."""

    def vault_url(self, name: str) -> str:
        """Return a vault's URL; raise ValueError for what is no vault's name."""
        return _address(self.vaults, name, is_vault(name))

    def store_url(self, name: str) -> str:
        """Return an App Configuration store's URL; raise ValueError for no store's name."""
        return _address(self.stores, name, is_store(name))

    def application_url(self, client_id: str) -> str:
        """
        Return the portal's page of an application in a tenant, where consent is removed.

        The path is the portal's own and not documented.
        """
        blade = "Microsoft_AAD_IAM/ManagedAppMenuBlade/~/Overview"
        return f"{self.portal}/#view/{blade}/appId/{client_id}"


def is_vault(name: str) -> bool:
    """Say whether a vault can have this name."""
    return _VAULT.fullmatch(name) is not None


def is_store(name: str) -> bool:
    """Say whether an App Configuration store can have this name."""
    return _STORE.fullmatch(name) is not None


def is_vault_secret(name: str) -> bool:
    """Say whether a vault's secret can have this name."""
    return _VAULT_SECRET.fullmatch(name) is not None


def _address(template: str, name: str, is_name: bool) -> str:  # noqa: FBT001
    if not is_name:
        raise ValueError("That is no name of a vault or store.")
    return template.format(name=name)


PUBLIC = Cloud(
    name="public",
    label="Azure",
    authority="https://login.microsoftonline.com",
    graph="https://graph.microsoft.com",
    graph_audience="https://graph.microsoft.com",
    key_vault_audience="https://vault.azure.net",
    app_configuration_audience="https://appconfig.azure.com",
    vaults="https://{name}.vault.azure.net",
    stores="https://{name}.azconfig.io",
    portal="https://portal.azure.com",
)
US_GOVERNMENT = Cloud(
    name="us-government",
    label="Azure US Government",
    authority="https://login.microsoftonline.us",
    graph="https://graph.microsoft.us",
    graph_audience="https://graph.microsoft.us",
    key_vault_audience="https://vault.usgovcloudapi.net",
    app_configuration_audience="https://appconfig.azure.us",
    vaults="https://{name}.vault.usgovcloudapi.net",
    stores="https://{name}.azconfig.azure.us",
    portal="https://portal.azure.us",
)
US_GOVERNMENT_DOD = Cloud(
    name="us-government-dod",
    label="Azure US Government (DoD)",
    authority="https://login.microsoftonline.us",
    graph="https://dod-graph.microsoft.us",
    graph_audience="https://dod-graph.microsoft.us",
    key_vault_audience="https://vault.usgovcloudapi.net",
    app_configuration_audience="https://appconfig.azure.us",
    vaults="https://{name}.vault.usgovcloudapi.net",
    stores="https://{name}.azconfig.azure.us",
    portal="https://portal.azure.us",
)
CHINA = Cloud(
    name="china",
    label="Azure China (21Vianet)",
    authority="https://login.partner.microsoftonline.cn",
    graph="https://microsoftgraph.chinacloudapi.cn",
    graph_audience="https://microsoftgraph.chinacloudapi.cn",
    key_vault_audience="https://vault.azure.cn",
    app_configuration_audience="https://appconfig.azure.cn",
    vaults="https://{name}.vault.azure.cn",
    stores="https://{name}.azconfig.azure.cn",
    portal="https://portal.azure.cn",
)

BUILT_IN = {cloud.name: cloud for cloud in (PUBLIC, US_GOVERNMENT, US_GOVERNMENT_DOD, CHINA)}
