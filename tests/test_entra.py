"""Entra's endpoints: what its answers are taken for."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import pytest
from django.utils import timezone

from infisical_azure import entra, transport
from infisical_azure.clouds import BUILT_IN, CHINA, PUBLIC
from infisical_azure.exceptions import Fault, Reaction, RemoteError, UnavailableError
from infisical_azure.secret import Secret

from .microsoft import CORRELATION, TENANT, TRACE, Microsoft, error

CLIENT = entra.Client(
    client_id="11111111-2222-3333-4444-555555555555",
    client_secret=Secret("CANARY"),
    redirect_uri="https://site.example/callback",
)


def redeem() -> entra.TokenReply:
    return entra.redeem_code(
        PUBLIC, UUID(TENANT), CLIENT, code=Secret("code"), verifier=Secret("v" * 43)
    )


def refusal(microsoft: Microsoft, status: int, body: Any, **headers: str) -> RemoteError:
    microsoft.fail("token", status, body, **headers)
    with pytest.raises(RemoteError) as caught:
        redeem()
    return caught.value


@pytest.mark.parametrize(
    ("status", "body", "reaction"),
    [
        (400, error(50173, suberror="bad_token"), Reaction.RECONNECT),
        (400, error(50076, "interaction_required"), Reaction.RECONNECT),
        (400, error(65001, "consent_required"), Reaction.RECONNECT),
        (401, error(7000215, "invalid_client"), Reaction.OPERATOR),
        (400, error(700016, "unauthorized_client"), Reaction.OPERATOR),
        (400, error(70011, "invalid_scope"), Reaction.OPERATOR),
        (400, error(500011, "invalid_resource"), Reaction.OPERATOR),
        (400, error(90014, "invalid_request"), Reaction.OPERATOR),
        (400, error(53003, suberror="message_only"), Reaction.TENANT_ADMIN),
        (429, error(90055), Reaction.RETRY),
        (503, error(90033), Reaction.RETRY),
        (400, error(90033, "temporarily_unavailable"), Reaction.RETRY),
        (400, {"no": "error"}, Reaction.RETRY),
    ],
)
def test_reaction_follows_status_error_and_suberror(
    microsoft: Microsoft, status: int, body: Any, reaction: Reaction
) -> None:
    assert refusal(microsoft, status, body).reaction is reaction


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_status_that_says_nothing_of_the_request_passes(microsoft: Microsoft, status: int) -> None:
    assert isinstance(refusal(microsoft, status, error(50173)), UnavailableError)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 501, 505])
def test_status_that_is_about_the_request_does_not_pass(microsoft: Microsoft, status: int) -> None:
    assert not isinstance(refusal(microsoft, status, error(50173)), UnavailableError)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_redirect_of_a_token_request_is_not_followed(microsoft: Microsoft, status: int) -> None:
    away = {"Location": f"https://login.microsoftonline.com/{TENANT}/oauth2/v2.0/token"}
    found = refusal(microsoft, status, "", **away)
    assert (found.fault.error, found.fault.http_status) == ("unexpected_redirect", status)
    assert microsoft.count("token") == 1


def test_everything_useful_of_an_error_is_kept(microsoft: Microsoft) -> None:
    body = error(53003, suberror="message_only", claims='{"access_token":{"capolids":{}}}')
    assert refusal(microsoft, 400, body, **{"Retry-After": "7"}).fault == Fault(
        service="Microsoft Entra ID",
        http_status=400,
        error="invalid_grant",
        suberror="message_only",
        aadsts=53003,
        correlation_id=CORRELATION,
        trace_id=TRACE,
        claims='{"access_token": {"capolids": {}}}',
        retry_after=timedelta(seconds=7),
    )


def test_error_says_what_support_needs_and_no_more(microsoft: Microsoft) -> None:
    body = error(7000215, "invalid_client") | {"error_description": "CANARY text"}
    assert str(refusal(microsoft, 401, body)) == (
        f"Microsoft Entra ID: HTTP 401, invalid_client, AADSTS7000215, correlation id {CORRELATION}"
    )
    assert str(Fault(service="Peer")) == "Peer: no usable answer"


@pytest.mark.parametrize(
    ("expires_in", "seconds"),
    [(3599, 3599), ("3599", 3599), (0, 0), (-5, 0), (10**12, 28 * 3600), (None, 300)],
)
def test_lifetime_is_bounded(microsoft: Microsoft, expires_in: Any, seconds: int) -> None:
    microsoft.token = {"expires_in": expires_in}
    microsoft.omit = {"expires_in"} if expires_in is None else set()
    left = (redeem().expires_at - timezone.now()).total_seconds()
    assert seconds - 5 < left <= seconds


def test_secrets_of_a_reply_are_not_in_its_repr(microsoft: Microsoft) -> None:
    assert "CANARY" not in repr(redeem())


def test_http_endpoint_is_refused_unless_told_otherwise(microsoft: Microsoft) -> None:
    import dataclasses

    cloud = dataclasses.replace(PUBLIC, authority="http://login.example")
    with pytest.raises(UnavailableError):
        entra.redeem_code(
            cloud, UUID(TENANT), CLIENT, code=Secret("code"), verifier=Secret("v" * 43)
        )
    assert microsoft.requests == []


@pytest.mark.parametrize(
    ("codes", "kept"),
    [([99_999_999], 99_999_999), ([10**8], None), ([0], None), ([-5], None), (["7"], None)],
)
def test_number_is_kept_where_it_is_one(
    microsoft: Microsoft, codes: list[Any], kept: int | None
) -> None:
    body = {"error": "invalid_grant", "error_codes": codes}
    assert refusal(microsoft, 400, body).fault.aadsts == kept


def test_verifier_is_as_long_as_it_may_be_and_never_the_same() -> None:
    verifiers = [entra.new_verifier().reveal() for _ in range(10)]
    assert len(set(verifiers)) == 10
    assert all(43 <= len(verifier) <= 128 for verifier in verifiers)


def test_administrator_is_asked_to_approve_all_of_graph() -> None:
    url = urlsplit(entra.admin_consent_url(PUBLIC, UUID(TENANT), CLIENT))
    assert parse_qs(url.query) == {
        "client_id": [CLIENT.client_id],
        "scope": ["https://graph.microsoft.com/.default"],
        "redirect_uri": ["https://site.example/callback"],
    }


# Client secrets of applications


def prove() -> None:
    entra.prove(PUBLIC, UUID(TENANT), UUID(CLIENT.client_id), Secret("CANARY~of the application"))


def test_proof_is_a_sign_in_of_the_application_itself(microsoft: Microsoft) -> None:
    prove()
    ((kind, request),) = microsoft.requests
    assert kind == "proof"
    assert request.url == f"https://login.microsoftonline.com/{TENANT}/oauth2/v2.0/token"
    assert parse_qs(request.body) == {
        "grant_type": ["client_credentials"],
        "client_id": [CLIENT.client_id],
        "client_secret": ["CANARY~of the application"],
        "scope": ["https://graph.microsoft.com/.default"],
    }
    microsoft.proofs = [7000215]
    with pytest.raises(RemoteError) as caught:
        prove()
    assert (caught.value.fault.error, caught.value.fault.aadsts) == ("invalid_client", 7000215)


def test_proof_takes_no_connection_that_is_kept(microsoft: Microsoft) -> None:
    """Over the same connection it would be the same of Entra's servers that answers."""
    transport.keep_alive()
    try:
        prove()
        assert not transport._kept.adapters
        redeem()
        assert transport._kept.adapters
    finally:
        transport.let_go()


