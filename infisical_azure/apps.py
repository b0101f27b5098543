"""The Django app."""

from __future__ import annotations

import logging

from django.apps import AppConfig
from django.core import checks as django_checks
from django.db.models.signals import post_delete
from django.utils.translation import gettext_lazy as _


class InfisicalAzureConfig(AppConfig):
    name = "infisical_azure"
    verbose_name = _("App Connections")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from . import checks, news, notices
        from .logs import TokenRequestFilter
        from .signals import connection_broken

        django_checks.register(checks.check_settings)
        django_checks.register(checks.check_security, django_checks.Tags.security)
        post_delete.connect(
            news.announce_removal,
            sender=self.get_model("AppConnection"),
            dispatch_uid="infisical_azure_announce_removal",
        )
        connection_broken.connect(
            notices.mail_that_broken, dispatch_uid="infisical_azure_mail_that_broken"
        )
        logging.getLogger("requests_oauthlib.oauth2_session").addFilter(TokenRequestFilter())
