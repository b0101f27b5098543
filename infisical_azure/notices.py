"""Tell an organization's people when a connection needs them, once per break."""

from __future__ import annotations

from typing import Any

from django.core.mail import EmailMultiAlternatives
from django.template.loader import render_to_string
from django.urls import reverse

from . import health
from .conf import conf
from .host import get_host
from .models import AppConnection


def mail_that_broken(connection: AppConnection, **kwargs: Any) -> None:
    """Send an e-mail, text and HTML, to the people that the host class names."""
    host = get_host()
    recipients = host.get_recipients(connection.organization, connection)
    if not recipients:
        return
    key = host.get_key(connection.organization)
    path = reverse("infisical_azure:connection_detail", args=[key, connection.pk])
    context = {
        "connection": connection,
        "reason": health.reason_of(connection),
        "advice": health.advice_for(connection),
        "url": f"{conf.site_url}{path}",
    }
    subject = render_to_string("infisical_azure/mail/broken_subject.txt", context).strip()
    message = EmailMultiAlternatives(
        subject=" ".join(subject.split()),
        body=render_to_string("infisical_azure/mail/broken.txt", context),
        to=list(recipients),
    )
    message.attach_alternative(
        render_to_string("infisical_azure/mail/broken.html", context), "text/html"
    )
    message.send()
