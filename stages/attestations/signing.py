"""Who signs and whose signatures are believed, as cosign is told it."""

import base64
import binascii
import hashlib
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from pipeline.model import Signer

PASSWORD = "COSIGN_PASSWORD"  # noqa: S105 - the name of the variable
LONG_AGO = "2020-01-01T00:00:00Z"


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """The services that a signature involves; without addresses those of the public Sigstore."""

    transparency_log: bool = True
    rekor: str | None = None
    fulcio: str | None = None
    timestamp_authority: str | None = None
    issuer: str | None = None

    @property
    def are_public(self) -> bool:
        """Tell whether cosign asks the public Sigstore which services there are."""
        return self.transparency_log and not (self.rekor or self.fulcio or self.timestamp_authority)

    def arguments(self) -> tuple[str, ...]:
        """Return what makes cosign write them down; nothing for a signature that nobody else sees."""
        addresses = (
            ("rekor", self.rekor),
            ("fulcio", self.fulcio),
            ("tsa", self.timestamp_authority),
            ("oidc-provider", self.issuer if self.fulcio else None),
        )
        named = [
            f"--{kind}=url={url},api-version=1,start-time={LONG_AGO},operator={urlsplit(url).netloc}"
            for kind, url in addresses
            if url is not None
        ]
        how = (("--rekor-config=ANY", self.rekor), ("--tsa-config=ANY", self.timestamp_authority))
        return (*named, *(argument for argument, url in how if url is not None))


@dataclass(frozen=True, slots=True, kw_only=True)
class Signing:
    """With what is signed: a key, or the identity of the CI job."""

    key: str | None = None
    """A path, env://NAME, or the URI of a KMS; None: keyless."""
    services: Services = Services()
    trusted_root: Path | None = None
    shown_key: str | None = None
    """The key as the configuration says it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """Whose signatures are believed."""

    key: str | None = None
    """A path, env://NAME, or the URI of a KMS; None: the identity's."""
    identity: str = ""
    identity_regexp: str = ""
    issuer: str = ""
    transparency_log: bool = True
    trusted_root: Path | None = None
    shown_key: str | None = None
    """The key as the configuration or the command line says it."""
    public_key: str = ""
    """The key itself in PEM, once it is read."""

    def arguments(self, public_key: Path) -> tuple[str, ...]:
        """Return what tells cosign; the key stands in a file, so that no KMS is asked again."""
        if self.key is not None:
            who: tuple[str, ...] = ("--key", str(public_key))
        elif self.identity_regexp:
            who = ("--certificate-identity-regexp", self.identity_regexp)
        else:
            who = ("--certificate-identity", self.identity)
        issuer = ("--certificate-oidc-issuer", self.issuer) if self.key is None else ()
        root = ("--trusted-root", str(self.trusted_root)) if self.trusted_root is not None else ()
        log = () if self.transparency_log else ("--insecure-ignore-tlog=true",)
        return (*who, *issuer, *root, *log)

    @property
    def signer(self) -> Signer:
        """Who that is, for the record."""
        if self.key is None:
            return Signer(identity=self.identity or self.identity_regexp, issuer=self.issuer)
        return Signer(key=self.shown_key or self.key, fingerprint=fingerprint(self.public_key))


def fingerprint(public_key: str) -> str:
    """Return the SHA-256 of a public key in PEM, as bundles name it too; empty where it is none."""
    hashed = key_digest(public_key)
    return f"SHA256:{hashed.hex()}" if hashed else ""


def key_hint(public_key: str) -> str:
    """Return how a bundle names the key that it was signed with."""
    return base64.b64encode(key_digest(public_key)).decode()


def key_digest(public_key: str) -> bytes:
    """Return the SHA-256 of the SubjectPublicKeyInfo in a PEM text; empty where there is none."""
    lines = [line.strip() for line in public_key.splitlines() if not line.startswith("-----")]
    try:
        content = base64.b64decode("".join(lines), validate=True)
    except binascii.Error:
        return b""
    return hashlib.sha256(content).digest() if content and "PUBLIC KEY" in public_key else b""
