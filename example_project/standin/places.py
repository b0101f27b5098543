"""A vault or store as the caller addressed it: by host name or by path."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from django.http import HttpRequest, HttpResponseBase

from .domains import Domain, split_host
from .state import STATE


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    name: str
    # What links to further pages begin with.
    url: str
    # What ids begin with: always a host name, as clients reject an id with a longer path.
    id_url: str
    audiences: tuple[str, ...]


class HostNames:
    """Give a request to the host of a vault or store the path that says the same."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        found = split_host(_host(request).partition(":")[0])
        if found is not None:
            name, domain = found
            request.META["standin.domain"] = domain
            request.path = request.path_info = f"/{domain.path}/{name}{request.path_info}"
        return self.get_response(request)


def place_of(request: HttpRequest, name: str, usual: Domain) -> Place:
    own = urlsplit(STATE.origin)
    domain = request.META.get("standin.domain")
    if not isinstance(domain, Domain):
        return Place(
            name=name,
            url=f"{STATE.origin}/{usual.path}/{name}",
            id_url=f"{own.scheme}://{name}.{usual.name}:{own.port}",
            audiences=usual.audiences,
        )
    host, _, port = _host(request).partition(":")
    shown = "" if port in ("", "443") else f":{port}"
    return Place(
        name=name,
        # Key Vault names the port even where it goes without saying.
        url=f"{own.scheme}://{host}:{port or 443}",
        id_url=f"{own.scheme}://{host}{shown}",
        audiences=domain.audiences,
    )


def _host(request: HttpRequest) -> str:
    return request.headers.get("Host", "")
