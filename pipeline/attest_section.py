"""What pipeline.yaml says of signing what was pushed, and of whose signatures are believed."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from pipeline.section import Seconds, Section

KEYLESS = "keyless"


def _require_url(text: str) -> str:
    if not text.startswith(("https://", "http://")):
        raise ValueError("expected an address that starts with https://")
    return text.rstrip("/")


Url = Annotated[str, AfterValidator(_require_url)]
Text = Annotated[str, Field(min_length=1)]


class AttestSection(Section):
    """Signatures and attestations of the pushed image, made by cosign."""

    key: Text | None = None
    """Private key: a file of `cosign generate-key-pair`, a variable (env://NAME), or a KMS (awskms://,
    gcpkms://, azurekms://, hashivault://, k8s://). A file's password is in COSIGN_PASSWORD."""
    keyless: bool = False
    """Sign as the CI job itself, by its identity token; `attest: keyless` says the same."""
    identity: Text | None = None
    """Keyless: identity that the certificate must have; default: the workflow's own, on GitHub and GitLab."""
    issuer: Url | None = None
    """Keyless: who issues the identity token; default: the CI host."""
    transparency_log: bool = True
    """Enter signatures into a transparency log (Rekor): the public one, or `rekor`. With a key it may be off:
    then nobody else is asked."""
    rekor: Url | None = None
    """Address of an own transparency log."""
    fulcio: Url | None = None
    """Address of an own certificate authority, for keyless signatures."""
    timestamp_authority: Url | None = None
    """Address of an own timestamp authority."""
    trusted_root: Text | None = None
    """File that says whose logs and certificates are believed, for own ones: `cosign trusted-root create`."""
    builder_id: Url | None = None
    """Who builds, in the provenance; default: the workflow on GitHub and GitLab, else this machine."""
    cosign: Text | None = None
    """The cosign program; default: found on the PATH."""
    timeout_s: Seconds = 180
    """Time limit of one signature in seconds."""

    @model_validator(mode="after")
    def _one_signer(self) -> Self:
        if (self.key is None) == (not self.keyless):
            raise ValueError("say either `key: FILE` or `keyless: true`, not both and not neither")
        own = [name for name in ("rekor", "fulcio", "timestamp_authority") if getattr(self, name) is not None]
        if own and self.trusted_root is None:
            raise ValueError(f"`{own[0]}` needs `trusted_root`: nobody could verify what it confirms")
        if not self.transparency_log and (self.keyless or self.rekor is not None):
            other = "keyless" if self.keyless else "rekor"
            raise ValueError(f"`transparency_log: false` does not go with `{other}`")
        if self.keyless and own and (self.fulcio is None or self.rekor is None or self.issuer is None):
            raise ValueError("keyless with own services needs all of `fulcio`, `rekor` and `issuer`")
        return self


def _short(value: object) -> object:
    return {"keyless": True} if value == KEYLESS else value


Attest = Annotated[
    AttestSection, BeforeValidator(_short, json_schema_input_type=AttestSection | Literal["keyless"])
]


class VerifySection(Section):
    """Whose signatures are believed: of a key, or of an identity."""

    key: Text | None = None
    """Public key: a file, a variable (env://NAME), or a KMS as in `attest`."""
    identity: Text | None = None
    """Identity in the certificate of a keyless signature, such as a workflow's address with its branch."""
    identity_regexp: Text | None = None
    """The same as a regular expression (Go's syntax), such as ^https://github.com/team/."""
    issuer: Url | None = None
    """Who issued that identity, such as https://token.actions.githubusercontent.com."""
    transparency_log: bool = True
    """Demand an entry in the transparency log; off for keys that sign with `transparency_log: false`."""
    trusted_root: Text | None = None
    """File that says whose logs and certificates are believed, for own ones."""
    cosign: Text | None = None
    """The cosign program; default: found on the PATH."""

    @model_validator(mode="after")
    def _one_signer(self) -> Self:
        identities = [name for name in ("identity", "identity_regexp") if getattr(self, name) is not None]
        if self.key is not None and (identities or self.issuer is not None):
            raise ValueError("say either `key`, or an identity with its issuer")
        if self.key is None and (len(identities) != 1 or self.issuer is None):
            raise ValueError("say `key: FILE`, or `identity` (or `identity_regexp`) together with `issuer`")
        if self.key is None and not self.transparency_log:
            raise ValueError("`transparency_log: false` goes with `key` alone")
        return self
