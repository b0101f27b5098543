"""System checks: what an operator or host developer has to set, before anybody clicks."""

from __future__ import annotations

import inspect
import logging
import os
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

from cryptography.fernet import Fernet
from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, transaction
from django.urls import NoReverseMatch, reverse

from .anew import raised_anew
from .clouds import BUILT_IN
from .conf import DEFAULTS, conf
from .delivery import hooks
from .host import get_host
from .models import database
from .own_secret import own_secret_warning
from .text import is_guid

REGISTERED_PATH = "/organization/app-connections/azure/oauth/callback"
#: The addresses of a cloud to which tokens and client secrets are sent.
_ADDRESSES = ("authority", "graph", "vaults", "stores")
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}
_NEW_KEY = "python -c 'import secrets; print(secrets.token_urlsafe(32))'"


def check_settings(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    """Check what the package can't work without."""
    return [
        *_check_credentials(),
        *_check_fernet_keys(),
        *_check_host(),
        *_check_organization_model(),
        *_check_site_url(),
        *_check_keys_of_the_dict(),
        *_check_clouds(),
        *_check_hooks(),
        *_check_numbers(),
        *_check_limits(),
        *_check_callback_url(),
    ]


def check_security(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    """Check what would leak secrets or break the way back from Microsoft."""
    return [
        *_check_same_site(),
        *_check_logging(),
        *_check_insecure_transport(),
        *_check_relaxed_scope(),
    ]


def check_own_secret(
    app_configs: Sequence[Any] | None, databases: Sequence[str] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """Check when the operator's client secret ends, where a watched directory shows it."""
    if database() not in (databases or ()):
        return []
    try:
        with transaction.atomic(using=database()):
            expiry = own_secret_warning()
    except DatabaseError:  # Before the first migrate there is no such table.
        return []
    if expiry is None:
        return []
    return [
        Warning(
            f"INF_APP_CONNECTION_AZURE_CLIENT_SECRET: {expiry.text}.",
            hint="Create a new client secret in Azure and set its value: without one that is "
            "valid no connection works.",
            id="infisical_azure.W009",
        )
    ]


def _check_credentials() -> Iterator[CheckMessage]:
    for name, value in (
        ("INF_APP_CONNECTION_AZURE_CLIENT_ID", conf.client_id),
        ("INF_APP_CONNECTION_AZURE_CLIENT_SECRET", conf.client_secret),
    ):
        if not value:
            yield Warning(
                f"{name} is not set: nobody can be sent to Microsoft.",
                hint="Register an application in Azure as README.rst tells, and set it in "
                f"the environment, as {name}_FILE, or in settings.",
                id="infisical_azure.W001",
            )
    if conf.client_id and not is_guid(conf.client_id):
        yield Warning(
            "INF_APP_CONNECTION_AZURE_CLIENT_ID is no GUID.",
            hint="Use the Application (client) ID of the application's overview in Azure.",
            id="infisical_azure.W002",
        )
    if raised_anew(lambda: is_guid(conf.client_secret.reveal())):
        yield Warning(
            "INF_APP_CONNECTION_AZURE_CLIENT_SECRET is a GUID: the secret's id, not its value.",
            hint="Create a new client secret in Azure and copy the column “Value”.",
            id="infisical_azure.W003",
        )


def _check_fernet_keys() -> Iterator[CheckMessage]:
    try:
        keys = conf.fernet_keys
    except ImproperlyConfigured as error:
        yield Error(
            str(error),
            hint=f'Write FERNET_KEYS = ["..."], with the output of: {_NEW_KEY}',
            id="infisical_azure.E002",
        )
        return
    if not keys:
        yield Error(
            "FERNET_KEYS is not set: secrets can't be stored.",
            hint=f'Add FERNET_KEYS = ["..."], with the output of: {_NEW_KEY}',
            id="infisical_azure.E001",
        )
    if getattr(settings, "FERNET_USE_HKDF", True):
        if any(len(key) < 32 for key in keys):
            yield Warning(
                "A key in FERNET_KEYS is shorter than 32 characters.",
                hint=f"Put a new first key before it, from: {_NEW_KEY}",
                id="infisical_azure.W004",
            )
    elif not all(map(_is_fernet_key, keys)):
        yield Error(
            "FERNET_USE_HKDF is False and a key in FERNET_KEYS is no Fernet key.",
            hint="Use cryptography.fernet.Fernet.generate_key(), or remove FERNET_USE_HKDF.",
            id="infisical_azure.E014",
        )
    if len(set(keys)) < len(keys):
        yield Error(
            "FERNET_KEYS holds a key twice.",
            hint="Leave one of the two out.",
            id="infisical_azure.E015",
        )
    if settings.SECRET_KEY in keys:
        yield Error(
            "FERNET_KEYS holds SECRET_KEY.",
            hint="Who learns one must not learn the other. "
            f"Put a new first key before it, from: {_NEW_KEY}",
            id="infisical_azure.E003",
        )


def _is_fernet_key(key: str) -> bool:
    try:
        Fernet(key)
    except ValueError:
        return False
    return True


def _check_host() -> Iterator[CheckMessage]:
    try:
        host = get_host()
    except ImproperlyConfigured as error:
        yield Error(
            str(error),
            hint='Set INFISICAL_AZURE = {"HOST": "project.module.YourHost"}.',
            id="infisical_azure.E004",
        )
        return
    try:
        inspect.signature(host.has_permission).bind(None, "", None, None)
    except TypeError:
        yield Error(
            f"{conf.host}.has_permission is not told which connection a question is about.",
            hint="Write: def has_permission(self, user, permission, organization, connection): "
            "docs/hosts.rst tells what it is asked.",
            id="infisical_azure.E018",
        )


def _check_organization_model() -> Iterator[CheckMessage]:
    try:
        apps.get_model(conf.organization_model)
    except (LookupError, ValueError):
        yield Error(
            f"INFISICAL_AZURE_ORGANIZATION_MODEL = {conf.organization_model!r} is no "
            "installed model.",
            hint='Name it as "app_label.Model", and add its app to INSTALLED_APPS.',
            id="infisical_azure.E005",
        )


def _check_site_url() -> Iterator[CheckMessage]:
    if not conf.site_url:
        yield Warning(
            "SITE_URL is not set: Microsoft can't be told where to send people back to.",
            hint='Set SITE_URL = "https://your.site", in settings or in the environment.',
            id="infisical_azure.W005",
        )
        return
    url = urlsplit(conf.site_url)
    if url.scheme not in {"http", "https"} or not url.hostname or url.query or url.fragment:
        yield Error(
            f"SITE_URL = {conf.site_url!r} is no absolute URL.",
            hint='It looks like "https://your.site".',
            id="infisical_azure.E006",
        )
    elif url.scheme == "http" and not settings.DEBUG and url.hostname not in _LOOPBACK:
        yield Error(
            "SITE_URL begins with http://: Microsoft accepts that for localhost only.",
            hint="Serve the site by https and set SITE_URL to that.",
            id="infisical_azure.E007",
        )


def _check_keys_of_the_dict() -> Iterator[CheckMessage]:
    for key in sorted(set(getattr(settings, "INFISICAL_AZURE", {})) - set(DEFAULTS)):
        yield Error(
            f"INFISICAL_AZURE has an unknown key, {key!r}.",
            hint=f"Known are: {', '.join(DEFAULTS)}.",
            id="infisical_azure.E008",
        )


def _check_clouds() -> Iterator[CheckMessage]:
    try:
        clouds = conf.clouds.values()
    except ImproperlyConfigured as error:
        yield Error(
            str(error),
            hint=f"Known are {', '.join(BUILT_IN)}, and dotted paths to a Cloud of your own.",
            id="infisical_azure.E009",
        )
        return
    for cloud in clouds:
        plain = [name for name in _ADDRESSES if not _is_https(getattr(cloud, name))]
        if plain and not settings.DEBUG:
            yield Error(
                f"The cloud {cloud.name!r} is reached without https: {', '.join(plain)}.",
                hint="Let these addresses begin with https://, or set DEBUG on your own machine.",
                id="infisical_azure.E010",
            )
        elif "authority" in plain and not os.environ.get("OAUTHLIB_INSECURE_TRANSPORT"):
            yield Error(
                f"The authority of the cloud {cloud.name!r} has no https: oauthlib refuses that.",
                hint="On your own machine, set OAUTHLIB_INSECURE_TRANSPORT=1 in the environment.",
                id="infisical_azure.E019",
            )


def _is_https(address: str) -> bool:
    url = urlsplit(address)
    return url.scheme == "https" and bool(url.hostname)


def _check_numbers() -> Iterator[CheckMessage]:
    for name in ("REFRESH_WORKERS", "ROTATION_PROOFS", "HISTORY_DAYS"):
        if getattr(conf, name.lower()) < 1:
            yield Error(
                f'INFISICAL_AZURE["{name}"] is less than 1.',
                hint=f"The default is {DEFAULTS[name]}.",
                id="infisical_azure.E017",
            )


def _check_limits() -> Iterator[CheckMessage]:
    for name in ("MAX_CONNECTIONS", "MAX_ROTATIONS", "MAX_SECRETS"):
        most = getattr(settings, "INFISICAL_AZURE", {}).get(name)
        if most is not None and (type(most) is not int or most < 1):
            yield Error(
                f'INFISICAL_AZURE["{name}"] is no number of at least 1.',
                hint=f"The default is {DEFAULTS[name]}; None means no limit.",
                id="infisical_azure.E017",
            )


def _check_hooks() -> Iterator[CheckMessage]:
    try:
        hooks()
    except ImproperlyConfigured as error:
        yield Error(
            str(error),
            hint="Name a function that takes an infisical_azure.delivery.Delivery, in plain words.",
            id="infisical_azure.E016",
        )


def _check_callback_url() -> Iterator[CheckMessage]:
    if not getattr(settings, "ROOT_URLCONF", None):
        return  # A project without pages, such as a migration tool's.
    try:
        path = reverse("infisical_azure:azure_oauth_callback")
    except NoReverseMatch:
        yield Error(
            "The URLs of infisical_azure are not mounted.",
            hint='Add path("organization/", include("infisical_azure.urls")) to ROOT_URLCONF.',
            id="infisical_azure.E011",
        )
        return
    if path != REGISTERED_PATH:
        yield Warning(
            f"The OAuth callback is at {path}, not at {REGISTERED_PATH}.",
            hint="That works if the application in Azure has this redirect URI; if so, "
            'silence it with SILENCED_SYSTEM_CHECKS = ["infisical_azure.W006"].',
            id="infisical_azure.W006",
        )


def _check_same_site() -> Iterator[CheckMessage]:
    if settings.SESSION_COOKIE_SAMESITE == "Strict":
        yield Error(
            "SESSION_COOKIE_SAMESITE is 'Strict': people come back from Microsoft signed out.",
            hint="Set it to 'Lax', which is Django's default.",
            id="infisical_azure.E012",
        )


def _check_logging() -> Iterator[CheckMessage]:
    if logging.getLogger("requests_oauthlib.oauth2_session").isEnabledFor(logging.DEBUG):
        yield Warning(
            "requests_oauthlib logs at DEBUG: it writes codes, tokens and client secrets.",
            hint="Our own requests are kept out of it, others' are not. Add to LOGGING: "
            '"loggers": {"requests_oauthlib": {"level": "INFO"}}.',
            id="infisical_azure.W007",
        )


def _check_insecure_transport() -> Iterator[CheckMessage]:
    if os.environ.get("OAUTHLIB_INSECURE_TRANSPORT") and not settings.DEBUG:
        yield Error(
            "OAUTHLIB_INSECURE_TRANSPORT is set: OAuth secrets may be sent without TLS.",
            hint="Unset it; it is for development only.",
            id="infisical_azure.E013",
        )


def _check_relaxed_scope() -> Iterator[CheckMessage]:
    if os.environ.get("OAUTHLIB_RELAX_TOKEN_SCOPE"):
        yield Warning(
            "OAUTHLIB_RELAX_TOKEN_SCOPE is set: every OAuth client of this process accepts "
            "other scopes than it asked for.",
            hint="infisical_azure doesn't need it; unset it unless something else does.",
            id="infisical_azure.W008",
        )
