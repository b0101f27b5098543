"""Calendar links: made and removed by a person, read by a calendar without a login."""

from __future__ import annotations

import copy
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

from django.contrib import messages
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.cache import patch_cache_control
from django.utils.translation import gettext as _
from django.views.generic import View

from .conf import conf
from .history import Act, record
from .host import get_host
from .ical import calendar_of
from .models import Feed, WatchedSecret, database
from .permissions import ASKED
from .timeline import PAST
from .views import OrganizationMixin

if TYPE_CHECKING:
    from django.contrib.auth.models import User

_AHEAD = timedelta(days=366)
_MOST = 1000


class FeedAddView(OrganizationMixin):
    """Make a person's calendar link and show it, this once."""

    http_method_names = ["post"]

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        with transaction.atomic(using=database()):
            token = Feed.objects.make(self.organization, cast("User", request.user))
            record(Act.FEED_ADDED, self.organization, user=request.user)
        context = {
            **self.host.get_context_data(request, self.organization),
            "organization": self.organization,
            "organization_key": self.host.get_key(self.organization),
            "feed_url": conf.site_url + self.url("feed", token=token),
        }
        return render(request, "infisical_azure/feed_added.html", context)


class FeedRemoveView(OrganizationMixin):
    """Have a person's calendar link work no more."""

    http_method_names = ["post"]

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        links = Feed.objects.filter(organization=self.organization, created_by=request.user.pk)
        with transaction.atomic(using=database()):
            if links.delete()[0]:
                record(Act.FEED_REMOVED, self.organization, user=request.user)
        message = _("The calendar link works no more.")
        messages.success(request, message, fail_silently=True)
        return redirect(self.url("secret_expiring_list"))


class FeedView(View):
    """
    The calendar itself, for whoever has the link.

    It shows what its creator may see: the host is asked on their behalf each time.
    """

    http_method_names = ["get", "head"]

    def get(self, request: HttpRequest, token: str, **kwargs: Any) -> HttpResponse:
        feed = get_object_or_404(Feed.objects.having(token))
        key = _key_for_creator(request, feed)
        now = timezone.now()
        watched = WatchedSecret.objects.of(feed.organization).to_replace_by_hand()
        secrets = watched.ending(now - PAST, now + _AHEAD)

        def url_of(secret: WatchedSecret) -> str:
            args = [key, secret.connection_id, secret.application_id]
            return conf.site_url + reverse("infisical_azure:application_detail", args=args)

        name = _("Client secrets of %(organization)s") % {"organization": feed.organization}
        text = calendar_of(secrets[:_MOST], name=name, url_of=url_of)
        response = HttpResponse(text, content_type="text/calendar; charset=utf-8")
        patch_cache_control(response, private=True)
        return response


def _key_for_creator(request: HttpRequest, feed: Feed) -> str:
    """Return the organization's key; raise Http404 if the creator may not see it any more."""
    host, user = get_host(), feed.created_by
    key = host.get_key(feed.organization)
    as_creator = copy.copy(request)
    as_creator.user = user
    # Raises Http404 for those who have left; has_permission need not know of that.
    found = host.get_organization(as_creator, key) if user.is_active else None
    if found != feed.organization or not host.has_permission(
        user, ASKED["view"], feed.organization, None
    ):
        raise Http404
    return key
