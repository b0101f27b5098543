"""The Azure clouds as data: hosts to call and audiences to ask tokens for."""

from __future__ import annotations

from dataclasses import dataclass


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

    def application_url(self, client_id: str) -> str:
        """
        Return the portal's page of an application in a tenant, where consent is removed.

        The path is the portal's own and not documented.
        """
        blade = "Microsoft_AAD_IAM/ManagedAppMenuBlade/~/Overview"
        return f"{self.portal}/#view/{blade}/appId/{client_id}"


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
