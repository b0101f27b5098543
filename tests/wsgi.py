"""The site as a server runs it, with Sentry on."""

from __future__ import annotations

from django.core.wsgi import get_wsgi_application

from . import sentry

sentry.listen_into()
application = get_wsgi_application()
