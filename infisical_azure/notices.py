"""Tell an organization's people what needs them: what is broken, and what ends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.core.mail import EmailMultiAlternatives
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone

from . import health
from .conf import conf
from .expiry import expiry_of
from .host import get_host
from .models import AppConnection, RotatedSecret, Rotation, WatchedSecret
from .obstacles import rotation_obstacle

_MOST = 200


def mail_that_broken(connection: AppConnection, **kwargs: Any) -> None:
    """Send an e-mail, text and HTML, to the people that the host class names."""
    context = {
        "reason": health.reason_of(connection),
        "advice": health.advice_for(connection),
        "url": _url(connection, "connection_detail", connection.pk),
    }
    _mail("broken", connection, context)


def mail_that_expiring(
    connection: AppConnection, secrets: Sequence[WatchedSecret], **kwargs: Any
) -> None:
    """Send one e-mail about all of them."""
    now = timezone.now()
    context = {
        "rows": [(secret, expiry_of(secret.expires_at, now)) for secret in secrets[:_MOST]],
        "count": len(secrets),
        "more": max(len(secrets) - _MOST, 0),
        "url": _url(connection, "secret_expiring_list"),
    }
    _mail("expiring", connection, context)


def mail_that_rotation_failed(rotation: Rotation, **kwargs: Any) -> None:
    """Tell what keeps a rotation from going on, and until when what is in use works."""
    in_use = rotation.secrets.filter(state=RotatedSecret.State.CURRENT).first()
    context = {
        "rotation": rotation,
        "obstacle": rotation_obstacle(rotation),
        "in_use": in_use,
        "url": _url(rotation.connection, "rotation_detail", rotation.connection_id, rotation.pk),
    }
    _mail("rotation_failed", rotation.connection, context)


def _url(connection: AppConnection, name: str, *args: Any) -> str:
    key = get_host().get_key(connection.organization)
    return conf.site_url + reverse(f"infisical_azure:{name}", args=[key, *args])


def _mail(kind: str, connection: AppConnection, context: dict[str, Any]) -> None:
    recipients = get_host().get_recipients(connection.organization, connection)
    if not recipients:
        return
    folder, context = "infisical_azure/mail", {**context, "connection": connection}
    subject = render_to_string(f"{folder}/{kind}_subject.txt", context)
    message = EmailMultiAlternatives(
        subject=" ".join(subject.split()),
        body=render_to_string(f"{folder}/{kind}.txt", context),
        to=list(recipients),
    )
    message.attach_alternative(render_to_string(f"{folder}/{kind}.html", context), "text/html")
    message.send()
