"""Our URLs at another place than the registered one, from the two lists."""

from __future__ import annotations

from django.urls import include, path

from infisical_azure.urls import oauth_urlpatterns, organization_urlpatterns

ours = [
    path("azure/", include(oauth_urlpatterns)),
    path("orgs/<str:organization>/settings/", include(organization_urlpatterns)),
]
urlpatterns = [path("", include((ours, "infisical_azure")))]
