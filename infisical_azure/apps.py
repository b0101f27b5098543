"""The Django app."""

from __future__ import annotations

import logging

from django.apps import AppConfig
from django.core import checks as django_checks
from django.core.signals import request_started
from django.db.models.signals import post_delete, pre_delete
from django.utils.translation import gettext_lazy as _


class InfisicalAzureConfig(AppConfig):
    name = "infisical_azure"
    verbose_name = _("App Connections")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from . import calendar_links, checks, news, notices, reports
        from .logs import ACCESS_LOGGERS, CallbackQueryFilter, TokenRequestFilter
        from .signals import (
            connection_broken,
            connection_reconnected,
            rotation_failed,
            warnings_due,
        )

        django_checks.register(checks.check_settings)
        django_checks.register(checks.check_security, django_checks.Tags.security)
        django_checks.register(checks.check_own_secret, django_checks.Tags.database)
        pre_delete.connect(
            news.overtake_refreshes,
            sender=self.get_model("AppConnection"),
            dispatch_uid="infisical_azure_overtake_refreshes",
        )
        post_delete.connect(
            news.announce_removal,
            sender=self.get_model("AppConnection"),
            dispatch_uid="infisical_azure_announce_removal",
        )
        post_delete.connect(
            news.note_removal,
            sender=self.get_model("AppConnection"),
            dispatch_uid="infisical_azure_note_removal",
        )
        connection_broken.connect(
            notices.mail_that_broken, dispatch_uid="infisical_azure_mail_that_broken"
        )
        warnings_due.connect(
            notices.mail_that_expiring, dispatch_uid="infisical_azure_mail_that_expiring"
        )
        rotation_failed.connect(
            notices.mail_that_rotation_failed,
            dispatch_uid="infisical_azure_mail_that_rotation_failed",
        )
        connection_reconnected.connect(
            news.have_watched, dispatch_uid="infisical_azure_have_watched"
        )
        request_started.connect(
            reports.cut_from_events, dispatch_uid="infisical_azure_cut_from_events"
        )
        calendar_links.connect_receivers()
        logging.getLogger("requests_oauthlib.oauth2_session").addFilter(TokenRequestFilter())
        for name in ACCESS_LOGGERS:
            logging.getLogger(name).addFilter(CallbackQueryFilter())
