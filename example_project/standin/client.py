"""Start a stand-in from a test, and steer it."""

from __future__ import annotations

import html
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlencode, urlsplit

import requests

from .certificates import write_certificates
from .directory_client import DirectoryControls
from .domains import STORES, VAULTS, Domain
from .loopback import session_for

_READY = "Entra stand-in ready on "
_ROOT = Path(__file__).resolve().parents[2]
_TIMEOUT = 30
Journal = list[dict[str, Any]]


class StandInPage(Exception):
    """The browser was kept on a Microsoft page: nobody went back to the application."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"AADSTS{code}: {text}")
        self.code = code
        self.text = text


class StandIn(DirectoryControls):
    """A running stand-in: its address, its controls, and a browser to walk its pages."""

    def __init__(
        self,
        url: str,
        process: subprocess.Popen[str] | None = None,
        *,
        ca_file: str | None = None,
        folder: tempfile.TemporaryDirectory[str] | None = None,
    ) -> None:
        self.url = url
        # What callers have to trust; None unless it was started with tls.
        self.ca_file = ca_file
        self._process = process
        self._folder = folder

    @classmethod
    def start(
        cls,
        redirect_uris: Sequence[str] = (),
        *,
        client_id: str = "",
        client_secret: str = "",
        seed: int | None = 1,
        port: int = 0,
        tls: bool = False,
    ) -> StandIn:
        """Start one in a process of its own, and wait until it listens."""
        folder = tempfile.TemporaryDirectory(prefix="standin-") if tls else None
        certificates = None if folder is None else write_certificates(Path(folder.name))
        command = [sys.executable, "-m", "example_project.standin", "--exit-with-parent"]
        command += ["--port", str(port)]
        for uri in redirect_uris:
            command += ["--redirect-uri", uri]
        for option, value in (("--client-id", client_id), ("--client-secret", client_secret)):
            command += [f"{option}={value}"] if value else []
        command += [] if seed is None else ["--seed", str(seed)]
        if certificates is not None:
            command += ["--tls", str(certificates.certificate_file), str(certificates.key_file)]
        # A file, not a pipe: nobody would empty the pipe.
        with tempfile.TemporaryFile("w+") as stderr:
            process = subprocess.Popen(  # noqa: S603
                command, cwd=_ROOT, stdout=subprocess.PIPE, stderr=stderr, text=True
            )
            assert process.stdout is not None  # noqa: S101
            line = process.stdout.readline()
            if not line.startswith(_READY):
                process.kill()
                process.wait()
                process.stdout.close()
                if folder is not None:
                    folder.cleanup()
                stderr.seek(0)
                raise RuntimeError(f"the stand-in did not start: {line}{stderr.read()}")
        ca_file = None if certificates is None else str(certificates.ca_file)
        return cls(line.removeprefix(_READY).strip(), process, ca_file=ca_file, folder=folder)

    def stop(self) -> None:
        if self._process is None:
            return
        self._process.terminate()
        self._process.wait(timeout=_TIMEOUT)
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._process = None
        if self._folder is not None:
            self._folder.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    # Addresses

    @property
    def graph_url(self) -> str:
        return f"{self.url}/graph/v1.0"

    def token_url(self, tenant: str) -> str:
        return f"{self.url}/{tenant}/oauth2/v2.0/token"

    def authorize_url(self, tenant: str) -> str:
        return f"{self.url}/{tenant}/oauth2/v2.0/authorize"

    def vault_url(self, vault: str = "contoso-vault", *, as_host: bool = False) -> str:
        """A vault's address: a path, or a host name that only session() is sure to reach.

        Key Vault's client keeps one tenant per host, so two tenants' vaults need as_host.
        """
        return self._data_url(VAULTS, vault, as_host=as_host)

    def store_url(self, store: str = "contoso-config", *, as_host: bool = False) -> str:
        return self._data_url(STORES, store, as_host=as_host)

    def _data_url(self, domain: Domain, name: str, *, as_host: bool) -> str:
        own = urlsplit(self.url)
        if as_host:
            return f"{own.scheme}://{name}.{domain.name}:{own.port}"
        return f"{self.url}/{domain.path}/{name}"

    def session(self) -> requests.Session:
        """HTTP that trusts the stand-in, and finds it under its own and all of Azure's names."""
        return session_for(self.url, self.ca_file)

    # Controls; control.py and data_control.py say what each does, graph_control.py the inherited

    def control(self, method: str, name: str, body: dict[str, Any] | None = None) -> Any:
        response = requests.request(
            method,
            f"{self.url}/_standin/{name}",
            json=body or {},
            timeout=_TIMEOUT,
            verify=self.ca_file or True,
        )
        if not response.ok:
            raise ValueError(f"{name}: {response.text}")
        return response.json()

    def reset(self) -> None:
        self.control("POST", "reset")

    def fault(
        self,
        name: str,
        times: int | None = 1,
        seconds: float | None = None,
        *,
        tenant: str = "",
        grant_type: str = "",
    ) -> None:
        body = {"fault": name, "times": times, "seconds": seconds}
        self.control("POST", "faults", {**body, "tenant": tenant, "grant_type": grant_type})

    def clear_faults(self) -> None:
        self.control("DELETE", "faults")

    def fault_names(self) -> list[str]:
        return list(self.control("GET", "faults")["known"])

    def journal(self) -> Journal:
        entries: Journal = self.control("GET", "journal")
        return entries

    def data_requests(self) -> Journal:
        return [entry for entry in self.journal() if "bearer" in entry]

    def token_requests(self) -> Journal:
        return [entry for entry in self.journal() if entry["path"].endswith("/oauth2/v2.0/token")]

    def auto(self, account: str | None, decision: str = "accept") -> None:
        self.control("POST", "auto", {"account": account, "decision": decision})

    def grant_consent(
        self,
        tenant: str,
        *,
        account: str = "",
        resource: str = "",
        scopes: Sequence[str] | None = None,
    ) -> None:
        body = {"action": "grant", "tenant": tenant, "account": account, "resource": resource}
        chosen = None if scopes is None else list(scopes)
        self.control("POST", "consents", {**body, "scopes": chosen})

    def revoke_consent(self, tenant: str, *, account: str = "", resource: str = "") -> None:
        body = {"action": "revoke", "tenant": tenant, "account": account, "resource": resource}
        self.control("POST", "consents", body)

    def revoke_sessions(self, account: str) -> None:
        self.control("POST", "revoke", {"account": account})

    def detect_reuse(self) -> None:
        """Let a refresh token that is sent twice end its session, as some authorities do."""
        self.control("POST", "reuse")

    def double_uses(self) -> int:
        return int(self.control("GET", "reuse")["double_uses"])

    def clock(self, offset_seconds: float) -> None:
        self.control("POST", "clock", {"offset_seconds": offset_seconds})

    def rotate_keys(self, *, drop_old: bool = False) -> None:
        self.control("POST", "keys/rotate", {"drop_old": drop_old})

    def latency(self, seconds: float) -> None:
        self.control("POST", "latency", {"seconds": seconds})

    def canaries(self, **prefixes: str) -> None:
        """Prefixes of what is given out: code, access_token, refresh_token, secret."""
        self.control("POST", "canaries", prefixes)

    def assign_role(self, account: str, place: str, role: str) -> None:
        self.control("POST", "roles", {"account": account, "place": place, "role": role})

    def data_planes(
        self, *, looks_until_settled: int | None = None, page_size: int | None = None
    ) -> None:
        switches = {"looks_until_settled": looks_until_settled, "page_size": page_size}
        given = {name: value for name, value in switches.items() if value is not None}
        self.control("POST", "data_planes", given)

    def registration(self) -> dict[str, Any]:
        answer: dict[str, Any] = self.control("GET", "registration")
        return answer

    # A browser

    def authorize(
        self,
        url: str,
        account: str = "ada@contoso.com",
        decision: str = "accept",
        *,
        fault: str = "",
    ) -> str:
        """Walk the pages as a person would; return where the browser is sent in the end.

        account: whom to pick; empty presses Cancel on that page.
        decision: accept, decline, cancel or consent_for_all, on the consent page if it comes.
        fault: what to choose under "Make something go wrong".
        A form_post answer comes back as its address with the fields as query.
        Raises StandInPage when no way leads back to the application.
        """
        consent = {"decision": decision}
        if decision == "consent_for_all":
            consent = {"decision": "accept", "for_everyone": "1"}
        answers = {"pick": {"account": account, "fault": fault}, "consent": consent}
        if decision == "cancel":
            answers["approval"] = consent
        with self.session() as browser:
            response = browser.get(url, allow_redirects=False, timeout=_TIMEOUT)
            while not response.is_redirect:
                page = _Page(response)
                if page.name == "form_post":
                    return f"{page.action}?{urlencode(page.fields)}"
                if page.name not in answers:
                    raise StandInPage(page.code, page.text)
                response = browser.post(
                    f"{self.url}{page.action}",
                    answers.pop(page.name),
                    allow_redirects=False,
                    timeout=_TIMEOUT,
                )
            return response.headers["Location"]


class _Page:
    def __init__(self, response: requests.Response) -> None:
        self._text = response.text
        self.name = self._find('data-page="([^"]*)"')
        self.action = self._find('<form method="post" action="([^"]*)"')
        self.code = int(self._find('data-aadsts="([0-9]+)"') or 0)
        text = self._find("<p[^>]* data-text>([^<]*)<") or f"HTTP {response.status_code}"
        self.text = text.removeprefix(f"AADSTS{self.code}: ")
        found = re.findall('<input type="hidden" name="([^"]*)" value="([^"]*)"', self._text)
        self.fields = [(html.unescape(name), html.unescape(value)) for name, value in found]

    def _find(self, pattern: str) -> str:
        match = re.search(pattern, self._text)
        return "" if match is None else html.unescape(match.group(1))
