"""Certificates for custom subdomains, issued by the demo's own authority."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_LIFE = timedelta(days=90)
_BACKDATE = timedelta(minutes=5)  # for visitors whose clock is slow


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """An issued certificate: ``pem`` is public; its private key never leaves the issuing call."""

    pem: str
    serial: str
    fingerprint: str
    expires_at: datetime


def issue_certificate(hostname: str, *, now: datetime) -> Certificate:
    """Issue a TLS server certificate for a hostname (RFC 5280), valid for ninety days.

    The authority is made for the occasion: browsers do not trust it, and the demo serves nothing with it.
    """
    authority_key = ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "AxisSynapse demo authority")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hostname)]))
        .issuer_name(issuer)
        .public_key(ec.generate_private_key(ec.SECP256R1()).public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATE)
        .not_valid_after(now + _LIFE)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(hostname)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    return Certificate(
        pem=certificate.public_bytes(serialization.Encoding.PEM).decode("ascii"),
        serial=f"{certificate.serial_number:x}",
        fingerprint=certificate.fingerprint(hashes.SHA256()).hex(":"),
        expires_at=certificate.not_valid_after_utc,
    )
