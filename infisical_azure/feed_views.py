"""Calendar links: made and removed by a person, read by a calendar without a login."""

from __future__ import annotations

import copy
from datetime import timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any, cast

from django.contrib import messages
from django.contrib.auth.decorators import login_not_required
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.cache import patch_cache_control
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.views.generic import View

from .anew import raising_anew
from .calendar_links import end, end_links
from .conf import conf
from .downloads import stream
from .history import Act, record
from .host import get_host
from .ical import calendar_of
from .logs import cut_text
from .models import Feed, WatchedSecret, database
from .non_atomic import NonAtomicMixin
from .permissions import ASKED
from .secret import Secret
from .secret_pages import render_revealing
from .timeline import PAST
from .views import OrganizationMixin, refuse_unstorable

if TYPE_CHECKING:
    from django.contrib.auth.models import User

_AHEAD = timedelta(days=366)
_MOST_BATCHES = 2


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
            "feed_url": Secret(lambda: conf.site_url + self.url("feed", token=token)),
        }
        return render_revealing(request, "infisical_azure/feed_added.html", context)


class FeedRemoveView(OrganizationMixin):
    """Have a person's calendar link work no more."""

    http_method_names = ["post"]

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        user = cast("User", request.user)
        end_links(user, self.organization, by=user)
        message = _("The calendar link works no more.")
        messages.success(request, message, fail_silently=True)
        return redirect(self.url("secret_expiring_list"))


# Not LoginRequiredMiddleware's: calendars don't sign in, and it would put the link into the
# login page's URL.
@method_decorator(login_not_required, name="dispatch")
class FeedView(NonAtomicMixin, View):
    """
    The calendar itself, for whoever has the link.

    It shows what its creator may see: the host is asked on their behalf each time. When
    it says no the link ends for good, and asking for another one is up to the person.
    """

    http_method_names = ["get", "head"]

    def setup(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        _forget_path(request)
        refuse_unstorable(kwargs)
        super().setup(request, *args, **kwargs)

    def get(self, request: HttpRequest, token: Secret, **kwargs: Any) -> StreamingHttpResponse:
        feed = get_object_or_404(Feed.objects.having(token))
        key = get_host().get_key(feed.organization)
        if not _may_creator_see(request, feed, key):
            end(Feed.objects.filter(pk=feed.pk, token_hash=feed.token_hash))
            raise Http404
        now = timezone.now()
        watched = WatchedSecret.objects.of(feed.organization).to_replace_by_hand()
        secrets = watched.ending(now - PAST, now + _AHEAD)

        def url_of(secret: WatchedSecret) -> str:
            args = [key, secret.connection_id, secret.application_id]
            return conf.site_url + reverse("infisical_azure:application_detail", args=args)

        name = _("Client secrets of %(organization)s") % {"organization": feed.organization}
        batches = islice(secrets.in_batches(), _MOST_BATCHES)
        parts = calendar_of(batches, name=name, url_of=url_of)
        response = stream(parts, content_type="text/calendar")
        patch_cache_control(response, private=True)
        response["Referrer-Policy"] = "no-referrer"
        return response


@raising_anew
def _forget_path(request: HttpRequest) -> None:
    """Leave no token in the request: error reports, and servers' own logs, show its path."""
    request.path, request.path_info = cut_text(request.path), cut_text(request.path_info)
    for name, value in request.META.items():
        if isinstance(value, str):
            request.META[name] = cut_text(value)


def _may_creator_see(request: HttpRequest, feed: Feed, key: str) -> bool:
    """Ask the host as if the creator of the link had opened the page."""
    host, user = get_host(), feed.created_by
    if not user.is_active:
        return False
    as_creator = copy.copy(request)
    as_creator.user = user
    try:
        # Raises them for those who have left; has_permission need not know of that.
        found = host.get_organization(as_creator, key)
    except (Http404, PermissionDenied):
        return False
    return found == feed.organization and host.has_permission(
        user, ASKED["view"], feed.organization, None
    )
