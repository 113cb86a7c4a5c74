"""What a run will do, decided and checked before any work begins."""

import difflib
import textwrap
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pipeline.artifacts import Artifacts
from pipeline.desk import Desk
from pipeline.errors import (
    ConfigurationError,
    DiskFull,
    InternalError,
    ManifestRefused,
    PipelineError,
    RemoteError,
    TagConflict,
    ToolMissing,
)
from pipeline.interface import Policy, Stage, Storing
from pipeline.model import Artifact, Check, DiskNeed, Evidence, Problem, Skipped, Source
from pipeline.record import Setting

ERRORS: dict[Problem, type[PipelineError]] = {
    Problem.CONFIGURATION: ConfigurationError,
    Problem.TOOL: ToolMissing,
    Problem.DISK: DiskFull,
    Problem.REMOTE: RemoteError,
    Problem.TAG: TagConflict,
    Problem.MANIFEST: ManifestRefused,
}
"""In the order in which they are worth mending: the first problem found decides the exit code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The stages in their order, what is left out and why, and who judges."""

    source: Source
    stages: tuple[Stage, ...]
    skipped: Mapping[str, Skipped]
    policies: tuple[Policy, ...]
    settings: tuple[Setting, ...] = ()
    secrets: tuple[str, ...] = ()
    """Values of the configuration that no log may show."""
    until: str | None = None
    built: Source | None = None
    """The commit that the evidence is of, where another run has found it; None: the source."""

    def known(self, have: Artifacts) -> Artifacts:
        """Return what the policies see: the commit is the one that was built."""
        return have if self.built is None else have.plus(self.built)

    @property
    def working(self) -> tuple[Stage, ...]:
        """The stages that will run."""
        return tuple(stage for stage in self.stages if stage.name not in self.skipped)


def make_plan(  # noqa: PLR0913 - each is a decision of the user's
    *,
    source: Source,
    stages: Sequence[Stage],
    skip: Mapping[str, str],
    policies: Sequence[Policy],
    settings: Sequence[Setting] = (),
    secrets: Sequence[str] = (),
    until: str | None = None,
) -> Plan:
    """Return a plan in which every stage has what it needs.

    Raises:
        ConfigurationError: an unknown stage is named, or a stage would lack what an earlier one makes.
    """
    names = [stage.name for stage in stages]
    for name in (*skip, *([until] if until else [])):
        _known(name, names)
    kept = stages[: names.index(until) + 1] if until else stages
    skipped = {stage.name: _skipped(stage, skip[stage.name]) for stage in kept if stage.name in skip}
    plan = Plan(
        source=source,
        stages=tuple(kept),
        skipped=skipped,
        policies=tuple(policies),
        settings=tuple(settings),
        secrets=tuple(secrets),
        until=until,
    )
    _complete(plan)
    return plan


def _known(name: str, names: list[str]) -> None:
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"Did you mean {near[0]!r}? " if near else ""
        raise ConfigurationError(
            f"there is no stage called {name!r}", advice=f"{hint}The stages are {', '.join(names)}."
        )


def _skipped(stage: Stage, reason: str) -> Skipped:
    if not reason.strip():
        raise ConfigurationError(
            f"skip.{stage.name}: a stage is left out only with a reason",
            advice=f'Say why, for example `skip: {{{stage.name}: "no GPU on this runner"}}`.',
        )
    return Skipped(stage=stage.name, gives=stage.gives.__name__, reason=reason.strip())


def _complete(plan: Plan) -> None:
    """Refuse a plan in which a stage lacks something: a stated reason can stand for evidence alone."""
    given: set[type[Artifact]] = {Source}
    for stage in plan.stages:
        left_out = stage.name in plan.skipped
        if missing := [kind.__name__ for kind in stage.needs if kind not in given and not left_out]:
            raise ConfigurationError(
                f"{stage.name} needs {' and '.join(missing)}, which no earlier stage of this run makes",
                advice=f"Leave {stage.name} out too (`skip:`), or take the earlier stage back in.",
            )
        if not left_out or issubclass(stage.gives, Evidence):
            given.add(stage.gives)


@dataclass(frozen=True, slots=True)
class Answers:
    """What the stages said before any work, by their names: checks, and needs of disk."""

    by_stage: Mapping[str, tuple[Check, ...]]
    disk_needs: Mapping[str, tuple[DiskNeed, ...]]

    @property
    def checks(self) -> tuple[Check, ...]:
        """All checks, each once: stages may ask the same."""
        told = (one for checks in self.by_stage.values() for one in checks)
        return tuple({(one.subject, one.found): one for one in told}.values())


def check(
    plan: Plan, desk_of: Callable[[Stage], Desk], *, optional: Callable[[Stage], bool] = lambda _: False
) -> Answers:
    """Ask every stage that will run what it needs and whether it is there, all at once.

    An optional one that cannot even be asked has a check that failed.
    """
    checks: dict[str, tuple[Check, ...]] = {}
    needs: dict[str, tuple[DiskNeed, ...]] = {}
    errors: dict[str, BaseException] = {}

    def ask(stage: Stage, desk: Desk) -> None:
        try:
            checks[stage.name] = stage.check(desk)
        except BaseException as error:  # raised below, in the thread that waits
            if isinstance(error, PipelineError) and optional(stage):
                checks[stage.name] = (Check(subject=stage.name, found=error.message, problem=Problem.REMOTE),)
            else:
                errors[stage.name] = error

    def ask_for_room(stage: Stage, desk: Desk) -> None:
        try:
            needs[stage.name] = disk_needs(stage, Artifacts(plan.source), desk)
        except BaseException as error:
            errors[stage.name] = error

    # daemons: a Ctrl-C does not wait for a registry that does not answer
    threads = [
        threading.Thread(target=question, args=(stage, desk), daemon=True)
        for stage, desk in ((stage, desk_of(stage)) for stage in plan.working)
        for question in (ask, ask_for_room)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for stage in plan.working:
        if stage.name in errors:
            raise errors[stage.name]
    return Answers({stage.name: checks[stage.name] for stage in plan.working}, needs)


def disk_needs(stage: Stage, have: Artifacts, desk: Desk) -> tuple[DiskNeed, ...]:
    """Return what the stage needs of a disk; nothing where it does not say."""
    return stage.disk_needs(have, desk) if isinstance(stage, Storing) else ()


def missing(checks: Sequence[Check]) -> PipelineError | None:
    """Return the error that ends the run when anything is missing; it lists everything."""
    failed = [item for item in checks if not item.passed]
    if not failed:
        return None
    kind = next(
        (error for problem, error in ERRORS.items() if any(item.problem is problem for item in failed)),
        InternalError,
    )
    head = "one thing is missing" if len(failed) == 1 else f"{len(failed)} things are missing"
    advices = tuple(dict.fromkeys(item.advice for item in failed))
    if len(advices) == 1:
        return kind(f"{head}, nothing was started\n{_told(failed)}", advice=advices[0])
    mended = (
        _told([item for item in failed if item.advice == advice]) + textwrap.indent(f"\n{advice}", " " * 6)
        for advice in advices
    )
    told = "\n".join(one.rstrip() for one in mended)
    return kind(f"{head}, nothing was started\n{told}", advice="Mend these and run again.")


def _told(failed: Sequence[Check]) -> str:
    return "\n".join(f"  - {item.subject}: {item.found}" for item in failed)
