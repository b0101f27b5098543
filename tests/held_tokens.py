"""Access tokens that have grown old."""

from __future__ import annotations

from datetime import timedelta

from django.utils import timezone

from infisical_azure.models import AccessToken


def expire(**ago: float) -> None:
    """Let the held access tokens be over since so long (a minute unless told)."""
    now = timezone.now()
    AccessToken.objects.update(
        issued_at=now - timedelta(hours=1),
        refresh_at=now - timedelta(minutes=10),
        expires_at=now - timedelta(**ago or {"minutes": 1}),
    )


def age() -> None:
    """Let the held access tokens work for a while, but be due to refresh."""
    now = timezone.now()
    AccessToken.objects.update(
        issued_at=now - timedelta(minutes=50),
        refresh_at=now - timedelta(minutes=1),
        expires_at=now + timedelta(minutes=10),
    )
