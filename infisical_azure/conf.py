"""A typed view of the settings and INF_* environment, read at every use."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string
from environ import FileAwareMapping

from .anew import raising_anew
from .clouds import BUILT_IN, Cloud
from .secret import Secret

#: Every key of the INFISICAL_AZURE setting with its default; durations in seconds.
DEFAULTS: dict[str, Any] = {
    "HOST": "infisical_azure.host.GroupHost",
    "CLOUDS": ["public"],
    "AUTHORIZATION_LIFETIME": 600,
    "CONNECT_TIMEOUT": 3.05,
    "READ_TIMEOUT": 10,
    "TOTAL_TIMEOUT": 20,
    "MAX_RESPONSE_BYTES": 1_000_000,
    "MAX_PENDING_AUTHORIZATIONS": 50,
    "MAX_CONNECTIONS": 100,
    "MAX_ROTATIONS": 500,
    "MAX_SECRETS": 1000,
    "TOKEN_LEEWAY": 300,
    "REFRESH_WORKERS": 16,
    "SECRET_HOOKS": {},
    "ROTATION_PROOFS": 5,
    "ROTATION_PROOF_PAUSE": 1,
    "WATCH_INTERVAL": 86400 // 4,
    "EXPIRY_WARNINGS": [30, 7, 1],
    "HISTORY_DAYS": 400,
}


def _environment(name: str) -> str:
    """
    Return a variable letter by letter, or what the file NAME_FILE holds.

    Not through ``Env``: that takes a value that begins with ``$`` for the name of
    another variable, and shows it when there is none. Not cached: a mounted secret
    that is replaced counts without a restart.
    """
    return str(FileAwareMapping(cache=False).get(name, ""))


class Conf:
    """The settings of this package; what operators set, then the tunables."""

    # Set by operators, in settings or environment

    @property
    def client_id(self) -> str:
        return self._operator("INF_APP_CONNECTION_AZURE_CLIENT_ID")

    @property
    def client_secret(self) -> Secret:
        return Secret.of(lambda: self._operator("INF_APP_CONNECTION_AZURE_CLIENT_SECRET"))

    @property
    def site_url(self) -> str:
        return self._operator("SITE_URL").rstrip("/")

    @property
    @raising_anew
    def fernet_keys(self) -> tuple[str, ...]:
        keys = getattr(settings, "FERNET_KEYS", None)
        if keys is None:
            keys = [key for key in _environment("FERNET_KEYS").strip().split(",") if key]
        if isinstance(keys, str | bytes) or not isinstance(keys, Sequence):
            raise ImproperlyConfigured('FERNET_KEYS must be a list: FERNET_KEYS = ["..."].')
        return tuple(key.decode() if isinstance(key, bytes) else str(key) for key in keys)

    @property
    def missing_operator_settings(self) -> list[str]:
        """Names of the settings without which nobody can be sent to Microsoft."""
        values = {
            "INF_APP_CONNECTION_AZURE_CLIENT_ID": bool(self.client_id),
            "INF_APP_CONNECTION_AZURE_CLIENT_SECRET": bool(self.client_secret),
            "SITE_URL": bool(self.site_url),
            "FERNET_KEYS": bool(self.fernet_keys),
        }
        return [name for name, is_set in values.items() if not is_set]

    # Set by host developers

    @property
    def organization_model(self) -> str:
        return str(getattr(settings, "INFISICAL_AZURE_ORGANIZATION_MODEL", "auth.Group"))

    @property
    def host(self) -> str:
        return str(self._tunable("HOST"))

    @property
    def clouds(self) -> dict[str, Cloud]:
        """
        The enabled clouds by name, the first being the default.

        Raises ImproperlyConfigured for an unknown name or a path to no `Cloud`.
        """
        found = [self._cloud(name) for name in self._tunable("CLOUDS")]
        if not found:
            raise ImproperlyConfigured('INFISICAL_AZURE["CLOUDS"] must name at least one cloud.')
        return {cloud.name: cloud for cloud in found}

    # Tunables

    @property
    def authorization_lifetime(self) -> timedelta:
        return timedelta(seconds=self._tunable("AUTHORIZATION_LIFETIME"))

    @property
    def connect_timeout(self) -> float:
        return float(self._tunable("CONNECT_TIMEOUT"))

    @property
    def read_timeout(self) -> float:
        return float(self._tunable("READ_TIMEOUT"))

    @property
    def total_timeout(self) -> float:
        return float(self._tunable("TOTAL_TIMEOUT"))

    @property
    def max_response_bytes(self) -> int:
        return int(self._tunable("MAX_RESPONSE_BYTES"))

    @property
    def token_leeway(self) -> timedelta:
        return timedelta(seconds=self._tunable("TOKEN_LEEWAY"))

    @property
    def lease(self) -> timedelta:
        """How long one process may take to refresh: longer than an answer can last."""
        return timedelta(seconds=self.total_timeout + 5)

    @property
    def refresh_workers(self) -> int:
        return int(self._tunable("REFRESH_WORKERS"))

    @property
    def secret_hooks(self) -> dict[str, str]:
        return dict(self._tunable("SECRET_HOOKS"))

    @property
    def rotation_proofs(self) -> int:
        return int(self._tunable("ROTATION_PROOFS"))

    @property
    def rotation_proof_pause(self) -> float:
        return float(self._tunable("ROTATION_PROOF_PAUSE"))

    @property
    def watch_interval(self) -> timedelta:
        return timedelta(seconds=self._tunable("WATCH_INTERVAL"))

    @property
    def expiry_warnings(self) -> tuple[int, ...]:
        """So many days before a client secret's end people are told, the fewest first."""
        return tuple(sorted({int(days) for days in self._tunable("EXPIRY_WARNINGS")}))

    @property
    def history_days(self) -> int:
        return int(self._tunable("HISTORY_DAYS"))

    @property
    def history_kept(self) -> timedelta:
        return timedelta(days=self.history_days)

    @property
    def max_pending_authorizations(self) -> int:
        return int(self._tunable("MAX_PENDING_AUTHORIZATIONS"))

    def limit(self, key: str) -> int | None:
        """Return how many rows an organization may have by a ``MAX_…`` key; None is no limit."""
        most = self._tunable(key)
        return None if most is None else int(most)

    @staticmethod
    def _operator(name: str) -> str:
        return str(getattr(settings, name, None) or _environment(name)).strip()

    @staticmethod
    def _tunable(key: str) -> Any:
        return getattr(settings, "INFISICAL_AZURE", {}).get(key, DEFAULTS[key])

    @staticmethod
    def _cloud(name: str) -> Cloud:
        if name in BUILT_IN:
            return BUILT_IN[name]
        try:
            cloud = import_string(name)
        except ImportError:
            cloud = None
        if not isinstance(cloud, Cloud):
            known = ", ".join(BUILT_IN)
            raise ImproperlyConfigured(
                f'INFISICAL_AZURE["CLOUDS"]: {name!r} is neither one of {known} '
                "nor the dotted path of an infisical_azure.clouds.Cloud."
            )
        return cloud


conf = Conf()
