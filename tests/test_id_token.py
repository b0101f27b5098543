"""OpenID Connect Core 3.1.3.7, one fault at a time."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from datetime import timedelta
from typing import Any
from uuid import UUID

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from infisical_azure import id_token
from infisical_azure.clouds import PUBLIC
from infisical_azure.exceptions import IdTokenError, UnavailableError
from infisical_azure.id_token import Identity, sha256
from infisical_azure.secret import Secret

from .microsoft import (
    ACCESS_TOKEN,
    ACCOUNT,
    AUTHORITY,
    CLIENT_ID,
    KEY,
    OTHER_KEY,
    OTHER_TENANT,
    TENANT,
    Microsoft,
    jwk,
)


def unsigned(payload: str) -> str:
    """Return a JWT around any bytes."""
    return f"eyJhbGciOiJSUzI1NiJ9.{base64.urlsafe_b64encode(payload.encode()).decode()}.x"


#: Texts that are no id token. Deep JSON exhausts the parser, a lone surrogate the encoder.
UNREADABLE = [
    *(" ", "x", "a.b", "a.b.c", "é.é.é", "\ud800.b.c"),
    *(unsigned(payload) for payload in ("", "[]", "null", "{", "[" * 200_000)),
]


def from_now(claims: dict[str, Any]) -> dict[str, Any]:
    """Turn the seconds of time claims, given from now on, into times."""
    now = int(time.time())
    return {k: now + v if k in {"exp", "nbf", "iat"} else v for k, v in claims.items()}


@pytest.fixture
def validate(microsoft: Microsoft) -> Any:
    microsoft.nonce = "the-nonce"

    def validate(token: str | None = None) -> Identity:
        token = token or microsoft._token(TENANT)["id_token"]
        return id_token.validate(
            Secret(token),
            PUBLIC,
            client_id=CLIENT_ID,
            nonce_hash=sha256("the-nonce"),
            access_token=Secret(ACCESS_TOKEN),
        )

    return validate


def test_valid_token_names_account_and_tenant(validate: Any) -> None:
    assert validate() == Identity(
        tenant_id=UUID(TENANT),
        object_id=UUID(ACCOUNT),
        subject="pairwise-subject",
        name="Ada Admin",
        username="ada@contoso.com",
    )


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": "another-application"},
        {"aud": [CLIENT_ID, "another-application"]},
        {"azp": "another-application"},
        {"iss": f"{AUTHORITY}/{OTHER_TENANT}/v2.0"},
        {"iss": f"https://evil.example/{TENANT}/v2.0"},
        {"iss": f"{AUTHORITY}/{TENANT}/v2.0/"},
        {"exp": -301},
        {"nbf": 400},
        {"iat": 400},
        {"nonce": "another-nonce"},
        {"nonce": ["the-nonce"]},
        {"at_hash": "another-token"},
        {"oid": "not-a-guid"},
        {"tid": "not-a-guid"},
        {"tid": "common"},
        {"sub": 5},
    ],
    ids=lambda claims: ",".join(f"{key}={str(value)[:24]}" for key, value in claims.items()),
)
def test_wrong_claim_is_refused(
    validate: Any, microsoft: Microsoft, claims: dict[str, Any]
) -> None:
    microsoft.claims = from_now(claims)
    with pytest.raises(IdTokenError):
        validate()


@pytest.mark.parametrize("claim", ["exp", "iat", "iss", "aud", "sub", "nonce", "tid", "oid"])
def test_missing_claim_is_refused(validate: Any, microsoft: Microsoft, claim: str) -> None:
    microsoft.omit_claims = {claim}
    with pytest.raises(IdTokenError):
        validate()


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": -200},
        {"nbf": 200},
        {"azp": CLIENT_ID},
        {
            "at_hash": base64.urlsafe_b64encode(
                hashlib.sha256(ACCESS_TOKEN.encode()).digest()[:16]
            ).decode()[:22]
        },
    ],
    ids=lambda claims: next(iter(claims)),
)
def test_small_skew_and_optional_claims_are_accepted(
    validate: Any, microsoft: Microsoft, claims: dict[str, Any]
) -> None:
    microsoft.claims = from_now(claims)
    assert validate().tenant_id == UUID(TENANT)


def test_names_are_optional(validate: Any, microsoft: Microsoft) -> None:
    microsoft.omit_claims = {"name", "preferred_username"}
    assert (validate().name, validate().username) == ("", "")


# Signatures


def test_other_signature_is_refused(validate: Any, microsoft: Microsoft) -> None:
    microsoft.sign = lambda claims: jwt.encode(
        claims, OTHER_KEY, algorithm="RS256", headers={"kid": "key-1"}
    )
    with pytest.raises(IdTokenError, match="InvalidSignatureError"):
        validate()


def test_alg_none_is_refused(validate: Any, microsoft: Microsoft) -> None:
    microsoft.sign = lambda claims: jwt.encode(
        claims, None, algorithm="none", headers={"kid": "key-1"}
    )
    with pytest.raises(IdTokenError):
        validate()


def test_public_key_as_hmac_secret_is_refused(validate: Any, microsoft: Microsoft) -> None:
    public = KEY.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )

    def sign(claims: dict[str, Any]) -> str:
        """Sign as an attacker would: PyJWT refuses to use a public key for this."""
        head = {"typ": "JWT", "alg": "HS256", "kid": "key-1"}
        parts = [
            base64.urlsafe_b64encode(json.dumps(p).encode()).rstrip(b"=") for p in (head, claims)
        ]
        mac = hmac.digest(public, b".".join(parts), "sha256")
        return b".".join([*parts, base64.urlsafe_b64encode(mac).rstrip(b"=")]).decode()

    microsoft.sign = sign
    with pytest.raises(IdTokenError):
        validate()


def test_header_that_names_another_algorithm_is_refused(
    validate: Any, microsoft: Microsoft
) -> None:
    """The signature is right, and of the right kind: only the header is not."""

    def sign(claims: dict[str, Any]) -> str:
        head = {"typ": "JWT", "alg": "HS256", "kid": "key-1"}
        parts = [
            base64.urlsafe_b64encode(json.dumps(p).encode()).rstrip(b"=") for p in (head, claims)
        ]
        algorithm = jwt.algorithms.RSAAlgorithm(jwt.algorithms.RSAAlgorithm.SHA256)
        mac = algorithm.sign(b".".join(parts), KEY)
        return b".".join([*parts, base64.urlsafe_b64encode(mac).rstrip(b"=")]).decode()

    microsoft.sign = sign
    with pytest.raises(IdTokenError, match="InvalidAlgorithmError"):
        validate()


def test_es256_is_refused(validate: Any, microsoft: Microsoft) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    microsoft.keys = [json.loads(jwt.algorithms.ECAlgorithm.to_jwk(key)) | {"kid": "key-1"}]
    microsoft.sign = lambda claims: jwt.encode(
        claims, key, algorithm="ES256", headers={"kid": "key-1"}
    )
    with pytest.raises(IdTokenError):
        validate()


def test_changed_payload_is_refused(validate: Any, microsoft: Microsoft) -> None:
    head, payload, signature = microsoft._token(TENANT)["id_token"].split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    claims["oid"] = OTHER_TENANT
    forged = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    with pytest.raises(IdTokenError):
        validate(f"{head}.{forged}.{signature}")


@pytest.mark.parametrize("subject", ["", "ü", "nul\x00", "s" * 256])
def test_subject_that_is_none_is_refused(validate: Any, microsoft: Microsoft, subject: str) -> None:
    microsoft.claims = {"sub": subject}
    with pytest.raises(IdTokenError, match="sub"):
        validate()


@pytest.mark.parametrize("token", UNREADABLE)
def test_what_is_no_jwt_is_refused(validate: Any, token: str) -> None:
    with pytest.raises(IdTokenError):
        validate(token)


@pytest.mark.parametrize("claims", [{"oid": "not-a-guid"}, {"aud": "another"}], ids=["oid", "aud"])
def test_refusal_leads_to_no_frame_that_holds_the_token(
    validate: Any, microsoft: Microsoft, claims: dict[str, Any]
) -> None:
    microsoft.claims = claims
    for token in (None, "no jwt"):
        with pytest.raises(IdTokenError) as caught:
            validate(token)
        assert caught.value.__suppress_context__
        assert caught.value.__cause__ is None


def test_nonce_that_no_text_can_hold_is_refused(validate: Any, microsoft: Microsoft) -> None:
    microsoft.claims = {"nonce": "\ud800"}
    with pytest.raises(IdTokenError, match="nonce"):
        validate()


def test_keys_that_are_throttled_say_for_how_long(validate: Any, microsoft: Microsoft) -> None:
    microsoft.fail("keys", 429, {}, **{"Retry-After": "77"})
    with pytest.raises(UnavailableError) as caught:
        validate()
    fault = caught.value.fault
    assert (fault.http_status, fault.error) == (429, "signing_keys_unavailable")
    assert fault.retry_after == timedelta(seconds=77)


# Keys


def test_missing_kid_is_fine_with_a_single_key(validate: Any, microsoft: Microsoft) -> None:
    microsoft.sign = lambda claims: jwt.encode(claims, KEY, algorithm="RS256")
    assert validate()


def test_missing_kid_is_refused_with_several_keys(validate: Any, microsoft: Microsoft) -> None:
    microsoft.sign = lambda claims: jwt.encode(claims, KEY, algorithm="RS256")
    microsoft.keys.append(jwk(OTHER_KEY, "key-2"))
    with pytest.raises(IdTokenError, match="no key"):
        validate()


@pytest.mark.parametrize(
    "keys",
    [
        [],
        [jwk(KEY, "key-2")],
        [jwk(KEY, use="enc")],
        [jwk(KEY, issuer=f"{AUTHORITY}/{OTHER_TENANT}/v2.0")],
        [jwk(KEY), jwk(OTHER_KEY)],
    ],
    ids=["none", "other kid", "for encryption", "another tenant's", "two of one kid"],
)
def test_unsuitable_key_is_not_used(validate: Any, microsoft: Microsoft, keys: list[Any]) -> None:
    microsoft.keys = keys
    with pytest.raises(IdTokenError, match="no key"):
        validate()


def test_keys_that_can_not_be_read_are_passed_over(validate: Any, microsoft: Microsoft) -> None:
    microsoft.keys = [None, "text", {}, {"kty": "RSA", "n": "?", "e": 1}, jwk(KEY)]
    assert validate()


@pytest.mark.parametrize("absent", ["use", "issuer"])
def test_key_without_a_restriction_is_used(
    validate: Any, microsoft: Microsoft, absent: str
) -> None:
    microsoft.keys = [{name: value for name, value in jwk(KEY).items() if name != absent}]
    assert validate()


def test_rotated_key_is_found_at_once(validate: Any, microsoft: Microsoft) -> None:
    assert validate()
    microsoft.keys = [jwk(OTHER_KEY, "key-2")]
    microsoft.sign = lambda claims: jwt.encode(
        claims, OTHER_KEY, algorithm="RS256", headers={"kid": "key-2"}
    )
    assert validate()


@pytest.mark.parametrize(
    ("status", "body"), [(500, "<html>"), (200, "<html>"), (404, {}), (200, {"keys": "x"})]
)
def test_keys_out_of_reach_are_a_passing_fault(
    validate: Any, microsoft: Microsoft, status: int, body: Any
) -> None:
    microsoft.fail("keys", status, body)
    with pytest.raises(UnavailableError):
        validate()
