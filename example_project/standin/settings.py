"""Django settings of the stand-in: no database, no sessions, no admin."""

from __future__ import annotations

import secrets
from pathlib import Path

DEBUG = False
SECRET_KEY = secrets.token_urlsafe(32)
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "example_project.standin.urls"
APPEND_SLASH = False
USE_I18N = False
USE_TZ = True
LOGGING_CONFIG = None
MIDDLEWARE = [
    "example_project.standin.places.HostNames",
    "example_project.standin.middleware.StandInMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [Path(__file__).parent / "templates"],
    }
]
