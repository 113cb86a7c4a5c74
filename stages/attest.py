"""Sign what was pushed, and attest how it was made and what was found out about it, before it is deployed."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, ClassVar, cast

from pipeline.artifacts import Artifacts
from pipeline.desk import Desk
from pipeline.errors import PipelineError, RemoteError, ToolMissing
from pipeline.model import (
    Artifact,
    Attestation,
    AttestedImage,
    BuiltImage,
    Check,
    Problem,
    Pushed,
    PushedImage,
    Source,
    Verdict,
)
from pipeline.reference import Digest, Repository
from stages.attestations.builder import Job
from stages.attestations.by_hand import verify_command
from stages.attestations.cosign import INSTALL, Cosign
from stages.attestations.cosign_refusals import NO_IDENTITY
from stages.attestations.laying import Writer, alone
from stages.attestations.predicates import Builder, Circumstances, PolicySet
from stages.attestations.shelf import opened
from stages.attestations.signing import Signing, Trust
from stages.attestations.statement import Statement
from stages.attestations.statements import about_application, about_weights, kinds, summary
from stages.attestations.types import in_words
from stages.attestations.verification import Verifier
from stages.registries.connections import Registries

Judge = Callable[[Artifact, Artifacts], tuple[Verdict, ...]]
LOCKS = "attest"  # in the cache


@dataclass(frozen=True, slots=True, kw_only=True)
class Attest:
    """Sign the digest in every repository that has it, and lay the evidence beside it; verified afterwards.

    A dry run signs nothing. What an earlier run attested with the same content and key is not signed again.
    """

    signing: Signing
    trust: Trust
    """The same signer, as whoever verifies knows it."""
    builder: Builder
    policies: PolicySet
    judge: Judge = field(compare=False)
    """Says again what the policies have said of an artifact, for the summary."""
    registries: Registries
    cosign: Cosign = field(default_factory=Cosign)
    job: Job = field(default_factory=Job)
    parameters: Mapping[str, object] = field(default_factory=dict)
    """The configuration that was not left at its default; secrets masked."""
    now: Callable[[], datetime] = field(default=lambda: datetime.now(UTC), compare=False)

    name: ClassVar[str] = "attest"
    needs: ClassVar[tuple[type[Artifact], ...]] = (Source, BuiltImage, PushedImage)
    gives: ClassVar[type[AttestedImage]] = AttestedImage

    def check(self, desk: Desk) -> tuple[Check, ...]:
        """Tell what would be signed with which key, and whether cosign and the key are there."""
        if not self.registries.repositories:
            return (Check(subject="signing", found="nothing: the image goes to no registry"),)
        where = " and ".join(self.registries.repositories)
        if desk.dry_run:
            found = f"nothing leaves this machine; a run would sign {where} with {self.trust.signer}"
            return (Check(subject="signing", found=found),)
        try:
            tool = self.cosign.tool()
        except ToolMissing as error:
            missing = Check(
                subject="cosign", found=error.message, problem=Problem.TOOL, advice=error.advice or INSTALL
            )
            return (missing,)
        program = Check(subject="cosign", found=tool.version)
        return (program, self._check_signer(where, desk))

    def identity(self, have: Artifacts) -> None:
        """Return nothing: only the registries know what lies there; what does is not signed again."""
        del have

    def lacking(self, made: Artifact) -> str:
        """Return why a push that failed is not signed: what is unsigned must not be deployed."""
        del made
        return (
            "Nothing was signed and no manifest was updated: the image is signed once all registries have it."
        )

    def run(self, have: Artifacts, desk: Desk) -> AttestedImage:
        """Sign, lay the attestations beside the image, read them back and verify them.

        Raises:
            PipelineError: it cannot be signed, a registry does not take it, or it cannot be verified.
        """
        image = have[PushedImage]
        if not image.references:
            return self._nothing(have, desk)
        tool = self.cosign.tool()
        trust = self._own_key(desk)
        around = self._circumstances(have, desk)
        verifier = Verifier(trust=trust, cosign=self.cosign, desk=desk)
        weights, application = about_weights(have, around), about_application(have, around, desk.cache)
        made: list[Attestation] = []
        if image.model_image is not None:
            with self._writer(image.model_image, verifier, desk) as writer:
                writer.write([_redacted(each, desk) for each in weights.statements])
                made += writer.read_back()
        with self._writer(image, verifier, desk) as writer:
            laid = writer.write([_redacted(each, desk) for each in application.statements])
            inputs = [each.bundle.digest for each in laid]
            writer.write([_redacted(self._summary(have, inputs, around), desk)])
            made += writer.read_back()
        return AttestedImage(
            status="attested",
            digest=image.digest,
            signer=trust.signer,
            tool=tool,
            transparency_log=trust.transparency_log,
            verified=True,
            attestations=tuple(made),
            command=self._command(trust, image.references[0].repository, image.digest),
            notes=application.notes,
        )

    def _command(self, trust: Trust, repository: Repository, digest: Digest) -> str:
        plain_http = repository.host in self.registries.insecure
        return verify_command(trust, f"{repository}@{digest}", plain_http=plain_http)

    def _nothing(self, have: Artifacts, desk: Desk) -> AttestedImage:
        """Return what a run would have signed, where it has pushed nothing."""
        preview = desk.dry_run and bool(self.registries.repositories)
        return AttestedImage(
            status="preview" if preview else "unpublished",
            digest=have[PushedImage].digest,
            signer=self.trust.signer,
            transparency_log=self.trust.transparency_log,
            planned=tuple(map(in_words, kinds(have))) if preview else (),
        )

    @contextlib.contextmanager
    def _writer(self, image: Pushed, verifier: Verifier, desk: Desk) -> Iterator[Writer]:
        repositories = dict.fromkeys(each.repository for each in image.references)
        with contextlib.ExitStack() as stack:
            stack.enter_context(alone(desk.cache / LOCKS, image.digest))
            shelves = [
                stack.enter_context(opened(self.registries, each, desk, write=True)) for each in repositories
            ]
            yield Writer(shelves=shelves, signing=self.signing, verifier=verifier)

    def _summary(self, have: Artifacts, inputs: list[Digest], around: Circumstances) -> Statement:
        verdicts = tuple(verdict for made in have for verdict in self.judge(made, have))
        return summary(have[BuiltImage], verdicts, inputs, self.policies, around)

    def _circumstances(self, have: Artifacts, desk: Desk) -> Circumstances:
        return Circumstances(
            builder=self.builder,
            source=have[Source],
            run_name=desk.run_name,
            now=self.now(),
            parameters=self.parameters,
        )

    def _own_key(self, desk: Desk) -> Trust:
        """Return how our own signatures are verified: by the public half of the key, asked for anew."""
        if self.signing.key is None:
            return self.trust
        public_key = self.cosign.public_key(self.signing.key, desk, private=True)
        return replace(self.trust, public_key=public_key)

    def _check_signer(self, where: str, desk: Desk) -> Check:
        if self.signing.key is None:
            return self._check_job(where)
        try:
            trust = self._own_key(desk)
        except PipelineError as error:
            problem = Problem.REMOTE if isinstance(error, RemoteError) else Problem.CONFIGURATION
            return Check(subject="signing", found=error.message, problem=problem, advice=error.advice)
        return Check(subject="signing", found=f"{where} with {trust.signer}{self._log}")

    def _check_job(self, where: str) -> Check:
        """Tell who signs without a key; whether the identity is given out shows only when it is asked for."""
        if not self.job.has_token or not self.trust.identity or not self.trust.issuer:
            return Check(
                subject="signing",
                found="keyless, and this job has no identity token",
                problem=Problem.CONFIGURATION,
                advice=NO_IDENTITY,
            )
        return Check(subject="signing", found=f"{where} as {self.trust.signer}{self._log}")

    @property
    def _log(self) -> str:
        return "" if self.trust.transparency_log else ", in no transparency log"


def _redacted(statement: Statement, desk: Desk) -> Statement:
    """Return a statement with every known secret masked where it holds words of people."""
    predicate = cast("dict[str, Any]", desk.redact.words(dict(statement.predicate)))
    definition = predicate.get("buildDefinition")
    parameters = definition.get("externalParameters") if isinstance(definition, dict) else None
    if isinstance(parameters, dict):
        parameters["configuration"] = desk.redact.words(parameters.get("configuration"), free=True)
    return replace(statement, predicate=predicate)
