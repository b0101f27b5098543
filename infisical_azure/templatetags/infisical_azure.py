"""{% app_connections_tab organization %} for the host's tab bar, and a filter for e-mails."""

from __future__ import annotations

from typing import Any

from django import template
from django.db.models import Model
from django.urls import reverse

from ..host import get_host
from ..permissions import ASKED
from ..text import unlinked

register = template.Library()
register.filter("unlinked", unlinked)


@register.inclusion_tag("infisical_azure/tab.html", takes_context=True)
def app_connections_tab(context: dict[str, Any], organization: Model) -> dict[str, Any]:
    """
    Render the link to an organization's App Connections.

    Renders nothing for people who may not view them. Needs ``request`` in the context.
    """
    request = context["request"]
    host = get_host()
    match = request.resolver_match
    return {
        "is_visible": host.has_permission(request.user, ASKED["view"], organization, None),
        "url": reverse("infisical_azure:connection_list", args=[host.get_key(organization)]),
        "is_current": bool(match) and match.namespace.split(":")[-1] == "infisical_azure",
    }
