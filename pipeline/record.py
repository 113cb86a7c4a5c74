"""The record of a run: what was made, measured and decided. Every rendering is of this and of nothing else.

It lies at `.pipeline/runs/<run>/record.json`, is rewritten atomically after every step, and can be read
again, so that a stored result can be reused, shown, or judged under another policy.
"""

import contextlib
import os
import shutil
import tempfile
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

from pydantic import Field, ValidationError

import pipeline
from pipeline.errors import ConfigurationError, DiskFull
from pipeline.model import Artifact, Check, Skipped, Source, Value, Verdict

SCHEMA_VERSION = 1
FILE_NAME = "record.json"


class Status(StrEnum):
    """How far a stage, or the run, has come."""

    PLANNED = "planned"
    RUNNING = "running"
    PASSED = "passed"
    REUSED = "reused"
    SKIPPED = "skipped"
    REFUSED = "refused"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    INCOMPLETE = "incomplete"
    """Of a run alone: nothing failed, but evidence is missing that was out of its reach."""


SETTLED = {Status.PASSED, Status.REUSED, Status.REFUSED}
"""A stage that came to a result: the evidence holds, whatever the policies made of it."""


class StageRecord(Value):
    """One stage of a run."""

    name: str
    gives: str = Field(description="name of the artifact's type")
    status: Status = Status.PLANNED
    started_at: datetime | None = None
    duration_s: float | None = None
    identity: str | None = Field(default=None, description="all that the result depends on, as a digest")
    reused_from: str | None = Field(default=None, description="the run that made the result")
    artifact: dict[str, Any] | None = None
    verdicts: tuple[Verdict, ...] = ()
    logs: tuple[str, ...] = Field(default=(), description="paths below the run's folder")

    def made(self) -> Artifact | None:
        """Return the artifact as its own type, or None where the stage made none."""
        return (
            None
            if self.artifact is None
            else artifact_type(self.gives, self.artifact).model_validate(self.artifact)
        )


class Failure(Value):
    """Why a run ended before its end."""

    kind: str
    message: str
    advice: str = ""
    tail: str = Field(default="", description="the end of what the failing program printed")
    exit_code: int


class Setting(Value):
    """One value of the configuration, and where it came from."""

    key: str
    value: Any
    origin: str


class Record(Value):
    """One run, from the plan to the last stage."""

    schema_version: int = SCHEMA_VERSION
    pipeline_version: str = pipeline.__version__
    run: str
    started_at: datetime
    finished_at: datetime | None = None
    status: Status = Status.RUNNING
    dry_run: bool = False
    proposal: str | None = Field(
        default=None, description="the pull or merge request that the run was for: nothing was published"
    )
    until: str | None = Field(
        default=None, description="the last stage that was asked for, where not all were"
    )
    configuration: tuple[Setting, ...] = ()
    source: Source | None = None
    checks: tuple[Check, ...] = ()
    stages: tuple[StageRecord, ...] = ()
    failure: Failure | None = None

    @property
    def exit_code(self) -> int:
        """The exit code that the run ended with; 0 while it goes on."""
        return self.failure.exit_code if self.failure else 0

    @property
    def duration_s(self) -> float:
        """How long the run took, or has taken."""
        return ((self.finished_at or datetime.now(UTC)) - self.started_at).total_seconds()

    def stage(self, name: str) -> StageRecord | None:
        """Return the record of the stage of this name."""
        return next((stage for stage in self.stages if stage.name == name), None)

    def with_stage(self, changed: StageRecord) -> Self:
        """Return a copy in which this stage's record is replaced."""
        stages = tuple(changed if stage.name == changed.name else stage for stage in self.stages)
        return self.model_copy(update={"stages": stages})

    @property
    def out_of_reach(self) -> tuple[str, ...]:
        """The stages whose evidence is missing because the job could not get it."""
        return tuple(made.stage for made in self.made() if isinstance(made, Skipped) and made.out_of_reach)

    def made(self) -> tuple[Artifact, ...]:
        """Return everything that the stages made."""
        return tuple(artifact for stage in self.stages if (artifact := stage.made()) is not None)


def artifact_type(gives: str, content: dict[str, Any]) -> type[Artifact]:
    """Return the type that a recorded artifact is of; third parties' types are found by name too."""
    if {"stage", "gives", "reason"} == content.keys() - {"out_of_reach"}:
        return Skipped
    known = {kind.__name__: kind for kind in _subclasses(Artifact)}
    return known[gives]


def _subclasses(kind: type[Artifact]) -> set[type[Artifact]]:
    direct = set(kind.__subclasses__())
    return direct.union(*(_subclasses(child) for child in direct))


