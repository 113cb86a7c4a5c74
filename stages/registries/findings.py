"""What the scanners of all registries of a run say of an image, for the scan stage."""

from collections.abc import Iterator
from dataclasses import dataclass

from pipeline.desk import Desk
from pipeline.errors import PipelineError
from pipeline.model import BuiltImage, Check, Image, Problem, RegistryAnswer, Vulnerability
from pipeline.reference import Digest, Repository
from stages.registries.cloud_errors import NoCloudLogin
from stages.registries.connections import Registries
from stages.registries.examination import PROBLEMS
from stages.registries.interface import NoScan, Scanning

NOBODYS = Digest.of(b"")  # no manifest is empty: whoever asks for it learns only whether one may ask
ADVICE = "Or leave `scan.registry_findings` out: then our own scanner decides alone."
NO_LOGIN = "A `docker login` is not enough for this: findings are read by the cloud's own API."


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryFindings:
    """Asks each registry that has a scanner of its own, for the manifest of every platform."""

    registries: Registries
    model_repositories: tuple[Repository, ...] = ()
    """Where the weights go when they are an image of their own."""

    def check(self) -> tuple[Check, ...]:
        """Tell of each such registry whether we may read its findings; none at all is a mistake."""
        checks = tuple(self._checks())
        if checks:
            return checks
        return (
            Check(
                subject="registry findings",
                found="no registry is configured whose scanner can be asked",
                problem=Problem.CONFIGURATION,
                advice="Amazon ECR and Google Artifact Registry have one that can. Else leave "
                "`scan.registry_findings` out.",
            ),
        )

    def ask(
        self, image: BuiltImage, desk: Desk
    ) -> Iterator[tuple[RegistryAnswer, tuple[Vulnerability, ...]]]:
        """Yield each registry's answer for each manifest, with its findings.

        Raises:
            PipelineError: one of them does not let us ask, or does not answer.
        """
        for repository in dict.fromkeys(self.registries.repositories):
            yield from self._ask(repository, image, desk)
        own = image.model_image
        if own is not None and own.application_size_bytes:  # weights without a base are nothing to scan
            for repository in dict.fromkeys(self.model_repositories):
                yield from self._ask(repository, own, desk)

    def _ask(
        self, repository: Repository, image: Image, desk: Desk
    ) -> Iterator[tuple[RegistryAnswer, tuple[Vulnerability, ...]]]:
        registry = self.registries.of(repository)
        if not isinstance(registry, Scanning):
            return
        desk.say(f"asking {repository} what its scanner found")
        for digest in dict.fromkeys(platform.manifest.digest for platform in image.platforms):
            try:
                found = registry.find_scan(repository, digest)
            except PipelineError as error:
                error.advice = _advice(error)
                raise
            if isinstance(found, NoScan):
                notes = (found.note,) if found.note else ()
                yield (
                    RegistryAnswer(repository=repository, digest=digest, status=found.status, notes=notes),
                    (),
                )
            else:
                yield (
                    RegistryAnswer(
                        repository=repository,
                        digest=digest,
                        status="read",
                        scanner=found.scanner.name,
                        completed_at=found.completed_at,
                        database_updated_at=found.database_updated_at,
                        findings=len(found.vulnerabilities),
                        notes=found.notes,
                    ),
                    found.vulnerabilities,
                )

    def _checks(self) -> Iterator[Check]:
        for repository in dict.fromkeys((*self.registries.repositories, *self.model_repositories)):
            subject = f"findings of {repository}"
            try:
                registry = self.registries.of(repository)
                if not isinstance(registry, Scanning):
                    continue
                registry.find_scan(repository, NOBODYS)
            except PipelineError as error:
                problem = PROBLEMS.get(type(error), Problem.REMOTE)
                yield Check(subject=subject, found=error.message, problem=problem, advice=_advice(error))
            else:
                yield Check(subject=subject, found="can be read")


def _advice(error: PipelineError) -> str:
    more = (NO_LOGIN, ADVICE) if isinstance(error, NoCloudLogin) else (ADVICE,)
    return "\n".join((error.advice, *more)).lstrip()
