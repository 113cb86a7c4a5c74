"""Whether an image is what a signer says it is: signature, attestations, and the evidence in them."""

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pipeline.desk import Desk
from pipeline.errors import ConfigurationError, NotVerified, PipelineError, RemoteError
from pipeline.model import Attestation, VerifiedImage
from pipeline.reference import Digest, Reference, Repository, Tag
from stages.attestations.bundle import Bundle
from stages.attestations.cosign import Cosign
from stages.attestations.evidence import ATTESTED, Kept, kept_in, moment
from stages.attestations.shelf import Shelf, opened
from stages.attestations.signing import Trust
from stages.attestations.types import PROVENANCE, SIGNATURE, in_words
from stages.oci.parallel import for_each
from stages.registries.connections import Registries

AT_A_TIME = 4
_LATEST = Tag("latest")
_ADVICE = "Do not deploy it. Whoever delivers it signs it by `attest:` in pipeline.yaml."


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """What a signer vouches for, and the evidence as plain data."""

    image: VerifiedImage
    evidence: tuple[Kept, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verifier:
    """Whose signatures are believed, and who verifies them."""

    trust: Trust
    cosign: Cosign
    desk: Desk

    def refusal(self, bundle: Bundle, subject: Digest) -> str:
        """Return why a bundle is not believed; empty where it is."""
        if subject not in bundle.statement.subjects:
            return "it is about another digest"
        return self.cosign.refusal(bundle, subject, self.trust, self.desk)

    def believes(self, bundle: Bundle, subject: Digest) -> bool:
        """Tell whether a bundle is known to be good."""
        return not self._answer(bundle, subject).why

    def sort(self, shelf: Shelf, subject: Digest) -> "Sorted":
        """Return what lies beside a manifest, what is believed apart from what is not."""
        placed = shelf.placed(subject)
        found = [each.bundle for each in placed if each.bundle is not None]
        answers = for_each(
            lambda bundle: self._answer(bundle, subject), found, threads=AT_A_TIME, stopped=threading.Event()
        )
        judged = tuple(zip(found, answers, strict=True))
        refused = [(bundle.statement.predicate_type, each.why) for bundle, each in judged if each.why]
        unread = [("", each.problem) for each in placed if each.bundle is None]
        return Sorted(
            subject,
            tuple(bundle for bundle, each in judged if not each.why),
            (*unread, *refused),
            tuple((bundle, each.error) for bundle, each in judged if each.error is not None),
        )

    def _answer(self, bundle: Bundle, subject: Digest) -> "_Answer":
        """Tell whether a bundle is believed; that nobody can tell may be of no matter."""
        try:
            return _Answer(self.refusal(bundle, subject))
        except (RemoteError, ConfigurationError) as error:
            return _Answer(error.message, error)


@dataclass(frozen=True, slots=True)
class _Answer:
    why: str
    """Why it is not believed; empty where it is."""
    error: PipelineError | None = None
    """Where nobody can tell: a service or a key was not there."""


@dataclass(frozen=True, slots=True)
class Sorted:
    """The bundles beside one manifest."""

    subject: Digest
    good: tuple[Bundle, ...]
    bad: tuple[tuple[str, str], ...]
    """Predicate types, empty where even that is unknown, and why they are not believed."""
    unanswered: tuple[tuple[Bundle, PipelineError], ...] = ()
    """Of those: where a service or a key was not there to tell."""

    def newest(self, kind: str) -> Bundle | None:
        """Return the bundle of a predicate type that is believed and was attested last."""
        of_kind = [each for each in self.good if each.statement.predicate_type == kind]
        return max(of_kind, key=_attested_at, default=None)

    def require(self, kind: str, name: str) -> Bundle:
        """Return the newest bundle of a predicate type.

        Raises:
            NotVerified: there is none, or none that is believed.
            RemoteError, ConfigurationError: nobody can tell of one that may be the newest.
        """
        found = self.newest(kind)
        for other, error in self.unanswered:
            newer = found is None or _attested_at(other) > _attested_at(found)
            if newer and other.statement.predicate_type == kind:
                raise error
        if found is not None:
            return found
        words, reasons = in_words(kind), [why for known, why in self.bad if known in {kind, ""}]
        if not reasons:
            raise NotVerified(f"{name}@{self.subject}: there is no {words}", advice=_ADVICE)
        count = "one is" if len(reasons) == 1 else f"{len(reasons)} are"
        told = "; ".join(dict.fromkeys(reasons))
        raise NotVerified(
            f"{name}@{self.subject}: there is no {words} that holds; {count} there: {told}", advice=_ADVICE
        )


def examine(reference: Reference, registries: Registries, verifier: Verifier) -> Examined:
    """Return what the signer vouches for of an image: everything that was attested has to be there and hold.

    Raises:
        NotVerified: it is not signed, or something is missing, was changed, or is another signer's.
        RemoteError: the registry or another service does not answer, or there is no such image.
    """
    with opened(registries, reference.repository, verifier.desk, write=False) as shelf:
        digest = _resolved(shelf, reference)
        sorted_ = verifier.sort(shelf, digest)
        name = reference.repository
        signature = sorted_.require(SIGNATURE, name)
        provenance = _provenance(sorted_, signature, name)
        found = [(signature, digest), (provenance, digest)]
        beside = {digest: sorted_}
        for kind, subject in also_attested(provenance):
            if subject not in beside:
                beside[subject] = verifier.sort(shelf, subject)
            found.append((beside[subject].require(kind, name), subject))
    unique = {(bundle.digest, subject): (bundle, subject) for bundle, subject in found}
    image = VerifiedImage(
        name=name,
        tag=reference.tag,
        digest=digest,
        signer=verifier.trust.signer,
        attestations=tuple(_attestation(*each, name) for each in unique.values()),
        ignored=tuple(_ignored(beside.values())),
    )
    kept = [each for bundle, _ in unique.values() for each in kept_in(bundle.statement.predicate)]
    return Examined(image=image, evidence=_of_the_digest(kept, digest, name))


def _resolved(shelf: Shelf, reference: Reference) -> Digest:
    """Return the digest that is meant, computed from the bytes that the registry gives for it."""
    wanted = reference.digest or reference.tag or _LATEST
    found = shelf.find(wanted)
    if found is None:
        raise RemoteError(f"there is no {reference}", advice="Look at the name, the tag and the digest.")
    return found.digest


def _provenance(sorted_: Sorted, signature: Bundle, name: str) -> Bundle:
    others = [each for each in signature.statement.subjects if each != sorted_.subject]
    try:
        return sorted_.require(PROVENANCE, name)
    except NotVerified as error:
        if sorted_.newest(PROVENANCE) is None and others and not sorted_.bad:
            error.message += ", though it is signed: it may be one platform of an image"
            error.advice = f"What is attested is attested of the whole image: {name}@{others[0]}"
        raise


def also_attested(provenance: Bundle) -> list[tuple[str, Digest]]:
    """Return what else was attested in the same run, which must not be taken away afterwards.

    Raises:
        NotVerified: it does not say: another tool wrote it, and nobody knows what is missing.
    """
    named = provenance.statement.predicate.get(ATTESTED)
    try:
        if not isinstance(named, list):
            raise TypeError("it was written by another tool")
        entries = [(str(each["predicateType"]), Digest(each["subject"])) for each in named]
    except (ValueError, KeyError, TypeError) as error:
        raise NotVerified(
            f"the provenance does not tell what else was attested: {error}",
            advice="Verify with the version of the pipeline that attested it.",
        ) from error
    return entries


def _attested_at(bundle: Bundle) -> str:
    return moment(bundle.statement.predicate)


def _attestation(bundle: Bundle, subject: Digest, repository: Repository) -> Attestation:
    return Attestation(
        predicate_type=bundle.statement.predicate_type,
        subject=subject,
        bundle=bundle.digest,
        repositories=(repository,),
    )


def _ignored(beside: Iterable[Sorted]) -> Iterable[str]:
    for each in beside:
        for kind, why in each.bad:
            yield f"{in_words(kind) or 'something'} at {each.subject}: {why}"


def _of_the_digest(kept: Sequence[Kept], digest: Digest, name: str) -> tuple[Kept, ...]:
    """Return the evidence, once every piece of it is found to be of this very image."""
    for each in kept:
        of = each.content.get("digest", digest)
        if of != digest:
            raise NotVerified(
                f"{name}@{digest}: its {each.type} is of {of}", advice="It was attested of another image."
            )
    return tuple(kept)
