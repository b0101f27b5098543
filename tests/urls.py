"""Our pages, the admin and a page with the host's tab bar."""

from __future__ import annotations

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.template import Context, RequestContext, Template
from django.urls import include, path

from infisical_azure.host import get_host

BAR = Template("{% load infisical_azure %}<nav>{% app_connections_tab organization %}</nav>")


def bar(request: HttpRequest, key: str) -> HttpResponse:
    organization = get_host().get_organization(request, key)
    context: Context = RequestContext(request, {"organization": organization})
    return HttpResponse(BAR.render(context))


urlpatterns = [
    path("bar/<str:key>/", bar),
    path("admin/", admin.site.urls),
    path("organization/", include("infisical_azure.urls")),
]
