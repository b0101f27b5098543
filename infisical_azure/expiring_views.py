"""What ends soon in all of an organization's directories: a page, and a spreadsheet."""

from __future__ import annotations

from typing import Any

from django.db.models import F
from django.http import HttpRequest, StreamingHttpResponse
from django.utils import timezone
from django.views.generic import TemplateView

from .downloads import stream
from .expiry import expiry_of
from .models import AppConnection, Feed, WatchedSecret
from .paging import page_of
from .spreadsheet import csv_of
from .timeline import AHEAD, PAST, timeline_of
from .views import OrganizationMixin


class SecretExpiringListView(OrganizationMixin, TemplateView):
    """Client secrets that have expired lately or do so soon, from what was last seen."""

    template_name = "infisical_azure/secret_expiring_list.html"
    page_size = 50
    directories_size = 50

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        now = timezone.now()
        secrets = WatchedSecret.objects.of(self.organization)
        ending = secrets.ending(now - PAST, now + AHEAD).marking_rotated()
        page = page_of(ending, self.request, self.page_size)
        directories = AppConnection.objects.of(self.organization).order_by(
            F("watched_at").asc(nulls_first=True), "name"
        )
        return super().get_context_data(
            **kwargs,
            page=page,
            rows=[(secret, expiry_of(secret.expires_at, now)) for secret in page.rows],
            timeline=timeline_of(secrets, now) if page.rows else None,
            directories=directories[: self.directories_size],
            feed=Feed.objects.filter(
                organization=self.organization, created_by=self.request.user.pk
            ).first(),
        )


class SecretExpiringCsvView(OrganizationMixin):
    """The same as a file, all of it."""

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> StreamingHttpResponse:
        now = timezone.now()
        secrets = WatchedSecret.objects.of(self.organization).ending(now - PAST, now + AHEAD)
        response = stream(csv_of(secrets.in_batches(), now), content_type="text/csv")
        response["Content-Disposition"] = 'attachment; filename="expiring-client-secrets.csv"'
        return response
