"""What was signed and attested of an image, and what a verification of that found."""

from typing import ClassVar, Literal

from pydantic import Field

from pipeline.model.base import Artifact, Tool, Value
from pipeline.model.judging import Verdict
from pipeline.reference import Digest, Repository, Tag


class Attestation(Value):
    """A signed statement of one predicate type about one manifest, as it lies in the registries."""

    SIGNATURE: ClassVar[str] = "https://sigstore.dev/cosign/sign/v1"
    """The predicate type by which cosign tells a signature: a statement that says nothing more."""

    predicate_type: str
    subject: Digest = Field(description="of the manifest that it is about")
    bundle: Digest = Field(description="of the Sigstore bundle, the same in every repository")
    repositories: tuple[Repository, ...] = ()
    reused: bool = Field(default=False, description="made by an earlier run, with the same content and key")

    @property
    def is_signature(self) -> bool:
        """Tell whether it says no more than that the signer stands for the image."""
        return self.predicate_type == self.SIGNATURE


class Signer(Value):
    """Who signs: a key by its public half, or an identity that a certificate vouches for."""

    key: str | None = Field(default=None, description="file, variable or KMS URI; None: keyless")
    fingerprint: str = Field(default="", description="SHA256: of the public key")
    identity: str = Field(default="", description="of the certificate, where there is no key")
    issuer: str = Field(default="", description="who issued the identity")

    def __str__(self) -> str:
        if self.key is None:
            return f"{self.identity} ({self.issuer})"
        return f"{self.key} ({self.fingerprint})" if self.fingerprint else self.key


class AttestedImage(Artifact):
    """What was signed and attested of the pushed image, read back and verified.

    attested: every attestation was read back from every repository and verified; preview: nothing was
    signed, for nothing leaves the machine; unpublished: no registry is configured, so nothing can be signed.
    """

    status: Literal["attested", "preview", "unpublished"]
    digest: Digest
    signer: Signer
    tool: Tool | None = None
    transparency_log: bool = True
    verified: bool = False
    attestations: tuple[Attestation, ...] = ()
    planned: tuple[str, ...] = Field(default=(), description="what a run would sign, in words")
    command: str = Field(default="", description="cosign's, that verifies the signature by hand")
    notes: tuple[str, ...] = ()


class VerifiedImage(Artifact):
    """What a verification found at an image: the evidence is worth what the signer is."""

    name: str = Field(description="the repository that was asked")
    tag: Tag | None = None
    digest: Digest
    signer: Signer
    attestations: tuple[Attestation, ...]
    ignored: tuple[str, ...] = Field(
        default=(), description="what points at the image too, and is not verified by this signer"
    )


class Verification(Value):
    """An image that is signed, and what the policies say of the evidence that was attested of it."""

    image: VerifiedImage
    evidence: tuple[str, ...] = Field(description="names of the types that were attested")
    verdicts: tuple[Verdict, ...] = ()
    missing: tuple[str, ...] = Field(
        default=(), description="what a policy judges, and nobody has attested or left out for a reason"
    )

    @property
    def passed(self) -> bool:
        """Tell whether no policy refuses it, and all that they judge is there."""
        return not self.missing and not any(verdict.refuses for verdict in self.verdicts)
