"""The domains under which vaults and stores are hosts, in every cloud."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Domain:
    name: str
    # The first segment of the path that says the same without a host of its own.
    path: str
    # What tokens must be for; the first is the one that challenges name.
    audiences: tuple[str, ...]


def _vaults(name: str, resource: str) -> Domain:
    return Domain(name=name, path="keyvault", audiences=(resource,))


def _stores(name: str, *audiences: str) -> Domain:
    return Domain(name=name, path="appconfig", audiences=audiences)


VAULTS = _vaults("vault.localhost", "https://vault.azure.net")
STORES = _stores("azconfig.localhost", "https://appconfig.azure.com", "https://azconfig.io")
DOMAINS = (
    VAULTS,
    _vaults("vault.azure.net", "https://vault.azure.net"),
    _vaults("vault.usgovcloudapi.net", "https://vault.usgovcloudapi.net"),
    _vaults("vault.azure.cn", "https://vault.azure.cn"),
    STORES,
    _stores("azconfig.io", "https://appconfig.azure.com", "https://azconfig.io"),
    _stores("azconfig.azure.us", "https://appconfig.azure.us", "https://azconfig.azure.us"),
    _stores("azconfig.azure.cn", "https://appconfig.azure.cn", "https://azconfig.azure.cn"),
)
# For all that treats requests to Entra and to a data plane differently.
PATHS = (f"/{VAULTS.path}/", f"/{STORES.path}/")


def split_host(host: str) -> tuple[str, Domain] | None:
    """The vault or store that a host name, without port, stands for."""
    name, _, rest = host.lower().partition(".")
    return next(((name, domain) for domain in DOMAINS if domain.name == rest), None)
