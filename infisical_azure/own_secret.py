"""When the client secret that this site itself signs in with ends."""

from __future__ import annotations

from datetime import datetime

from django.utils import timezone

from .conf import conf
from .expiry import Expiry, Level, expiry_of
from .graph import Application, ClientSecret
from .models import WatchedSecret
from .text import is_guid


def own_secret_expiry() -> datetime | None:
    """
    Return the end of the operator's client secret, if a watched directory shows it.

    It is known by the application and its first three characters; of several the
    earliest counts.
    """
    # Never the whole value in a variable, which error reports show.
    hint = conf.client_secret.reveal()[:3]
    if not (hint and is_guid(conf.client_id)):
        return None
    ours = WatchedSecret.objects.filter(app_id=conf.client_id, hint=hint, expires_at__isnull=False)
    return ours.order_by("expires_at").values_list("expires_at", flat=True).first()


def own_secret_warning() -> Expiry | None:
    """Return how soon it ends if somebody must act on that by now."""
    ends_at = own_secret_expiry()
    if ends_at is None:
        return None
    expiry = expiry_of(ends_at, timezone.now())
    return None if expiry.level is Level.FINE else expiry


def is_own_secret(application: Application, secret: ClientSecret) -> bool:
    """Say whether it looks like the one with which this site signs in at Microsoft."""
    is_ours = str(application.app_id) == conf.client_id.lower()
    return is_ours and bool(secret.hint) and conf.client_secret.reveal().startswith(secret.hint)
