"""What the scan adds to its report about the files of the model."""

from dataclasses import dataclass, field

from pipeline.artifacts import Artifacts
from pipeline.desk import Desk
from pipeline.errors import PipelineError
from pipeline.model import (
    BuiltImage,
    Check,
    DiskNeed,
    ModelFileFinding,
    ModelFilesReport,
    ScannedModelFile,
    ScanReport,
    Tool,
)
from stages.models.disk_needs import fetched_needs
from stages.models.model import Model
from stages.scanners.model_files.application import Application
from stages.scanners.model_files.memory import Memory
from stages.scanners.model_files.result import Result
from stages.scanners.model_files.scan import VERSION
from stages.scanners.model_files.weights import Looked, Weights

NAME = "model-files"
MOST_REPORTED = 2_000
"""Findings in the evidence; where there are more, the last one says so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFiles:
    """Look into the weights, and into the model files that a Dockerfile copied into the application."""

    weights: Weights = field(default_factory=Weights)
    application: Application = field(default_factory=Application)
    model: Model | None = None
    """The model, to tell how much of it will have to come here."""

    def check(self, desk: Desk) -> tuple[Check, ...]:
        """Nothing is needed: the scanner is part of the pipeline."""
        del desk
        return ()

    def disk_needs(self, have: Artifacts, desk: Desk) -> tuple[DiskNeed, ...]:
        """Return what remote weights take; nothing where all of them are known from an earlier scan.

        A source that cannot be asked says so in the checks of the build.
        """
        del have
        if self.model is None:
            return ()
        memory = Memory(desk.cache / NAME)
        try:
            known = self.model.known_files(desk)
            if all(digest is not None and memory.find(digest, Result) is not None for _, digest in known):
                return ()
            return fetched_needs(self.model, desk)
        except (PipelineError, OSError):
            return ()

    def identity(self, have: Artifacts) -> str | None:
        """Return its version and the layers of the weights."""
        layers = [layer.descriptor.digest for layer in have[BuiltImage].weights]
        return " ".join((NAME, VERSION, *layers))

    def added(self, report: ScanReport, have: Artifacts, desk: Desk) -> ScanReport:
        """Return the report with the files and what was found in them.

        Raises:
            StageFailed: a file changed since the build, or a layer cannot be read.
            PipelineError: remote weights cannot be fetched.
        """
        image = have[BuiltImage]
        memory = Memory(desk.cache / NAME)
        looked = (
            *self.weights.look(image.weights, memory, desk),
            *self.application.look(image, memory, desk),
        )
        memory.forget_oldest()
        return report.model_copy(update={"model_files": reported(looked)})


def reported(looked: tuple[Looked, ...]) -> ModelFilesReport:
    """Return the files and what was found in them."""
    findings = tuple(finding for one in looked for finding in one.result.findings(one.path))
    return ModelFilesReport(
        scanners=(Tool(name=NAME, version=VERSION),),
        files=tuple(
            ScannedModelFile(
                path=one.path,
                digest=one.digest,
                size_bytes=one.size_bytes,
                format=one.result.format_of(one.path),
                reused=one.reused,
            )
            for one in looked
        ),
        findings=_some(findings),
    )


def _some(findings: tuple[ModelFileFinding, ...]) -> tuple[ModelFileFinding, ...]:
    """Return the first findings; whoever has accepted those has not accepted the others."""
    if len(findings) <= MOST_REPORTED:
        return findings
    message = f"and {len(findings) - MOST_REPORTED + 1} more findings, in this file and others"
    rest = findings[MOST_REPORTED - 1].model_copy(
        update={"kind": "unread", "code": "too-many-findings", "subject": "", "message": message}
    )
    return (*findings[: MOST_REPORTED - 1], rest)
