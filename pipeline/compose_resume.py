"""The composition of a run that goes on where another one ended, maybe on another machine."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from pipeline.artifacts import Artifacts
from pipeline.cascade import Configuration
from pipeline.desk import Desk
from pipeline.errors import ConfigurationError, StageFailed
from pipeline.handover import IMAGE, hand_over, record_path, require_seal, seal
from pipeline.interface import Stage
from pipeline.model import Artifact, BuiltImage, Check, PushedImage, Source
from pipeline.plan import Plan
from pipeline.record import Record, Runs, StageRecord, Status, read_record
from pipeline.redaction import MASK
from stages.benchmark import Benchmark
from stages.build import Build
from stages.models.model import Model
from stages.oci import handover, store
from stages.push import Push

GOOD = {Status.PASSED, Status.REUSED, Status.SKIPPED}
DEPENDS_ON: Mapping[str, tuple[str, ...]] = {
    "test": ("test",),
    "build": ("image", "tag", "tags", "model", "build"),
    "scan": ("scan",),
    "benchmark": ("benchmark",),
    "push": ("registries", "push"),
    "attest": ("registries", "attest"),
}
"""The keys of the configuration on which a result depends."""
_PROGRAMS = {f"scan.{tool}{key}" for tool in ("trivy", "hadolint") for key in ("", ".program", ".sha256")}
OF_THE_MACHINE = frozenset({"build.builder", "model.verify", *_PROGRAMS})
"""Settings that may differ between two runners: how the work is done there, not what is made."""
READS_WEIGHTS = (Benchmark, Push)


@dataclass(frozen=True, slots=True, kw_only=True)
class Continued:
    """A stage whose result another run made; the policies judge it again."""

    name: str
    gives: type[Artifact]
    made: Artifact
    continues: str
    """The run that made it."""
    needs: ClassVar[tuple[type[Artifact], ...]] = ()

    def check(self, desk: Desk) -> tuple[Check, ...]:
        """Return nothing: it was compared with its digests already."""
        del desk
        return ()

    def identity(self, have: Artifacts) -> None:
        """Return nothing: what came from elsewhere is not taken again by runs of this machine."""
        del have

    def run(self, have: Artifacts, desk: Desk) -> Artifact:
        """Return what was recorded."""
        del have, desk
        return self.made


@dataclass(frozen=True, slots=True, kw_only=True)
class ContinuedBuild:
    """A build of another run, with its weights in this machine's folder where they are in one."""

    made: BuiltImage
    model: Model
    continues: str

    name: ClassVar[str] = "build"
    needs: ClassVar[tuple[type[Artifact], ...]] = ()
    gives: ClassVar[type[BuiltImage]] = BuiltImage

    def check(self, desk: Desk) -> tuple[Check, ...]:
        """Look for the weights."""
        return self.model.check(desk)

    def identity(self, have: Artifacts) -> None:
        """Return nothing: what came from elsewhere is not taken again by runs of this machine."""
        del have

    def run(self, have: Artifacts, desk: Desk) -> BuiltImage:
        """Return the image, once the weights in the folder are found to be its own.

        Raises:
            ConfigurationError: they are others.
        """
        del have
        layers = self.model.layers(desk)
        expected = {layer.descriptor.digest for layer in self.made.weights}
        if {layer.descriptor.digest for layer in layers} != expected:
            raise ConfigurationError(
                f"the weights in {self.model.files.name} are not those of the run {self.continues}",
                advice="Bring the same files here, name a remote `model.source`, or build again.",
            )
        own = self.made.model_image
        if own is None:
            return self.made.model_copy(update={"model_layers": layers})
        return self.made.model_copy(update={"model_image": own.model_copy(update={"model_layers": layers})})


def resumed(  # noqa: PLR0913 - each is a decision of the user's
    plan: Plan,
    configuration: Configuration,
    name: str | None,
    *,
    begin: str | None = None,
    key: str | None = None,
    dry_run: bool = False,
) -> Plan:
    """Return the plan with the results of a record in the place of the stages before `begin`.

    Without `begin`, it goes on at the first stage that the record has no good result of; without the name of
    a record, the plan stays as it is.

    Raises:
        ConfigurationError: the record is of another commit, image or configuration, was changed, or lacks
            what is needed.
    """
    if name is None:
        if begin is not None:
            raise ConfigurationError(
                f"--from {begin} says nothing of the stages before it",
                advice="Name the run that has their results: --resume .pipeline/handover.",
            )
        return plan
    runs = Runs(configuration.root)
    path = record_path(runs, name)
    require_seal(path, key)
    record = read_record(path)
    _require_same_source(record, plan.source)
    taken = _before(plan, record, begin)
    _require_same_configuration(record, configuration, taken)
    results = {stage.name: _result(record, stage) for stage in taken if stage.name not in plan.skipped}
    built = results.get(Build.name)
    rest = [stage for stage in plan.working if stage not in taken]
    if record.dry_run and not dry_run and Push.name in results:
        raise ConfigurationError(
            f"the run {record.run} was a dry run: it has pushed nothing",
            advice="Go on with the push: --from push. Or add --dry-run.",
        )
    if isinstance(built, BuiltImage):
        _require_of(built, results, configuration, record)
        if any(BuiltImage in stage.needs and PushedImage not in stage.needs for stage in rest):
            results[Build.name] = _image(built, path.parent / IMAGE, runs)
    stages = {name: _continued(plan, name, made, record.run, rest) for name, made in results.items()}
    return replace(plan, stages=tuple(stages.get(stage.name, stage) for stage in plan.stages))


