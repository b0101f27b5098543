"""Signing keys: made at start, rotated on demand, published as a JWKS."""

from __future__ import annotations

import base64
import hashlib
import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

# Entra keeps publishing old keys for a while after a rotation.
_PUBLISHED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKey:
    kid: str
    private: rsa.RSAPrivateKey
    x5c: str


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def new_key() -> SigningKey:
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Entra stand-in")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1825))
        .sign(private, hashes.SHA256())
    )
    der = certificate.public_bytes(serialization.Encoding.DER)
    # The thumbprint is SHA-1 by definition of x5t, and Entra uses it as kid.
    return SigningKey(
        kid=base64url(hashlib.sha1(der, usedforsecurity=False).digest()),
        private=private,
        x5c=base64.b64encode(der).decode(),
    )


def jwk(key: SigningKey, issuer: str) -> dict[str, object]:
    numbers = key.private.public_key().public_numbers()
    return {
        "kty": "RSA",
        "use": "sig",
        "kid": key.kid,
        "x5t": key.kid,
        "n": base64url(numbers.n.to_bytes((numbers.n.bit_length() + 7) // 8, "big")),
        "e": base64url(numbers.e.to_bytes(3, "big")),
        "x5c": [key.x5c],
        "cloud_instance_name": "microsoftonline.com",
        "issuer": issuer,
    }


class KeyRing:
    """The key that signs, first, and those published with it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._keys: list[SigningKey] = []

    def all(self) -> list[SigningKey]:
        with self._lock:
            if not self._keys:
                self._keys = [new_key()]
            return list(self._keys)

    @property
    def current(self) -> SigningKey:
        return self.all()[0]

    def rotate(self, *, drop_old: bool) -> None:
        """Sign with a new key; without drop_old the last ones stay published."""
        kept = [] if drop_old else self.all()
        key = new_key()
        with self._lock:
            self._keys = [key, *kept][:_PUBLISHED]