# Tenants


def test_tenant_that_no_cloud_knows_is_in_none(microsoft: Microsoft) -> None:
    assert entra.find_cloud_of("contoso.com", apart_from=PUBLIC) is None


def test_domain_is_resolved_to_its_tenant(microsoft: Microsoft) -> None:
    assert entra.find_tenant(PUBLIC, "contoso.com") == UUID(TENANT)


@pytest.mark.parametrize(
    "issuer",
    [
        "",
        f"https://evil.example/{TENANT}/v2.0",
        "https://login.microsoftonline.com/{tenantid}/v2.0",
        f"https://login.microsoftonline.com/{TENANT}",
        f"https://login.microsoftonline.com/{TENANT}/x/v2.0",
    ],
)
def test_metadata_of_no_single_tenant_is_not_believed(microsoft: Microsoft, issuer: str) -> None:
    microsoft.fail("discovery", 200, {"issuer": issuer})
    with pytest.raises(UnavailableError):
        entra.find_tenant(PUBLIC, "contoso.com")


def test_unknown_tenant_is_an_error(microsoft: Microsoft) -> None:
    microsoft.fail("discovery", 400, error(90002, "invalid_tenant"))
    with pytest.raises(RemoteError) as caught:
        entra.find_tenant(PUBLIC, "nobody.example")
    assert not isinstance(caught.value, UnavailableError)


@pytest.mark.parametrize("cloud", BUILT_IN.values(), ids=BUILT_IN)
def test_every_cloud_has_its_own_hosts(cloud: Any) -> None:
    url = entra.authorization_url(
        cloud,
        UUID(TENANT),
        CLIENT,
        state=Secret("s"),
        nonce=Secret("n"),
        code_challenge="c",
    ).reveal()
    assert url.startswith(f"{cloud.authority}/{TENANT}/oauth2/v2.0/authorize?")
    assert entra.scope(cloud.graph_audience).startswith(f"{cloud.graph}/.default ")
    consent = entra.admin_consent_url(cloud, UUID(TENANT), CLIENT)
    assert consent.startswith(f"{cloud.authority}/{TENANT}/v2.0/adminconsent?client_id=")
    assert (cloud is CHINA) is cloud.authority.endswith(".cn")
