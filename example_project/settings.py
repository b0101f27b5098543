"""Settings of the example site, from the environment."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote

from example_project.environment import env
from example_project.keys import read_or_create

ROOT = Path(__file__).resolve().parent.parent
VAR = ROOT / "var"

# The demo's own ports
DEMO_PORT = env.int("DEMO_PORT", default=8000)
# Whether the demo begins without a connection, and does no work behind the pages.
DEMO_BEGINS_EMPTY = env.bool("DEMO_BEGINS_EMPTY", default=False)
DEMO_STANDIN_PORT = env.int("DEMO_STANDIN_PORT", default=8001)

# Core
DEBUG = env.bool("DEBUG", default=True)
if DEBUG:
    SECRET_KEY = env.str("SECRET_KEY", default="") or read_or_create(VAR / "secret_key")
    FERNET_KEYS = env.list("FERNET_KEYS", default=[]) or [read_or_create(VAR / "fernet_keys")]
else:
    SECRET_KEY = env.str("SECRET_KEY")
    FERNET_KEYS = env.list("FERNET_KEYS")
SITE_URL = env.str("SITE_URL", default="") or f"http://localhost:{DEMO_PORT}"
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=[])
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])
ROOT_URLCONF = "example_project.urls"
WSGI_APPLICATION = "example_project.wsgi.application"

INSTALLED_APPS = [
    "example_project",  # first, so that its templates override the others'
    "infisical_azure",
    "organizations",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "example_project.middleware.ContentSecurityPolicyMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# Database
DATABASES = {
    "default": env.db("DATABASE_URL", default=f"sqlite:///{quote(str(VAR / 'demo.sqlite3'))}")
}
if DATABASES["default"].get("ENGINE") == "django.db.backends.sqlite3":
    DATABASES["default"]["OPTIONS"] = {
        "init_command": "PRAGMA journal_mode=WAL",
        "timeout": 20,
        # Two writers then wait for each other, where a late upgrade of a read lock would fail.
        "transaction_mode": "IMMEDIATE",
    }
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# People
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "organization_list"
LOGOUT_REDIRECT_URL = "login"
# django-organizations reverses the names of its own pages, which this site does not mount.
ABSOLUTE_URL_OVERRIDES = {
    "organizations.organization": lambda o: f"/organization/{o.slug}/",
    "organizations.organizationuser": lambda m: f"/organization/{m.organization.slug}/members/",
}
# Strict would drop the session on the way back from Microsoft.
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SITE_URL.startswith("https://")

# Language, time, static files
LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
STATIC_URL = "static/"
STATIC_ROOT = VAR / "static"

# Azure: real when the operator's three variables are there, else the stand-in (only in DEBUG)
AZURE_VARIABLES_MISSING = [
    name
    for name in (
        "INF_APP_CONNECTION_AZURE_CLIENT_ID",
        "INF_APP_CONNECTION_AZURE_CLIENT_SECRET",
        "SITE_URL",
    )
    if not env.str(name, default="")
]
STANDIN = DEBUG and bool(AZURE_VARIABLES_MISSING)

INFISICAL_AZURE_ORGANIZATION_MODEL = "organizations.Organization"
INFISICAL_AZURE: dict[str, object] = {
    "HOST": "example_project.host.OrganizationsHost",
    "CLOUDS": ["example_project.standin_cloud.STANDIN" if STANDIN else "public"],
    "SECRET_HOOKS": {"job-runner": "example_project.secret_hooks.keep"},
    # The stand-in is one process: what it accepts once it accepts everywhere.
    "ROTATION_PROOF_PAUSE": 0 if STANDIN else 1,
}
if STANDIN:
    from example_project.standin import directory

    INF_APP_CONNECTION_AZURE_CLIENT_ID = directory.DEFAULT_CLIENT_ID
    INF_APP_CONNECTION_AZURE_CLIENT_SECRET = directory.DEFAULT_CLIENT_SECRET
    # All of the stand-in knows a new client secret at once: nobody waits for the next proof.
    INFISICAL_AZURE["ROTATION_PROOF_PAUSE"] = 0
    # The stand-in speaks plain http on this machine, which oauthlib refuses unless told.
    os.environ.setdefault("OAUTHLIB_INSECURE_TRANSPORT", "1")

# Logs
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{levelname} {name}: {message}", "style": "{"}},
    "handlers": {
        "console": {"class": "logging.StreamHandler", "formatter": "line"},
        "access": {"class": "logging.StreamHandler"},
    },
    "root": {"handlers": ["console"], "level": "WARNING"},
    "loggers": {
        "django": {"handlers": ["console"], "level": "INFO", "propagate": False},
        "django.server": {"handlers": ["access"], "level": "INFO", "propagate": False},
        "infisical_azure": {"level": "INFO"},
    },
}
