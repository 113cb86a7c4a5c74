"""Statements become signed bundles beside the image: what is there already is not signed again.

A registry without the referrers API keeps their list under a tag that is read, changed and written: of two
writers one may lose what the other has added. So one process of a machine at a time writes about a digest,
one statement after the other; in the end everything is read back, and what was lost is laid there again.
"""

import contextlib
import fcntl
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from pipeline.errors import RemoteError
from pipeline.model import Attestation, Descriptor
from pipeline.reference import Digest
from stages.attestations.bundle import Bundle
from stages.attestations.shelf import Shelf
from stages.attestations.signing import Signing
from stages.attestations.statement import Statement
from stages.attestations.types import in_words
from stages.attestations.verification import Verifier
from stages.oci.parallel import for_each

ROUNDS = 4
AT_A_TIME = 4

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Laid:
    """A bundle that belongs beside these manifests."""

    bundle: Bundle
    reused: bool

    @property
    def subjects(self) -> tuple[Digest, ...]:
        """The manifests that it is about."""
        return self.bundle.statement.subjects


@dataclass(slots=True, kw_only=True)
class Writer:
    """Signs statements and lays them beside the image in every repository that has it."""

    shelves: Sequence[Shelf]
    signing: Signing
    verifier: Verifier
    laid: list[Laid] = field(default_factory=list)
    _there: dict[tuple[str, Digest], tuple[Bundle, ...]] = field(default_factory=dict)
    _manifests: dict[tuple[str, Digest], Descriptor] = field(default_factory=dict)

    def write(self, statements: Sequence[Statement]) -> tuple[Laid, ...]:
        """See to it that every repository has these statements, signed by us.

        Signing takes a program each, so several are signed at a time; they are laid down one after the other.

        Raises:
            PipelineError: one cannot be signed, or a registry does not take it.
        """
        desk = self.verifier.desk
        known = {number: found for number, each in enumerate(statements) if (found := self._known(each))}
        new = [each for number, each in enumerate(statements) if number not in known]
        if new:
            desk.say(f"signing: {', '.join(in_words(each.predicate_type) for each in new)}")
        signed = iter(
            (*map(self._sign, new[:1]), *_several(self._sign, new[1:]))
        )  # the first makes the files
        laid = tuple(
            Laid(known[number], reused=True) if number in known else Laid(next(signed), reused=False)
            for number in range(len(statements))
        )
        for each in laid:
            self._lay(each)
        self.laid += laid
        return laid

    def _sign(self, statement: Statement) -> Bundle:
        content = self.verifier.cosign.sign(statement.content(), self.signing, self.verifier.desk)
        return Bundle.parse(content)

    def _lay(self, laid: Laid) -> None:
        for shelf in self.shelves:
            for subject in laid.subjects:
                if laid.bundle.digest not in self._digests(shelf, subject):
                    shelf.put(self._manifest(shelf, subject), laid.bundle)

    def read_back(self) -> tuple[Attestation, ...]:
        """Return what lies there now, once it was read from every repository and verified.

        Raises:
            RemoteError: a registry lost something again and again, or it does not hold.
        """
        for shelf in self.shelves:
            self._complete(shelf)
        reasons = _several(lambda laid: self.verifier.refusal(laid.bundle, laid.subjects[0]), self.laid)
        for laid, why in zip(self.laid, reasons, strict=True):
            if why:
                raise RemoteError(
                    f"the {in_words(laid.bundle.statement.predicate_type)} cannot be verified: {why}",
                    advice="Nothing is deployed from this run. Another identity than expected is that of a "
                    "reusable workflow: name its address in `attest.identity`.",
                )
        return tuple(
            Attestation(
                predicate_type=laid.bundle.statement.predicate_type,
                subject=laid.subjects[0],
                bundle=laid.bundle.digest,
                repositories=tuple(shelf.repository for shelf in self.shelves),
                reused=laid.reused,
            )
            for laid in self.laid
        )

    def _complete(self, shelf: Shelf) -> None:
        """Read back what lies in a repository, and lay there again what another writer has displaced."""
        for _ in range(ROUNDS):
            self._there.clear()
            missing = [
                (laid, subject)
                for laid in self.laid
                for subject in laid.subjects
                if laid.bundle.digest not in self._digests(shelf, subject)
            ]
            if not missing:
                return
            for laid, subject in missing:
                shelf.put(self._manifest(shelf, subject), laid.bundle)
        raise RemoteError(
            f"{shelf.repository}: attestations were written and are not listed",
            advice="Another run may attest the same digest all the time: let one job at a time deliver it "
            "(`concurrency` on GitHub, `resource_group` on GitLab), and run again.",
        )

    def _known(self, statement: Statement) -> Bundle | None:
        """Return what an earlier run has signed with the same words; ours only, and of every subject."""
        subject = statement.subjects[0]
        for shelf in self.shelves:
            for bundle in self._bundles(shelf, subject):
                if bundle.statement.says_the_same_as(statement) and self.verifier.believes(bundle, subject):
                    return bundle
        return None

    def _digests(self, shelf: Shelf, subject: Digest) -> set[Digest]:
        return {bundle.digest for bundle in self._bundles(shelf, subject)}

    def _bundles(self, shelf: Shelf, subject: Digest) -> tuple[Bundle, ...]:
        place = (shelf.repository, subject)
        if place not in self._there:
            placed = shelf.placed(subject)
            self._there[place] = tuple(each.bundle for each in placed if each.bundle is not None)
        return self._there[place]

    def _manifest(self, shelf: Shelf, subject: Digest) -> Descriptor:
        place = (shelf.repository, subject)
        if place not in self._manifests:
            self._manifests[place] = shelf.manifest(subject)
        return self._manifests[place]


def _several(work: Callable[[T], R], things: Sequence[T]) -> tuple[R, ...]:
    return for_each(work, things, threads=AT_A_TIME, stopped=threading.Event())


@contextlib.contextmanager
def alone(folder: Path, digest: Digest) -> Iterator[None]:
    """Let one process of this machine at a time write about a digest."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{digest.encoded}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
