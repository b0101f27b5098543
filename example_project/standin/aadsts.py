"""The AADSTS errors that the stand-in can answer with."""

from __future__ import annotations

from typing import NamedTuple


class Shape(NamedTuple):
    error: str
    text: str
    status: int = 400
    suberror: str = ""
    with_claims: bool = False


GRANT, REQUEST, CLIENT = "invalid_grant", "invalid_request", "invalid_client"
# A JSON string, to be appended to the next authorize request as it is.
CHALLENGE = (
    '{"access_token":{"capolids":{"essential":true,'
    '"values":["3b0c2a5e-91d4-4f0b-8c6a-e2f7d5a81c90"]}}}'
)

SHAPES: dict[int, Shape] = {
    28000: Shape(
        REQUEST,
        "Provided value for the input parameter scope is not valid because it contains more "
        "than one resource. Scope {scope} is not valid.",
    ),
    28003: Shape(
        REQUEST,
        "Provided value for the input parameter scope cannot be empty when requesting an access "
        "token using the provided authorization code. Please specify a valid scope.",
    ),
    50011: Shape(
        CLIENT,
        "The redirect URI '{uri}' specified in the request does not match the redirect URIs "
        "configured for the application '{app}'. Make sure the redirect URI sent in the request "
        "matches one added to your application in the Azure portal.",
        401,
    ),
    50020: Shape(
        GRANT,
        "User account '{user}' from identity provider '{idp}' does not exist in tenant "
        "'{tenant}' and cannot access the application '{app}' in that tenant. The account needs "
        "to be added as an external user in the tenant first.",
    ),
    50058: Shape("login_required", "A silent sign-in request was sent but no user is signed in."),
    50059: Shape(
        REQUEST,
        "No tenant-identifying information found in either the request or implied by any provided "
        "credentials.",
    ),
    50076: Shape(
        GRANT,
        "Due to a configuration change made by your administrator, or because you moved to a new "
        "location, you must use multi-factor authentication to access '{resource}'.",
        suberror="basic_action",
        with_claims=True,
    ),
    50105: Shape(
        "interaction_required",
        "Your administrator has configured the application {name} ('{app}') to block users "
        "unless they are specifically granted ('assigned') access to the application. The "
        "signed-in user '{user}' is blocked because they are not a direct member of a group with "
        "access, nor had access directly assigned by an administrator. Please contact your "
        "administrator to assign access to this application.",
    ),
    50173: Shape(
        GRANT,
        "The provided grant has expired due to it being revoked, a fresh auth token is needed. "
        "The user might have changed or reset their password. The grant was issued on "
        "'{issued}' and the TokensValidFrom date (before which tokens are not valid) for this "
        "user is '{valid_from}'.",
        suberror="bad_token",
    ),
    50196: Shape(
        GRANT, "The server terminated an operation because it encountered a client request loop."
    ),
    53003: Shape(
        GRANT,
        "Access has been blocked by Conditional Access policies. The access policy does not "
        "allow token issuance.",
        suberror="message_only",
        with_claims=True,
    ),
    54005: Shape(
        GRANT,
        "OAuth2 Authorization code was already redeemed, please retry with a new valid code or "
        "use an existing refresh token.",
    ),
    65001: Shape(
        GRANT,
        "The user or administrator has not consented to use the application with ID '{app}' "
        "named '{name}'. Send an interactive authorization request for this user and resource.",
        suberror="consent_required",
    ),
    65004: Shape("access_denied", "User declined to consent to access the app."),
    70003: Shape(
        "unsupported_grant_type",
        "The app requested an unsupported grant type '{grant_type}'.",
    ),
    70008: Shape(
        GRANT,
        "The provided authorization code or refresh token has expired due to inactivity. Send a "
        "new interactive authorization request for this user and resource.",
    ),
    70011: Shape(
        "invalid_scope",
        "The provided request must include a 'scope' input parameter. The provided value for the "
        "input parameter 'scope' is not valid. The scope {scope} is not valid.",
    ),
    70043: Shape(
        GRANT,
        "The refresh token has expired or is invalid due to sign-in frequency checks by "
        "conditional access. The token was issued on {issued} and the maximum allowed lifetime "
        "for this request is 3600.",
        suberror="token_expired",
    ),
    90002: Shape(
        REQUEST,
        "Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID and are "
        "signing into the correct cloud. Check with your subscription administrator, this may "
        "happen if there are no active subscriptions for the tenant.",
    ),
    90023: Shape(REQUEST, "Unsupported '{parameter}' value."),
    90033: Shape(
        "temporarily_unavailable",
        "A transient error has occurred. Please try again.",
        503,
    ),
    90055: Shape(
        "temporarily_unavailable",
        "There are too many incoming requests for this tenant. Please try again later.",
        429,
    ),
    90094: Shape(
        "access_denied",
        "Admin consent is required for the permissions requested by this application. An admin "
        "consent request may be sent to the admin.",
    ),
    90130: Shape(
        REQUEST,
        "Application '{app}' is not supported over the /common or /consumers endpoints. Please "
        "use the /organizations or tenant-specific endpoint.",
    ),
    500011: Shape(
        "invalid_resource",
        "The resource principal named {resource} was not found in the tenant named {tenant}. "
        "This can happen if the application has not been installed by the administrator of the "
        "tenant or consented to by any user in the tenant. You might have sent your "
        "authentication request to the wrong tenant.",
    ),
    501481: Shape(
        GRANT,
        "The Code_Verifier does not match the code_challenge supplied in the authorization "
        "request.",
    ),
    501491: Shape(REQUEST, "Invalid size of Code_Challenge parameter."),
    650053: Shape(
        CLIENT,
        "The application '{name}' asked for scope '{scope}' that doesn't exist on the resource "
        "'{resource}'. Contact the app vendor.",
    ),
    700005: Shape(
        GRANT,
        "Provided Authorization Code is intended to use against other tenant, thus rejected.",
    ),
    700016: Shape(
        "unauthorized_client",
        "Application with identifier '{app}' was not found in the directory '{tenant}'. This can "
        "happen if the application has not been installed by the administrator of the tenant or "
        "consented to by any user in the tenant. You may have sent your authentication request "
        "to the wrong tenant.",
    ),
    700054: Shape(
        "unsupported_response_type",
        "response_type '{response_type}' is not enabled for the application.",
    ),
    700082: Shape(
        GRANT,
        "The refresh token has expired due to inactivity. The token was issued on {issued} and "
        "was inactive for 90.00:00:00.",
    ),
    900144: Shape(REQUEST, "The request body must contain the following parameter: '{parameter}'."),
    900561: Shape(REQUEST, "The endpoint only accepts POST requests. Received a {method} request."),
    901002: Shape(REQUEST, "The 'resource' request parameter is not supported."),
    1002012: Shape(
        "invalid_scope",
        "The provided value for scope {scope} is not valid. Client credential flows must have a "
        "scope value with /.default suffixed to the resource identifier (application ID URI).",
    ),
    7000215: Shape(CLIENT, "Invalid client secret is provided.", 401),
    7000218: Shape(
        CLIENT,
        "The request body must contain the following parameter: 'client_assertion' or "
        "'client_secret'.",
        401,
    ),
    7000222: Shape(
        CLIENT,
        "The provided client secret keys for app '{app}' are expired. Visit the Azure portal to "
        "create new keys for your app: https://aka.ms/NewClientSecret, or consider using "
        "certificate credentials for added security: https://aka.ms/certCreds.",
        401,
    ),
    9002313: Shape(GRANT, "Invalid request. Request is malformed or invalid."),
}
NOT_THE_ID = (
    "Invalid client secret provided. Ensure the secret being sent in the request is the client "
    "secret value, not the client secret ID, for a secret added to app '{app}'."
)
