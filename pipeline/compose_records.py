"""The records that a run goes on from: what each of them gives, and whether they are of one delivery."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.cascade import Configuration
from pipeline.errors import ConfigurationError
from pipeline.handover import record_path, require_seal
from pipeline.interface import Stage
from pipeline.model import Artifact, BuiltImage, PushedImage, Skipped, Source
from pipeline.plan import Plan
from pipeline.record import Record, Runs, StageRecord, Status, read_record
from pipeline.redaction import MASK

GOOD = {Status.PASSED, Status.REUSED, Status.SKIPPED}
DEPENDS_ON: Mapping[str, tuple[str, ...]] = {
    "test": ("test",),
    "build": ("image", "tag", "tags", "model", "build"),
    "scan": ("scan",),
    "benchmark": ("benchmark",),
    "push": ("registries", "push"),
}
"""The keys of the configuration on which a result depends."""
OF_THE_MACHINE = frozenset({"build.builder", "scan.trivy", "model.verify"})
"""Settings that may differ between two runners: how the work is done there, not what is made."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a stage made, and the run that made it."""

    made: Artifact
    run: str


@dataclass(frozen=True, slots=True)
class Records:
    """One record or several, of jobs that went on side by side, each with the path that it was read from."""

    read_from: tuple[tuple[Path, Record], ...]

    @classmethod
    def read(cls, runs: Runs, names: Sequence[str], key: str | None) -> "Records":
        """Read the records of these names.

        Raises:
            ConfigurationError: there is none of the name, or it does not fit its seal.
        """
        paths = dict.fromkeys(record_path(runs, name) for name in names)
        for path in paths:
            require_seal(path, key)
        return cls(tuple((path, read_record(path)) for path in paths))

    @property
    def all(self) -> tuple[Record, ...]:
        """The records, in the order in which they were named."""
        return tuple(record for _, record in self.read_from)

    @property
    def _told(self) -> str:
        """How people call them: `the record a`, `the records a and b`."""
        names = " and ".join(record.run for record in self.all)
        return f"the record{'s' if len(self.all) > 1 else ''} {names}"

    def folder(self, name: str) -> Path | None:
        """Return the folder of this name beside one of the records."""
        places = (path.parent / name for path, _ in self.read_from)
        return next((place for place in places if place.is_dir()), None)

    def require_source(self, source: Source) -> None:
        """Refuse a record of another commit, or of another state of the work tree.

        Raises:
            ConfigurationError: there is one.
        """
        for record in self.all:
            _require_same_source(record, source)

    def before(self, plan: Plan, begin: str | None) -> tuple[Stage, ...]:
        """Return the stages before the one to begin with; by default the first without a good result.

        Raises:
            ConfigurationError: there is no such stage, or nothing is left to do.
        """
        names = [stage.name for stage in plan.stages]
        if begin is not None and begin not in names:
            raise ConfigurationError(
                f"--from {begin}: this run has no such stage", advice=f"The stages are {', '.join(names)}."
            )
        if begin is None:
            begin = next((name for name in names if not any(map(_is_good, self._entries(name)))), None)
        if begin is None:
            raise ConfigurationError(
                f"there is nothing to go on with: {self._told} came to the end already",
                advice="Name the stage to begin with: --from STAGE.",
            )
        return plan.stages[: names.index(begin)]

    def require_configuration(self, configuration: Configuration, taken: Iterable[Stage]) -> None:
        """Refuse a record whose results depend on other settings than today's.

        Raises:
            ConfigurationError: there is one; it names the settings.
        """
        for record in self.all:
            given = [stage for stage in taken if _is_good(record.stage(stage.name))]
            _require_same_configuration(record, configuration, given)

    def result(self, stage: Stage, *, needed: bool, dry_run: bool) -> Found | None:
        """Return what a stage made, and who made it; None where no record has it, and it is not needed.

        Raises:
            ConfigurationError: it is needed and is not there, failed, or is not the same in all records.
        """
        having = [record for record in self.all if _is_good(record.stage(stage.name))]
        having = having or [record for record in self.all if _is_bad(record.stage(stage.name))]
        if not having and not needed:
            return None
        found = [_found(record, stage, dry_run=dry_run) for record in having or self.all[:1]]
        first, *others = found
        for other in others:
            if _identity(other.made) != _identity(first.made):
                raise ConfigurationError(
                    f"the records {first.run} and {other.run} have different results of {stage.name}",
                    advice="Name records of jobs that went on from one run, each with stages of its own.",
                )
        return first

    def require_of(
        self, built: BuiltImage, results: Mapping[str, Artifact], configuration: Configuration
    ) -> None:
        """Refuse results that tell of another image or commit than the one that was built.

        Raises:
            ConfigurationError: there is one.
        """
        image = configuration.values.image
        if built.name != image:
            raise ConfigurationError(
                f"the image of {self._told} is {built.name}, and {image} is to be delivered",
                advice="Take the record of this model's own run.",
            )
        others = [
            name for name, made in results.items() if getattr(made, "digest", built.digest) != built.digest
        ]
        if any(each.source is not None and built.revision != each.source.commit for each in self.all):
            others.append("build")
        if others:
            raise ConfigurationError(
                f"what {self._told} told does not fit together: {' and '.join(others)} is of another image",
                advice="It was changed. Run the earlier stages again.",
            )

    def _entries(self, stage: str) -> tuple[StageRecord | None, ...]:
        return tuple(record.stage(stage) for record in self.all)


def _is_good(stage: StageRecord | None) -> bool:
    return stage is not None and stage.status in GOOD


def _is_bad(stage: StageRecord | None) -> bool:
    return stage is not None and stage.status is not Status.PLANNED and not _is_good(stage)


def _identity(made: Artifact) -> object:
    """Return what is the same for one result on all machines: a build lies in another folder on each."""
    if not isinstance(made, BuiltImage):
        return made
    return made.digest, made.model_image.digest if made.model_image is not None else None


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


def _found(record: Record, stage: Stage, *, dry_run: bool) -> Found:
    entry = record.stage(stage.name)
    made = entry.made() if entry is not None else None
    if entry is None or not _is_good(entry) or made is None:
        status = entry.status if entry is not None else Status.PLANNED
        ended = "was not run" if status is Status.PLANNED else f"ended as {status}"
        raise ConfigurationError(
            f"{stage.name} {ended} in the run {record.run}, and its result is needed",
            advice=f"Go on there instead: --from {stage.name}.",
        )
    if isinstance(made, Skipped) and made.out_of_reach:
        if dry_run:
            return Found(made, record.run)
        raise ConfigurationError(
            f"{stage.name} was not done in the run {record.run}: {made.reason}",
            advice=f"For a delivery it has to be done: --from {stage.name}.",
        )
    if type(made) is not stage.gives:
        raise ConfigurationError(
            f"the record {record.run} has a {type(made).__name__} where {stage.name} gives another artifact",
            advice="It was changed, or written by another version of the pipeline. Run again.",
        )
    if isinstance(made, PushedImage) and record.dry_run and not dry_run:
        raise ConfigurationError(
            f"the run {record.run} was a dry run: it has pushed nothing",
            advice="Go on with the push: --from push. Or add --dry-run.",
        )
    return Found(made, record.run)
