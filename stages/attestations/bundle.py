"""A Sigstore bundle: a signed statement and what is needed to verify it. Source: sigstore/protobuf-specs."""

import base64
import binascii
import json
from dataclasses import dataclass
from typing import Any

from pipeline.errors import NotVerified
from pipeline.reference import Digest
from stages.attestations.statement import Statement

MEDIA_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
FAMILY = "application/vnd.dev.sigstore.bundle"
PREDICATE_TYPE = "dev.sigstore.bundle.predicateType"
PAYLOAD_TYPE = "application/vnd.in-toto+json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """A bundle as it is kept, and the statement in it: claimed by whoever wrote it until it is verified."""

    content: bytes
    statement: Statement
    key_hint: str = ""
    """The key as the bundle names it; empty for certificates."""
    certified: bool = False
    """It has a certificate in place of a key."""

    @property
    def digest(self) -> Digest:
        """The digest of its bytes."""
        return Digest.of(self.content)

    @classmethod
    def parse(cls, content: bytes) -> "Bundle":
        """Read a bundle.

        Raises:
            NotVerified: it is none, or what it signs is no in-toto statement.
        """
        try:
            document: dict[str, Any] = json.loads(content)
            envelope = document["dsseEnvelope"]
            payload = base64.b64decode(envelope["payload"], validate=True)
            if envelope["payloadType"] != PAYLOAD_TYPE:
                raise ValueError(f"its payload is {envelope['payloadType']!r}")
            material = document.get("verificationMaterial") or {}
            hint = str((material.get("publicKey") or {}).get("hint", ""))
            certified = bool(material.get("certificate") or material.get("x509CertificateChain"))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, binascii.Error) as error:
            raise NotVerified(f"it is no bundle of a signed statement ({error})") from error
        said = Statement.parse(payload)
        return cls(content=content, statement=said, key_hint=hint, certified=certified)
