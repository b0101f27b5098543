"""HTTP for clients: every name of a vault or store leads to the stand-in."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter

from .domains import split_host


class Loopback(HTTPAdapter):
    """Connects to the stand-in for the names it answers to, which DNS may know or not.

    TLS and the Host header keep the name that was asked for.
    """

    def __init__(self, url: str) -> None:
        super().__init__()
        self._own = urlsplit(url)

    def build_connection_pool_key_attributes(
        self, request: requests.PreparedRequest, verify: Any, cert: Any = None
    ) -> Any:
        host, pool = super().build_connection_pool_key_attributes(request, verify, cert)
        if split_host(host["host"]) is None:
            return host, pool
        tls = {"server_hostname": host["host"]} if self._own.scheme == "https" else {}
        ours = {"host": self._own.hostname, "port": self._own.port}
        return {**host, **ours}, {**pool, **tls}

    def add_headers(self, request: requests.PreparedRequest, **kwargs: Any) -> None:
        request.headers["Host"] = urlsplit(str(request.url)).netloc


def session_for(url: str, ca_file: str | None) -> requests.Session:
    session = requests.Session()
    # Neither a proxy nor other authorities, whatever the environment says.
    session.trust_env = False
    session.verify = ca_file or True
    session.mount("http://", Loopback(url))
    session.mount("https://", Loopback(url))
    return session
