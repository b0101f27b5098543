"""A throw-away certificate authority, and one certificate for all names of the stand-in."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from .domains import DOMAINS

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificates:
    ca_file: Path
    certificate_file: Path
    key_file: Path


def write_certificates(folder: Path) -> Certificates:
    """Make them, valid for a day, and throw the authority's key away."""
    authority_key, key = _new_key(), _new_key()
    authority_name = _name("Entra stand-in, throw-away authority")
    authority = (
        _begin(authority_name, authority_name, authority_key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .sign(authority_key, hashes.SHA256())
    )
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key())
    certificate = (
        _begin(_name("Entra stand-in"), authority_name, key)
        .add_extension(_names(), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        # Python 3.13 and later reject a chain without the two identifiers.
        .add_extension(identifier, critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    files = Certificates(
        ca_file=folder / "ca.pem",
        certificate_file=folder / "certificate.pem",
        key_file=folder / "key.pem",
    )
    files.ca_file.write_bytes(authority.public_bytes(serialization.Encoding.PEM))
    files.certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    files.key_file.touch(mode=0o600)
    files.key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return files


def _new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _begin(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _DAY)
        .not_valid_after(now + _DAY)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _names() -> x509.SubjectAlternativeName:
    hosts = ("localhost", *(f"*.{domain.name}" for domain in DOMAINS))
    return x509.SubjectAlternativeName(
        [*(x509.DNSName(host) for host in hosts), x509.IPAddress(IPv4Address("127.0.0.1"))]
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
