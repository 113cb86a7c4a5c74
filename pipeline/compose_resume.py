"""The composition of a run that goes on where another one ended, maybe on another machine."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from pipeline.artifacts import Artifacts
from pipeline.cascade import Configuration
from pipeline.compose_records import Found, Records
from pipeline.desk import Desk
from pipeline.errors import ConfigurationError, StageFailed
from pipeline.handover import IMAGE, hand_over, seal, take_lists
from pipeline.interface import Stage
from pipeline.model import Artifact, BuiltImage, Check, PushedImage
from pipeline.plan import Plan
from pipeline.proposal import PUBLISHED
from pipeline.record import Record, Runs, Status
from stages.benchmark import Benchmark
from stages.build import Build
from stages.models.model import Model
from stages.oci import handover, store
from stages.push import Push

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
        """Tell where it is from; it was compared with its digests already."""
        del desk
        return (_taken_over(self.name, self.continues),)

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
        """Tell where it is from, and look for the weights."""
        return (_taken_over(self.name, self.continues), *self.model.check(desk))

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


def _taken_over(stage: str, run: str) -> Check:
    return Check(subject=stage, found=f"taken over from the run {run}")


def resumed(  # noqa: PLR0913 - each is a decision of the user's
    plan: Plan,
    configuration: Configuration,
    names: Sequence[str],
    *,
    begin: str | None = None,
    key: str | None = None,
    dry_run: bool = False,
) -> Plan:
    """Return the plan with the results of records in the place of the stages before `begin`.

    Without `begin`, it goes on at the first stage that no record has a good result of; without the name of
    a record, the plan stays as it is. Of several records, each gives what it has; they have to be of one
    commit and one image. A run that is to end before the push leaves out what it neither has nor needs.

    Raises:
        ConfigurationError: a record is of another commit, image or configuration, was changed, or lacks
            what is needed.
    """
    if not names:
        if begin is not None:
            raise ConfigurationError(
                f"--from {begin} says nothing of the stages before it",
                advice="Name the run that has their results: --resume .pipeline/handover.",
            )
        return plan
    runs = Runs(configuration.root)
    records = Records.read(runs, names, key)
    records.require_source(plan.source)
    for path, record in records.read_from:
        take_lists(path.parent, record, runs.cache)
    taken = records.before(plan, begin)
    rest = [stage for stage in plan.working if stage not in taken]
    results = {
        stage.name: found
        for stage in taken
        if stage.name not in plan.skipped
        and (found := records.result(stage, needed=_is_needed(stage, rest), dry_run=dry_run)) is not None
    }
    kept = [stage for stage in taken if stage.name in {*results, *plan.skipped}]
    records.require_configuration(configuration, kept)
    made = {name: found.made for name, found in results.items()}
    if (built := made.get(Build.name)) is not None and isinstance(built, BuiltImage):
        records.require_of(built, made, configuration)
        if any(BuiltImage in stage.needs and PushedImage not in stage.needs for stage in rest):
            here = _image(built, records.folder(IMAGE), runs)
            results[Build.name] = replace(results[Build.name], made=here)
    stages = {name: _continued(plan, name, found, rest) for name, found in results.items()}
    going = (stage for stage in plan.stages if stage in kept or stage not in taken)
    return replace(plan, stages=tuple(stages.get(stage.name, stage) for stage in going))


def _is_needed(stage: Stage, rest: Sequence[Stage]) -> bool:
    """Tell whether a run needs the result of an earlier stage: for a delivery, each of them."""
    return any(issubclass(each.gives, PUBLISHED) or stage.gives in each.needs for each in rest)


def finish(runs: Runs, record: Record, key: str | None) -> None:
    """Seal the record of a run that ended; one that was to end before the last stage is handed over.

    Raises:
        DiskFull: there is no room.
    """
    path = runs.path(record.run)
    if not path.is_file():
        return
    seal(path, key)
    if record.status in {Status.PASSED, Status.INCOMPLETE} and record.until is not None:
        hand_over(runs, record, handover.copy)


def _image(built: BuiltImage, handed_over: Path | None, runs: Runs) -> BuiltImage:
    """Return the image on this machine, every blob of it compared with its digest."""
    try:
        if handed_over is not None:
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


def _continued(plan: Plan, name: str, found: Found, rest: Iterable[Stage]) -> Stage:
    made, run = found.made, found.run
    stage = next(stage for stage in plan.stages if stage.name == name)
    reads_weights = any(isinstance(each, READS_WEIGHTS) for each in rest)
    model = stage.model if isinstance(stage, Build) else None
    here = model is not None and model.files.local_folder is not None
    if isinstance(made, BuiltImage) and model is not None and here and reads_weights:
        return ContinuedBuild(made=made, model=model, continues=run)
    return Continued(name=name, gives=stage.gives, made=made, continues=run)
