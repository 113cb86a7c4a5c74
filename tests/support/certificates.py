"""Certificates of an authority that nobody knows but who is told, as many an on-premise store has."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

SIGNS = {"key_cert_sign": True, "crl_sign": True}
USAGES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)


@dataclass(frozen=True, slots=True)
class Issued:
    """A server's certificate and its key, as files."""

    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True)
class Authority:
    """Issues certificates for addresses."""

    folder: Path
    key: ec.EllipticCurvePrivateKey

    @classmethod
    def create(cls, folder: Path) -> Self:
        """Make an authority whose files are in `folder`."""
        folder.mkdir(parents=True)
        key = ec.generate_private_key(ec.SECP256R1())
        usage = x509.KeyUsage(**{name: SIGNS.get(name, False) for name in USAGES})
        made = (
            _builder("authority", key)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(usage, critical=True)
            .sign(key, hashes.SHA256())
        )
        authority = cls(folder, key)
        authority.certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
        return authority

    @property
    def certificate(self) -> Path:
        """What clients have to trust."""
        return self.folder / "authority.pem"

    def issue(self, address: str) -> Issued:
        """Make a certificate for an IP address."""
        key = ec.generate_private_key(ec.SECP256R1())
        alternative = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))])
        made = _builder(address, key).add_extension(alternative, critical=False)
        issued = Issued(self.folder / f"{address}.pem", self.folder / f"{address}.key")
        certificate = made.sign(self.key, hashes.SHA256())
        issued.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        issued.key.write_bytes(key.private_bytes(*form))
        return issued


def _builder(name: str, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return x509.CertificateBuilder(
        issuer_name=x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority")]),
        subject_name=x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]),
        public_key=key.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=now - timedelta(days=1),
        not_valid_after=now + timedelta(days=1),
    )
