"""The composition of a verification: whose signatures are believed, and the evidence as its own types."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from pipeline.attest_section import AttestSection, VerifySection
from pipeline.cascade import Configuration
from pipeline.desk import Desk
from pipeline.errors import ConfigurationError, NotVerified
from pipeline.model import (
    Artifact,
    BuiltImage,
    Pushed,
    PushedImage,
    PushedReference,
    Source,
    VerifiedImage,
)
from pipeline.record import artifact_type
from pipeline.reference import Reference, Repository
from pipeline.stored import Recorded
from stages import DELIVERY
from stages.attestations.cosign import Cosign
from stages.attestations.evidence import Kept
from stages.attestations.signing import Trust
from stages.attestations.verification import Verifier, examine
from stages.registries.connections import Registries

T = TypeVar("T", bound=Artifact)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attested:
    """What a signer vouches for of an image."""

    image: VerifiedImage
    evidence: tuple[Artifact, ...]


def attested(
    reference: Reference, registries: Registries, section: VerifySection, root: Path, desk: Desk
) -> Attested:
    """Return what is attested of an image by the signer that the section names.

    Raises:
        NotVerified: it is not signed by that one, or something is missing or was changed.
        PipelineError: nobody could tell: a key, a tool, the registry or a service is not there.
    """
    cosign = Cosign(program=program(section.cosign, root))
    cosign.tool()
    verifier = Verifier(trust=cosign.with_key(trust_of(section, root), desk), cosign=cosign, desk=desk)
    found = examine(reference, registries, verifier)
    return Attested(image=found.image, evidence=tuple(map(_typed, found.evidence)))


def recorded(found: Attested, model_repositories: tuple[Repository, ...]) -> tuple[Recorded, ...]:
    """Return the evidence as stages whose results are stored, as a promotion takes them.

    Raises:
        NotVerified: the provenance does not say what was built.
    """
    built = _one(found, BuiltImage)
    places = {kind.gives.__name__: kind.name for kind in DELIVERY}
    stages = [
        Recorded(name=_stage_name(made, places), gives=type(made), made=made)
        for made in found.evidence
        if not isinstance(made, Source)
    ]
    order = [kind.name for kind in DELIVERY]
    stages.sort(key=lambda stage: order.index(stage.name) if stage.name in order else len(order))
    pushed = _pushed(built, Repository(found.image.name), model_repositories)
    return (
        Recorded(name="verify", gives=VerifiedImage, made=found.image),
        *stages,
        Recorded(name="push", gives=PushedImage, made=pushed),
    )


def source_of(found: Attested) -> Source:
    """Return the commit that the image was built from.

    Raises:
        NotVerified: the provenance does not say it.
    """
    return _one(found, Source)


def verifier_of(configuration: Configuration) -> Callable[[Desk], Verifier] | None:
    """Return who verifies what lies beside an image; None where nobody says whose signatures are believed."""
    values, root = configuration.values, configuration.root
    try:
        section = believed(values.attest, values.verify)
    except ConfigurationError:
        return None

    def made(desk: Desk) -> Verifier:
        cosign = Cosign(program=program(section.cosign, root))
        cosign.tool()
        return Verifier(trust=cosign.with_key(trust_of(section, root), desk), cosign=cosign, desk=desk)

    return made


def trust_of(section: VerifySection, root: Path) -> Trust:
    """Return whose signatures are believed; files are relative to a folder."""
    return Trust(
        key=key_path(section.key, root),
        shown_key=section.key,
        identity=section.identity or "",
        identity_regexp=section.identity_regexp or "",
        issuer=section.issuer or "",
        transparency_log=section.transparency_log,
        trusted_root=file(section.trusted_root, root),
    )


def believed(attest: AttestSection | None, verify: VerifySection | None) -> VerifySection:
    """Return what `verify:` says, else the public half of what `attest:` signs with.

    Raises:
        ConfigurationError: neither says whose signatures are believed.
    """
    if verify is not None:
        return verify
    if attest is not None and attest.key is not None:
        return VerifySection(
            key=public_half(attest.key),
            transparency_log=attest.transparency_log,
            trusted_root=attest.trusted_root,
            cosign=attest.cosign,
        )
    if attest is not None and attest.identity is not None and attest.issuer is not None:
        return VerifySection(
            identity=attest.identity,
            issuer=attest.issuer,
            trusted_root=attest.trusted_root,
            cosign=attest.cosign,
        )
    raise ConfigurationError(
        "nobody says whose signatures are believed",
        advice="Name the public key: --key cosign.pub. Or of keyless signatures: --identity … --issuer …, or "
        "write it into `verify:` of pipeline.yaml.",
    )


def public_half(key: str) -> str:
    """Return the name of the public key of a private one: a file's is beside it, a KMS tells it."""
    return f"{key.removesuffix('.key')}.pub" if key.endswith(".key") and "://" not in key else key


def key_path(key: str | None, root: Path) -> str | None:
    """Return a key as cosign is told it: a file's path in full, anything else as it is."""
    return key if key is None or "://" in key else str(root / Path(key).expanduser())


def file(name: str | None, root: Path) -> Path | None:
    """Return a file's path in full."""
    return root / Path(name).expanduser() if name is not None else None


def program(name: str | None, root: Path) -> str | None:
    """Return a program's path; a name without a folder is looked up on the PATH."""
    return str(root / Path(name).expanduser()) if name is not None and "/" in name else name


def _typed(kept: Kept) -> Artifact:
    content = dict(kept.content)
    try:
        return artifact_type(kept.type, content).model_validate(content)
    except (ValidationError, KeyError) as error:
        raise NotVerified(
            f"what was attested as {kept.type} cannot be read",
            advice="It was attested by another version of the pipeline: verify with that one.",
        ) from error


def _one(found: Attested, kind: type[T]) -> T:
    made = next((each for each in found.evidence if isinstance(each, kind)), None)
    if made is None:
        raise NotVerified(
            f"{found.image.name}@{found.image.digest}: its provenance tells no {kind.__name__}",
            advice="It was not attested by this pipeline; deliver its commit again.",
        )
    return made


def _stage_name(made: Artifact, places: dict[str, str]) -> str:
    return str(getattr(made, "stage", "")) or places.get(type(made).__name__, type(made).__name__)


def _pushed(
    built: BuiltImage, repository: Repository, model_repositories: tuple[Repository, ...]
) -> PushedImage:
    """Return where the image is, as far as it was looked at now."""
    own = built.model_image
    place = PushedReference(
        repository=repository, tag=built.tag, digest=built.digest, tag_existed=True, duration_s=0.0
    )
    weights = None
    if own is not None:
        places = tuple(
            PushedReference(repository=each, tag=own.tag, digest=own.digest, tag_existed=True, duration_s=0.0)
            for each in model_repositories
        )
        weights = Pushed(name=own.name, tag=own.tag, digest=own.digest, references=places)
    return PushedImage(
        name=built.name, tag=built.tag, digest=built.digest, references=(place,), model_image=weights
    )
