"""Registries that take signed tokens only: who signs them, and a stock registry that verifies every one.

Source: distribution's specifications of token authentication and of its JSON web tokens.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import jwt
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from tests.support import registry as registries
from tests.support.registry import Registry

ALGORITHM = "RS256"
Access = list[dict[str, Any]]
"""What a token allows: entries with `type`, `name` and `actions`."""


class Signer:
    """Signs the tokens of one issuer with a key of its own, and knows them again."""

    def __init__(self, issuer: str) -> None:
        self.issuer = issuer
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._certificate = _self_signed(issuer, self._key)

    @property
    def certificate(self) -> bytes:
        """What a registry trusts, as PEM."""
        return self._certificate.public_bytes(serialization.Encoding.PEM)

    def sign(self, claims: Mapping[str, Any], audience: str, lifetime_s: float, *, ahead_s: float = 0) -> str:
        """Return a token; `ahead_s` is how far the signer's clock is ahead of everybody's."""
        now = time.time() + ahead_s
        times = {"iat": int(now), "nbf": int(now - 60), "exp": int(now + lifetime_s)}
        content = {"iss": self.issuer, "aud": audience, "jti": uuid4().hex, **times, **claims}
        der = self._certificate.public_bytes(serialization.Encoding.DER)
        return jwt.encode(
            content, self._key, algorithm=ALGORITHM, headers={"x5c": [base64.b64encode(der).decode()]}
        )

    def verified(self, token: str, audience: str, *, ahead_s: float = 0) -> Mapping[str, Any]:
        """Return what a token says.

        Raises:
            jwt.InvalidTokenError: it is forged, over, or for somebody else.
        """
        claims: dict[str, Any] = jwt.decode(
            token, self._key.public_key(), algorithms=[ALGORITHM], audience=audience, leeway=abs(ahead_s)
        )
        return claims


def access(scopes: Iterable[str]) -> Access:
    """Return what is asked for by scopes, of which several may stand in one text."""
    found: Access = []
    for scope in " ".join(scopes).split():
        kind, _, rest = scope.partition(":")
        name, _, actions = rest.rpartition(":")
        found.append({"type": kind, "name": name, "actions": actions.split(",")})
    return found


@dataclass(frozen=True, slots=True)
class _TokenRegistry(Registry):
    def answers(self) -> bool:
        """Say whether the registry asks for a token."""
        try:
            answer = requests.get(self.url(""), timeout=5)
        except requests.RequestException:
            return False
        return answer.headers.get("WWW-Authenticate", "").startswith("Bearer")


@contextmanager
def running_token_registry(folder: Path, signer: Signer, *, realm: str, service: str) -> Iterator[Registry]:
    """Run a stock registry that sends everybody to a realm and lets in whom the signer has signed a token."""
    folder.mkdir(parents=True)
    (folder / "signer.pem").write_bytes(signer.certificate)

    def settings(seen: Path) -> Mapping[str, Any]:
        trusted = {"issuer": signer.issuer, "rootcertbundle": str(seen / "signer.pem")}
        return {"auth": {"token": {"realm": realm, "service": service, **trusted}}}

    registry = _TokenRegistry(registries.free_port(), "nobody", "nothing")
    with registries.running(folder, registry, settings):
        yield registry


def _self_signed(name: str, key: rsa.RSAPrivateKey) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=2))
        .sign(key, hashes.SHA256())
    )
