"""The addresses of Entra, of Graph, of the data planes, and of the stand-in itself."""

from __future__ import annotations

from django.urls import include, path

from . import (
    about,
    admin_consent,
    app_configuration,
    authorize,
    control,
    data_control,
    discovery,
    graph,
    graph_applications,
    graph_control,
    key_vault,
    sign_in_views,
    token,
)

_VAULT = [
    path("secrets", key_vault.secrets),
    # Clients ask for the latest version with an empty version, and so with a slash at the end.
    path("secrets/<str:name>/", key_vault.secret),
    path("secrets/<str:name>", key_vault.secret),
    path("secrets/<str:name>/versions", key_vault.versions),
    path("secrets/<str:name>/<str:version>", key_vault.secret_version),
    path("deletedsecrets", key_vault.deleted_secrets),
    path("deletedsecrets/<str:name>", key_vault.deleted_secret),
    path("deletedsecrets/<str:name>/recover", key_vault.recovery),
    path("<path:rest>", key_vault.anything_else),
]
# Each of them under an object id, and under an appId.
_APPLICATION = [
    ("", graph_applications.application),
    ("/addPassword", graph_applications.password_added),
    ("/removePassword", graph_applications.password_removed),
]
_STORE = [
    path("kv", app_configuration.key_values),
    path("kv/<path:key>", app_configuration.key_value),
    path("locks/<path:key>", app_configuration.lock),
    path("<path:rest>", app_configuration.anything_else),
]

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
    path("_standin/reuse", control.reuse),
    path("_standin/clock", control.clock),
    path("_standin/keys/rotate", control.rotate_keys),
    path("_standin/latency", control.latency),
    path("_standin/canaries", control.canaries),
    path("_standin/registration", control.registration),
    path("_standin/roles", data_control.roles),
    path("_standin/data_planes", data_control.data_planes),
    path("_standin/applications", graph_control.applications),
    path("_standin/directory", graph_control.directory),
    path("_standin/graph_policy", graph_control.graph_policy),
    path("_standin/secret_check", graph_control.secret_check),
    path("signin/<str:visit_id>/account", sign_in_views.account_picked),
    path("signin/<str:visit_id>/decision", sign_in_views.decision_made),
    path("graph/v1.0/me", graph.me),
    path("graph/v1.0/organization", graph.organization),
    path("graph/v1.0/applications", graph_applications.applications),
    *(path(f"graph/v1.0/applications/<str:id_>{act}", view) for act, view in _APPLICATION),
    *(
        path(f"graph/v1.0/applications(appId='<str:app_id>'){act}", view)
        for act, view in _APPLICATION
    ),
    path("graph/<path:path>", graph.not_found),
    path("keyvault/<str:vault>/", include(_VAULT)),
    path("appconfig/<str:store>/", include(_STORE)),
    path("common/discovery/instance", discovery.instance),
    path("<str:tenant>/v2.0/.well-known/openid-configuration", discovery.configuration),
    path("<str:tenant>/discovery/v2.0/keys", discovery.signing_keys),
    path("<str:tenant>/oauth2/v2.0/authorize", authorize.authorize),
    path("<str:tenant>/oauth2/v2.0/token", token.token),
    path("<str:tenant>/v2.0/adminconsent", admin_consent.admin_consent),
]
