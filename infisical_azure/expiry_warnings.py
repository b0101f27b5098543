"""Tell of client secrets that end soon, once per secret and threshold."""

from __future__ import annotations

import logging
from collections import defaultdict
from datetime import timedelta

from django.db.models import Q
from django.utils import timezone

from .conf import conf
from .models import AppConnection, WatchedSecret
from .signals import secret_expiring, warnings_due

logger = logging.getLogger(__name__)
# Whoever learns of an end later than this has noticed it in other ways.
_LATE = timedelta(days=7)


def tell(connection: AppConnection) -> None:
    """
    Send the signals and one e-mail about all that has come to a threshold.

    At least once: it is noted after the e-mail, so that a crash or a mail server that
    is down repeats a warning; lost ones would be noticed when something stops working.
    """
    found = _come_to_a_threshold(connection)
    if not found:
        return
    for days, secrets in found.items():
        secret_expiring.send_robust(
            AppConnection, connection=connection, secrets=secrets, days=days
        )
    all_of_them = [secret for secrets in found.values() for secret in secrets]
    told = warnings_due.send_robust(AppConnection, connection=connection, secrets=all_of_them)
    if any(isinstance(result, Exception) for _, result in told):
        logger.error("Nobody was told of client secrets of connection %s.", connection.pk)
        return
    for days, secrets in found.items():
        for secret in secrets:
            secret.warned_days = days
    WatchedSecret.objects.bulk_update(all_of_them, ["warned_days"], batch_size=200)


def _come_to_a_threshold(connection: AppConnection) -> dict[int, list[WatchedSecret]]:
    """Return by threshold, the nearest first, what people have not been told yet."""
    thresholds, now = conf.expiry_warnings, timezone.now()
    if not thresholds:
        return {}
    near = connection.watched_secrets.to_replace_by_hand().filter(
        Q(warned_days=None) | Q(warned_days__gt=thresholds[0]),
        expires_at__gt=now - _LATE,
        expires_at__lte=now + timedelta(days=thresholds[-1]),
    )
    found: dict[int, list[WatchedSecret]] = defaultdict(list)
    for secret in near.order_by("expires_at", "pk"):
        left = (secret.expires_at or now) - now
        days = next(days for days in thresholds if left <= timedelta(days=days))
        if secret.warned_days is None or days < secret.warned_days:
            found[days].append(secret)
    return found
