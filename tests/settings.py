"""The smallest project around the app; TEST_ORGANIZATION and DATABASE_URL vary it."""

from __future__ import annotations

import os

import environ

#: uuid (a model of our own), group (auth.Group) or integer (django-organizations).
ORGANIZATION = os.environ.get("TEST_ORGANIZATION", "uuid")

SECRET_KEY = "only-for-tests-" + "x" * 40
DEBUG = False
ROOT_URLCONF = "tests.urls"
USE_TZ = True
ALLOWED_HOSTS = ["testserver", "localhost"]
DATABASES = {"default": environ.Env().db("DATABASE_URL", default="sqlite://:memory:")}
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "infisical_azure",
    "tests.hostapp",
    *(["organizations"] if ORGANIZATION == "integer" else []),
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
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
            "string_if_invalid": "",
        },
    },
]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
STATIC_URL = "static/"
LOGIN_URL = "/login/"
# Django 6.1 asks for it; to older ones it means nothing.
MAILERS = {"default": {"BACKEND": "django.core.mail.backends.locmem.EmailBackend"}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

SITE_URL = "https://site.example"
FERNET_KEYS = ["first-key-of-the-tests-0123456789abcdef"]
INF_APP_CONNECTION_AZURE_CLIENT_ID = "11111111-2222-3333-4444-555555555555"
INF_APP_CONNECTION_AZURE_CLIENT_SECRET = "CANARY~client.secret-8Q"
INFISICAL_AZURE_ORGANIZATION_MODEL = {
    "uuid": "hostapp.Organization",
    "group": "auth.Group",
    "integer": "organizations.Organization",
}[ORGANIZATION]
INFISICAL_AZURE = {
    "ROTATION_PROOF_PAUSE": 0,
    "HOST": {
        "uuid": "tests.hostapp.host.UuidHost",
        "group": "infisical_azure.host.GroupHost",
        "integer": "tests.hostapp.host.IntegerHost",
    }[ORGANIZATION],
    # Set for the processes that tests start.
    "CLOUDS": os.environ.get("TEST_CLOUDS", "public").split(","),
    "TOTAL_TIMEOUT": float(os.environ.get("TEST_TOTAL_TIMEOUT", "20")),
}