def finish(runs: Runs, record: Record, key: str | None) -> None:
    """Seal the record of a run that ended; one that was to end before the last stage is handed over.

    Raises:
        DiskFull: there is no room.
    """
    path = runs.path(record.run)
    if not path.is_file():
        return
    seal(path, key)
    if record.status is Status.PASSED and record.until is not None:
        hand_over(runs, record, handover.copy)


def _require_same_source(record: Record, source: Source) -> None:
    before = record.source
    if before is None or before.commit != source.commit:
        raise ConfigurationError(
            f"the record {record.run} is of the commit {before.commit if before else 'unknown'}, and "
            f"{source.commit} is checked out",
            advice="Check the same commit out in all jobs, and take the record of this delivery.",
        )
    if before.changes_digest != source.changes_digest:
        files = ", ".join(sorted({*before.changes, *source.changes})[:5])
        raise ConfigurationError(
            f"the work tree differs from that of the run {record.run}: {files}",
            advice="Jobs of one delivery need the same files: ignore in git what a job leaves behind.",
        )


def _before(plan: Plan, record: Record, begin: str | None) -> tuple[Stage, ...]:
    names = [stage.name for stage in plan.stages]
    if begin is not None and begin not in names:
        raise ConfigurationError(
            f"--from {begin}: this run has no such stage", advice=f"The stages are {', '.join(names)}."
        )
    if begin is None:
        begin = next((name for name in names if not _is_good(record.stage(name))), None)
    if begin is None:
        raise ConfigurationError(
            f"the run {record.run} has come to the end already: there is nothing to go on with",
            advice="Name the stage to begin with: --from STAGE.",
        )
    return plan.stages[: names.index(begin)]


def _is_good(stage: StageRecord | None) -> bool:
    return stage is not None and stage.status in GOOD


def _require_same_configuration(record: Record, configuration: Configuration, taken: Iterable[Stage]) -> None:
    sections = {"skip", *(key for stage in taken for key in DEPENDS_ON.get(stage.name, ()))}
    before = {setting.key: setting.value for setting in record.configuration}
    now = {setting.key: setting.value for setting in configuration.settings()}
    differing = [
        f"{key}: {before.get(key)!r} there, {now.get(key)!r} here"
        for key in sorted({*before, *now})
        if key.partition(".")[0] in sections
        and key not in OF_THE_MACHINE
        and before.get(key) != now.get(key)
        and MASK not in str(before.get(key))
    ]
    if differing:
        raise ConfigurationError(
            f"the configuration is not that of the run {record.run}:\n  " + "\n  ".join(differing),
            advice="Give all jobs the same settings; `pipeline config` shows where each is from.",
        )


def _result(record: Record, stage: Stage) -> Artifact:
    entry = record.stage(stage.name)
    made = entry.made() if entry is not None else None
    if entry is None or not _is_good(entry) or made is None:
        status = entry.status if entry is not None else Status.PLANNED
        ended = "was not run" if status is Status.PLANNED else f"ended as {status}"
        raise ConfigurationError(
            f"{stage.name} {ended} in the run {record.run}, and its result is needed",
            advice=f"Go on there instead: --from {stage.name}.",
        )
    if type(made) is not stage.gives:
        raise ConfigurationError(
            f"the record {record.run} has a {type(made).__name__} where {stage.name} gives another artifact",
            advice="It was changed, or written by another version of the pipeline. Run again.",
        )
    return made


def _require_of(
    built: BuiltImage, results: Mapping[str, Artifact], configuration: Configuration, record: Record
) -> None:
    """Refuse results that tell of another image or commit than the one that was built."""
    image = configuration.values.image
    if built.name != image:
        raise ConfigurationError(
            f"the record {record.run} is of the image {built.name}, and {image} is to be delivered",
            advice="Take the record of this model's own run.",
        )
    others = [name for name, made in results.items() if getattr(made, "digest", built.digest) != built.digest]
    if record.source is not None and built.revision != record.source.commit:
        others.append(Build.name)
    if others:
        raise ConfigurationError(
            f"the record {record.run} does not fit together: its {' and '.join(others)} is of another image",
            advice="It was changed. Run the earlier stages again.",
        )


def _image(built: BuiltImage, handed_over: Path, runs: Runs) -> BuiltImage:
    """Return the image on this machine, every blob of it compared with its digest."""
    try:
        if handed_over.is_dir():
            return handover.take_in(built, handed_over, store.ImageStore(runs.cache / "images"))
        store.hold(built.layout)
        handover.examine(built)
    except (StageFailed, OSError) as error:
        told = error.message if isinstance(error, StageFailed) else f"{error.filename}: {error.strerror}"
        raise ConfigurationError(
            f"the image of the record cannot be used: {told}",
            advice="Build again, or take the whole folder along, as the job before wrote it.",
        ) from error
    return built


def _continued(plan: Plan, name: str, made: Artifact, run: str, rest: Iterable[Stage]) -> Stage:
    stage = next(stage for stage in plan.stages if stage.name == name)
    reads_weights = any(isinstance(each, READS_WEIGHTS) for each in rest)
    model = stage.model if isinstance(stage, Build) else None
    here = model is not None and model.files.local_folder is not None
    if isinstance(made, BuiltImage) and model is not None and here and reads_weights:
        return ContinuedBuild(made=made, model=model, continues=run)
    return Continued(name=name, gives=stage.gives, made=made, continues=run)
