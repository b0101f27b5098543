"""The addresses of Entra, of Graph, and of the stand-in itself."""

from __future__ import annotations

from django.urls import path

from . import about, admin_consent, authorize, control, discovery, graph, sign_in_views, token

urlpatterns = [
    path("", about.front),
    path("favicon.ico", about.no_icon),
    path("elsewhere", about.elsewhere),
    path("error", about.error_lookup),
    path("_standin/style.css", about.style),
    path("_standin/reset", control.reset),
    path("_standin/faults", control.faults),
    path("_standin/journal", control.journal),
    path("_standin/auto", control.auto),
    path("_standin/consents", control.consents),
    path("_standin/revoke", control.revoke_sessions),
    path("_standin/clock", control.clock),
    path("_standin/keys/rotate", control.rotate_keys),
    path("_standin/latency", control.latency),
    path("_standin/canaries", control.canaries),
    path("_standin/registration", control.registration),
    path("signin/<str:visit_id>/account", sign_in_views.account_picked),
    path("signin/<str:visit_id>/decision", sign_in_views.decision_made),
    path("graph/v1.0/me", graph.me),
    path("graph/v1.0/organization", graph.organization),
    path("graph/<path:path>", graph.not_found),
    path("common/discovery/instance", discovery.instance),
    path("<str:tenant>/v2.0/.well-known/openid-configuration", discovery.configuration),
    path("<str:tenant>/discovery/v2.0/keys", discovery.signing_keys),
    path("<str:tenant>/oauth2/v2.0/authorize", authorize.authorize),
    path("<str:tenant>/oauth2/v2.0/token", token.token),
    path("<str:tenant>/v2.0/adminconsent", admin_consent.admin_consent),
]
