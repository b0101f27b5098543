"""OpenID configuration, signing keys and instance discovery."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponseBase, JsonResponse
from django.views.decorators.http import require_GET

from .breakage import break_after, break_before
from .directory import SHARED_PATHS, find_tenant
from .errors import Refusal
from .faults import Where
from .keys import jwk
from .state import STATE
from .trace import trace_of

_DAY = {"Cache-Control": "max-age=86400, private", "Access-Control-Allow-Origin": "*"}


@require_GET
def configuration(request: HttpRequest, tenant: str) -> HttpResponseBase:
    found = find_tenant(tenant)
    if found is None and tenant not in SHARED_PATHS:
        return _unknown_tenant(request, tenant)
    path = tenant if found is None else found.id
    issuer = "{tenantid}" if found is None else found.id
    return _serve(request, "discovery", path, _document(path, issuer))


@require_GET
def signing_keys(request: HttpRequest, tenant: str) -> HttpResponseBase:
    found = find_tenant(tenant)
    if found is None and tenant not in SHARED_PATHS:
        return _unknown_tenant(request, tenant)
    issuer = f"{STATE.origin}/{'{tenantid}' if found is None else found.id}/v2.0"
    keys: dict[str, object] = {"keys": [jwk(key, issuer) for key in STATE.keys.all()]}
    return _serve(request, "jwks", tenant if found is None else found.id, keys)


@require_GET
def instance(request: HttpRequest) -> HttpResponseBase:
    host = STATE.origin.partition("://")[2]
    cloud = {"preferred_network": host, "preferred_cache": host, "aliases": [host]}
    document: dict[str, object] = {
        "tenant_discovery_endpoint": f"{STATE.origin}/common/v2.0/.well-known/openid-configuration",
        "api-version": "1.1",
        "metadata": [cloud],
    }
    return JsonResponse(document, headers=_DAY)


def _unknown_tenant(request: HttpRequest, tenant: str) -> HttpResponseBase:
    body = Refusal(90002, tenant=tenant).body(trace_of(request), STATE.origin)
    # The token endpoint calls the same mistake invalid_request.
    return JsonResponse(body | {"error": "invalid_tenant"}, status=400)


def _serve(
    request: HttpRequest, where: Where, path: str, document: dict[str, object]
) -> HttpResponseBase:
    with STATE.lock:
        planned = STATE.faults.take(where, tenant_id=path)
    broken = break_before(planned, request)
    if broken is not None:
        return broken
    return break_after(planned, request, JsonResponse(document, headers=_DAY))


def _document(path: str, issuer: str) -> dict[str, object]:
    base = f"{STATE.origin}/{path}"
    return {
        "token_endpoint": f"{base}/oauth2/v2.0/token",
        "token_endpoint_auth_methods_supported": [
            "client_secret_post",
            "private_key_jwt",
            "client_secret_basic",
        ],
        "jwks_uri": f"{base}/discovery/v2.0/keys",
        "response_modes_supported": ["query", "fragment", "form_post"],
        "subject_types_supported": ["pairwise"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "response_types_supported": ["code", "id_token", "code id_token", "id_token token"],
        "scopes_supported": ["openid", "profile", "email", "offline_access"],
        "issuer": f"{STATE.origin}/{issuer}/v2.0",
        "request_uri_parameter_supported": False,
        "userinfo_endpoint": f"{STATE.origin}/graph/oidc/userinfo",
        "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
        "device_authorization_endpoint": f"{base}/oauth2/v2.0/devicecode",
        "http_logout_supported": True,
        "frontchannel_logout_supported": True,
        "end_session_endpoint": f"{base}/oauth2/v2.0/logout",
        "claims_supported": _CLAIMS.split(),
        "kerberos_endpoint": f"{base}/kerberos",
        "tenant_region_scope": "EU",
        "cloud_instance_name": "microsoftonline.com",
        "cloud_graph_host_name": "graph.windows.net",
        "msgraph_host": "graph.microsoft.com",
        "rbac_url": "https://pas.windows.net",
    }


_CLAIMS = (
    "sub iss cloud_instance_name cloud_instance_host_name cloud_graph_host_name msgraph_host aud "
    "exp iat auth_time acr nonce preferred_username name tid ver at_hash c_hash email"
)
