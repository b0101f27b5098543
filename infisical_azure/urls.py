"""The URLs: mount all of them, or place the two lists where you want them."""

from __future__ import annotations

from django.urls import include, path, register_converter

from . import application_views, expiring_views, feed_views, rotation_views, views
from .callback import CallbackProblemView, OAuthCallbackView
from .secret import Secret

app_name = "infisical_azure"


class CalendarToken:
    """A calendar link's token; as a `Secret`, since error reports show a view's arguments."""

    regex = "[^/]+"

    def to_python(self, value: str) -> Secret:
        return Secret(value)

    def to_url(self, token: Secret) -> str:
        return token.reveal()


register_converter(CalendarToken, "infisical_azure_token")

#: Where Microsoft sends people back to; its full path is registered in Azure.
oauth_urlpatterns = [
    path(
        "app-connections/azure/oauth/callback",
        OAuthCallbackView.as_view(),
        name="azure_oauth_callback",
    ),
    path(
        "app-connections/azure/oauth/problems/<slug:code>",
        CallbackProblemView.as_view(),
        name="azure_oauth_problem",
    ),
]

#: The pages of one organization; the prefix they are mounted at gives `organization`.
organization_urlpatterns = [
    path("app-connections/", views.ConnectionListView.as_view(), name="connection_list"),
    path("app-connections/add/", views.ConnectionOptionsView.as_view(), name="connection_options"),
    path(
        "app-connections/add/azure/",
        views.AzureConnectionAddView.as_view(),
        name="azure_connection_add",
    ),
    path(
        "app-connections/expiring/",
        expiring_views.SecretExpiringListView.as_view(),
        name="secret_expiring_list",
    ),
    path(
        "app-connections/expiring.csv",
        expiring_views.SecretExpiringCsvView.as_view(),
        name="secret_expiring_csv",
    ),
    path("app-connections/feeds/add/", feed_views.FeedAddView.as_view(), name="feed_add"),
    path("app-connections/feeds/remove/", feed_views.FeedRemoveView.as_view(), name="feed_remove"),
    # Without a login: who has the link may read.
    path(
        "app-connections/feeds/<infisical_azure_token:token>.ics",
        feed_views.FeedView.as_view(),
        name="feed",
    ),
    path("app-connections/problems/<uuid:pk>/", views.ProblemView.as_view(), name="problem"),
    path(
        "app-connections/<uuid:pk>/",
        views.ConnectionDetailView.as_view(),
        name="connection_detail",
    ),
    path(
        "app-connections/<uuid:pk>/edit/",
        views.ConnectionUpdateView.as_view(),
        name="connection_edit",
    ),
    path(
        "app-connections/<uuid:pk>/reconnect/",
        views.ConnectionReconnectView.as_view(),
        name="connection_reconnect",
    ),
    path(
        "app-connections/<uuid:pk>/test/",
        views.ConnectionTestView.as_view(),
        name="connection_test",
    ),
    path(
        "app-connections/<uuid:pk>/remove/",
        views.ConnectionRemoveView.as_view(),
        name="connection_remove",
    ),
    path(
        "app-connections/<uuid:pk>/applications/",
        application_views.ApplicationListView.as_view(),
        name="application_list",
    ),
    path(
        "app-connections/<uuid:pk>/applications/<uuid:application>/",
        application_views.ApplicationDetailView.as_view(),
        name="application_detail",
    ),
    path(
        "app-connections/<uuid:pk>/applications/<uuid:application>/secrets/add/",
        application_views.SecretAddView.as_view(),
        name="secret_add",
    ),
    path(
        "app-connections/<uuid:pk>/applications/<uuid:application>/secrets/saved/",
        application_views.SecretSavedView.as_view(),
        name="secret_saved",
    ),
    path(
        "app-connections/<uuid:pk>/applications/<uuid:application>/secrets/<uuid:key>/remove/",
        application_views.SecretRemoveView.as_view(),
        name="secret_remove",
    ),
    path(
        "app-connections/<uuid:pk>/applications/<uuid:application>/rotation/",
        rotation_views.RotationAddView.as_view(),
        name="rotation_add",
    ),
    path(
        "app-connections/<uuid:pk>/rotations/<uuid:rotation>/",
        rotation_views.RotationDetailView.as_view(),
        name="rotation_detail",
    ),
    path(
        "app-connections/<uuid:pk>/rotations/<uuid:rotation>/act/",
        rotation_views.RotationActView.as_view(),
        name="rotation_act",
    ),
    path(
        "app-connections/<uuid:pk>/rotations/<uuid:rotation>/edit/",
        rotation_views.RotationEditView.as_view(),
        name="rotation_edit",
    ),
    path(
        "app-connections/<uuid:pk>/rotations/<uuid:rotation>/destinations/add/",
        rotation_views.DestinationAddView.as_view(),
        name="destination_add",
    ),
    path(
        "app-connections/<uuid:pk>/rotations/<uuid:rotation>/destinations/"
        "<uuid:destination>/remove/",
        rotation_views.DestinationRemoveView.as_view(),
        name="destination_remove",
    ),
    path(
        "app-connections/<uuid:pk>/rotations/<uuid:rotation>/remove/",
        rotation_views.RotationRemoveView.as_view(),
        name="rotation_remove",
    ),
]

urlpatterns = [
    *oauth_urlpatterns,
    path("<str:organization>/", include(organization_urlpatterns)),
]