def write_text(path: Path, text: str) -> None:
    """Write a file as a whole or not at all.

    Raises:
        DiskFull: the file system has no room.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, encoding="utf-8", delete=False) as stream:
            temporary = Path(stream.name)
            try:
                stream.write(text)
                stream.flush()
                os.fsync(stream.fileno())
                temporary.chmod(0o644)
                temporary.replace(path)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
    except OSError as error:
        raise DiskFull(
            f"cannot write {path}: {error.strerror}",
            advice="Free some disk, or check the folder's permissions.",
        ) from error


def read_record(path: Path) -> Record:
    """Read a record.

    Raises:
        ConfigurationError: the file is missing, broken, or of another version of the schema.
    """
    try:
        record = Record.model_validate_json(path.read_bytes())
        record.made()
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}") from error
    except (ValidationError, KeyError) as error:
        what = (
            error.errors(include_url=False)[0]["msg"]
            if isinstance(error, ValidationError)
            else f"unknown {error}"
        )
        raise ConfigurationError(
            f"{path} is no record of a run: {what}",
            advice="It may come from another version of the pipeline. Run `pipeline run` again.",
        ) from error
    if record.schema_version != SCHEMA_VERSION:
        raise ConfigurationError(
            f"{path} has the version {record.schema_version}; this pipeline reads {SCHEMA_VERSION}",
            advice="Read it with the pipeline that wrote it.",
        )
    return record


class Runs:
    """The folder `.pipeline` of a project: its runs, and the cache that outlives them."""

    def __init__(self, root: Path, runs: Path | None = None) -> None:
        self.folder = root / ".pipeline"
        self.runs = runs or self.folder / "runs"
        self.cache = self.folder / "cache"

    def create(self, name: str) -> Path:
        """Make the folder of a new run and return it; `.pipeline` hides itself from git.

        Raises:
            DiskFull: the folder cannot be made.
        """
        self.prepare()
        try:
            folder = self.runs / self.free(name)
            folder.mkdir(parents=True)
        except OSError as error:
            raise self._unwritable(error) from error
        return folder

    def prepare(self) -> None:
        """Make the cache; `.pipeline` hides itself from git.

        Raises:
            DiskFull: it cannot be made.
        """
        try:
            self.cache.mkdir(parents=True, exist_ok=True)
            ignore = self.folder / ".gitignore"
            if not ignore.exists():
                ignore.write_text("*\n", encoding="utf-8")
        except OSError as error:
            raise self._unwritable(error) from error

    def _unwritable(self, error: OSError) -> DiskFull:
        return DiskFull(
            f"cannot write below {self.folder}: {error.strerror}",
            advice="Free some disk, or check the folder's permissions.",
        )

    def free(self, name: str) -> str:
        """Return this name, with a number when there is a run of the name already."""
        names = [name, *(f"{name}-{number}" for number in range(2, 1000))]
        return next(candidate for candidate in names if not (self.runs / candidate).exists())

    def names(self) -> tuple[str, ...]:
        """Return the names of all runs, the newest first."""
        if not self.runs.is_dir():
            return ()
        found = [path for path in self.runs.iterdir() if (path / FILE_NAME).is_file()]
        return tuple(path.name for path in sorted(found, key=lambda path: path.name, reverse=True))

    def prune(self, keep: int = 20) -> None:
        """Remove all but the newest runs that made something, and all but the newest that came to nothing."""
        fruitful: list[str] = []
        fruitless: list[str] = []
        for name in self.names():
            (fruitful if self._made_something(name) else fruitless).append(name)
        for name in (*fruitful[keep:], *fruitless[keep:]):
            shutil.rmtree(self.runs / name, ignore_errors=True)

    def _made_something(self, name: str) -> bool:
        try:
            return bool(read_record(self.path(name)).made())
        except ConfigurationError:
            return False

    def path(self, name: str) -> Path:
        """Return the record's path of the run of this name."""
        return self.runs / name / FILE_NAME

    def has_made(self, stage: str) -> bool:
        """Tell whether a recorded run has a result of this stage at all."""
        for name in self.names():
            with contextlib.suppress(ConfigurationError):
                found = read_record(self.path(name)).stage(stage)
                if found is not None and found.status in SETTLED:
                    return True
        return False

    def reusable(self, stage: str, identity: str) -> tuple[str, Artifact] | None:
        """Return the newest recorded result with this identity, and the run that made it."""
        for name in self.names():
            try:
                found = read_record(self.path(name)).stage(stage)
            except ConfigurationError:
                continue  # an older version's record is no reason to stop: it is only not reused
            if found is None or found.identity != identity or found.status not in SETTLED:
                continue
            if (made := found.made()) is not None:
                return found.reused_from or name, made
        return None
