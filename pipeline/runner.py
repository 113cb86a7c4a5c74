"""The loop: run a stage, judge what it made, record both, decide."""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pipeline import disk, endings, process, reuse
from pipeline.artifacts import Artifacts
from pipeline.desk import Desk
from pipeline.errors import InternalError, Interrupted, PipelineError, PolicyRefused
from pipeline.interface import Continuing, Preparing, Publishing, Salvaging, Stage
from pipeline.judgement import judge
from pipeline.model import Artifact, Skipped, Source
from pipeline.plan import Plan, check, missing
from pipeline.proposal import instead_of, publishes, within_reach
from pipeline.record import FILE_NAME, Record, Runs, StageRecord, Status, write_text
from pipeline.redaction import Redactor
from pipeline.report.interface import Reporter


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How to run, as against what to run."""

    dry_run: bool = False
    reuse: bool = True
    until: str | None = None
    only_check: bool = False
    proposal: str | None = None
    """The pull or merge request that the run is for: nothing leaves the machine, whatever is asked."""

    @property
    def stays_here(self) -> bool:
        """Tell whether nothing may leave the machine."""
        return self.dry_run or self.proposal is not None


@dataclass(slots=True, kw_only=True)
class Run:
    """One run while it goes on: the record, where it is kept, and who watches."""

    record: Record
    folder: Path
    runs: Runs
    reporter: Reporter
    options: Options
    redact: Redactor

    def save(self, record: Record) -> None:
        """Keep the record as it is now, on disk too; secrets are masked in both."""
        document = self.redact.words(record.model_dump(mode="json"))
        write_text(self.folder / FILE_NAME, json.dumps(document, indent=2, ensure_ascii=False) + "\n")
        self.record = Record.model_validate(document)

    def desk(self, stage: Stage) -> Desk:
        """Return a work place for a stage."""
        folder = self.folder / stage.name
        folder.mkdir(exist_ok=True)
        return Desk(
            folder=folder,
            cache=self.runs.cache,
            run_name=self.record.run,
            dry_run=self.options.stays_here,
            redact=self.redact,
            say=lambda line: self.reporter.say(self.redact(line)),
        )


def deliver(  # noqa: PLR0913 - each comes from somebody else
    runs: Runs,
    read: Callable[[], Source],
    compose: Callable[[Source], Plan],
    reporter: Reporter,
    options: Options,
    *,
    redact: Redactor | None = None,
) -> Record:
    """Plan and run everything; whatever happens, the record is complete and nothing is left behind.

    `read` tells the commit, `compose` makes the plan; what they raise is recorded like a stage's failure.
    """
    run = _start(runs, reporter, options, redact or Redactor())
    others = process.children()  # of a program that delivers among other things
    try:
        _deliver(run, read, compose)
        ended = endings.passed(run.record)
    except PipelineError as error:
        ended = endings.failed(run.record, error)
    except KeyboardInterrupt:
        advice = "Nothing is left running. Run `pipeline run` again."
        ended = endings.failed(run.record, Interrupted("interrupted", advice=advice))
    except BaseException as error:  # a defect of ours must not lose the record
        # its traceback lies not in the run, which a plan throws away
        ended = endings.failed(run.record, endings.internal(error, run.runs.folder, run.redact))
    with process.uninterrupted():
        process.stop_descendants(besides=others)
        run.save(ended.model_copy(update={"finished_at": datetime.now(UTC)}))
    reporter.finished(run.record, run.folder)
    run.runs.prune()
    return run.record


def _start(runs: Runs, reporter: Reporter, options: Options, redact: Redactor) -> Run:
    now = datetime.now(UTC)
    folder = runs.create(f"{now:%Y%m%dT%H%M%S}.{now.microsecond // 1000:03d}Z")
    record = Record(
        run=folder.name,
        started_at=now,
        dry_run=options.stays_here,
        proposal=options.proposal,
        until=options.until,
    )
    run = Run(record=record, folder=folder, runs=runs, reporter=reporter, options=options, redact=redact)
    run.redact.add_all_of(os.environ)
    return run


def _deliver(run: Run, read: Callable[[], Source], compose: Callable[[Source], Plan]) -> None:
    source = read()
    _name_after(run, source)
    plan = compose(source)
    for secret in plan.secrets:
        run.redact.add(secret)
    planned = tuple(StageRecord(name=stage.name, gives=stage.gives.__name__) for stage in plan.stages)
    run.save(run.record.model_copy(update={"stages": planned, "configuration": plan.settings}))
    plan = _checked(run, plan)
    run.reporter.checked(run.record)
    if (error := missing(run.record.checks)) is not None:
        raise error
    if not run.options.stays_here:
        _judge_destinations(run, plan)
    if not run.options.only_check:
        _run_stages(run, plan)
    for entry in run.record.stages[len(plan.stages) :]:  # out of a proposal's reach
        run.reporter.ended(entry)


def _checked(run: Run, plan: Plan) -> Plan:
    """Record all checks and the disk forecast; return the plan without what is out of a proposal's reach.

    Where room is short, what can be taken again from earlier runs needs none. It is looked for only then:
    to know whether a build can be taken again the weights must be known, and reading them may take minutes.
    """
    asked = run.options.proposal
    answers = check(plan, run.desk, optional=publishes if asked else lambda _: False)
    if asked:
        reach = within_reach(plan, answers, asked)
        plan, answers = reach.plan, reach.answers
        for name, skipped in reach.left_out.items():
            _record(run, name, status=Status.SKIPPED, artifact=skipped.model_dump(mode="json"))
    records = disk.records(run.runs.folder)
    needs = (need for stage in plan.working for need in answers.disk_needs[stage.name])
    forecast = disk.forecast((records, *needs))
    fine = all(one.passed for one in answers.checks)
    if fine and run.options.reuse and not all(one.passed for one in forecast):
        earlier = Runs(run.runs.folder.parent)  # a mere plan keeps its own record elsewhere
        forecast = disk.forecast((records, *reuse.disk_needs(plan, earlier, run.desk)))
    run.save(run.record.model_copy(update={"checks": (*answers.checks, *forecast)}))
    return plan


def _name_after(run: Run, source: Source) -> None:
    """Give the run's folder the commit's name too, now that it is known."""
    name = run.runs.free(f"{run.record.run}-{source.commit[:12]}")
    run.folder = run.folder.rename(run.folder.with_name(name))
    run.save(run.record.model_copy(update={"run": name, "source": source}))


def _judge_destinations(run: Run, plan: Plan) -> None:
    """Refuse before any work what must not be sent where it is bound for."""
    for stage in plan.working:
        if not isinstance(stage, Publishing) or (bound := stage.sends_to()) is None:
            continue
        verdicts = judge(bound, plan.policies, have=Artifacts(plan.source), now=datetime.now(UTC))
        refused = [verdict for verdict in verdicts if verdict.refuses]
        entry = _entry(run, stage, verdicts=verdicts, status=Status.REFUSED if refused else Status.PLANNED)
        if refused:
            run.reporter.ended(entry)
            raise PolicyRefused(stage.name, refused)


def _run_stages(run: Run, plan: Plan) -> None:
    have = Artifacts(plan.source)
    for stage in plan.stages:
        try:
            have = have.plus(_run_stage(run, plan, stage, have))
        except PipelineError as error:
            following = _salvaging(run, plan, stage, error, have)
            if error.made is not None and following is not None:
                _salvage(run, plan, following, have.plus(error.made), error)
            raise


def _run_stage(run: Run, plan: Plan, stage: Stage, have: Artifacts) -> Artifact:
    entry = _entry(run, stage, status=Status.RUNNING, started_at=datetime.now(UTC))
    run.reporter.begins(entry)
    desk = run.desk(stage)
    try:
        made, status = _make(run, plan, stage, have, desk)
        verdicts = judge(made, plan.policies, have=plan.known(have), now=datetime.now(UTC))
        refused = [verdict for verdict in verdicts if verdict.refuses]
        _entry(
            run, stage, verdicts=(*entry.verdicts, *verdicts), status=Status.REFUSED if refused else status
        )
        if refused:
            raise PolicyRefused(stage.name, refused)
    except BaseException as error:
        _note_failure(run, stage, error)
        raise
    finally:
        desk.clear()
        logs = tuple(f"{stage.name}/{name}" for name in desk.commands)
        started = entry.started_at or datetime.now(UTC)
        duration_s = (datetime.now(UTC) - started).total_seconds()
        run.reporter.ended(_entry(run, stage, logs=logs, duration_s=duration_s))
    return made


def _salvaging(run: Run, plan: Plan, failed: Stage, error: PipelineError, have: Artifacts) -> Stage | None:
    """Return the next stage, where what the failed one made is enough for it and for the policies."""
    rest = [stage for stage in plan.stages[plan.stages.index(failed) + 1 :] if stage.name not in plan.skipped]
    if not rest or error.made is None or not isinstance(following := rest[0], Salvaging):
        return None
    if lacking := following.lacking(error.made):
        _add(error, advice=lacking)
        return None
    verdicts = judge(error.made, plan.policies, have=plan.known(have), now=datetime.now(UTC))
    _entry(run, failed, verdicts=(*_entry(run, failed).verdicts, *verdicts))
    return None if any(verdict.refuses for verdict in verdicts) else following


def _salvage(run: Run, plan: Plan, stage: Stage, have: Artifacts, error: PipelineError) -> None:
    """Run a stage after one that failed: the run ends with that one's error, which then tells both."""
    try:
        _run_stage(run, plan, stage, have)
    except (Interrupted, InternalError):
        raise
    except PipelineError as second:
        _add(error, message=f"{stage.name} failed too: {second.message}", advice=second.advice)


def _add(error: PipelineError, *, message: str = "", advice: str = "") -> None:
    error.message = "\n".join(filter(None, (error.message, message)))
    error.advice = "\n".join(filter(None, (error.advice, advice)))


def _make(run: Run, plan: Plan, stage: Stage, have: Artifacts, desk: Desk) -> tuple[Artifact, Status]:
    """Return what the stage makes: left out, taken from an earlier run, or made now."""
    if stage.name in plan.skipped:
        skipped = plan.skipped[stage.name]
        _entry(run, stage, artifact=skipped.model_dump(mode="json"))
        return skipped, Status.SKIPPED
    if isinstance(stage, Preparing):
        stage = stage.prepared(desk)
    identity = reuse.identity(stage, have)
    found = reuse.find(run.runs, stage, identity) if run.options.reuse else None
    if found is not None:
        _entry(run, stage, identity=identity, reused_from=found[0], artifact=found[1].model_dump(mode="json"))
        return found[1], Status.REUSED
    try:
        made = stage.run(have, desk)
    except PipelineError as error:
        if (left_out := instead_of(stage, run.options.proposal, error)) is None:
            raise
        _entry(run, stage, artifact=left_out.model_dump(mode="json"))
        return left_out, Status.SKIPPED
    # as it was before the work: what changed meanwhile is not what was worked on; but a scanner's database,
    # say, is known only once it was fetched
    identity = identity or reuse.identity(stage, have)
    source = stage.continues if isinstance(stage, Continuing) else None
    _entry(run, stage, identity=identity, reused_from=source, artifact=made.model_dump(mode="json"))
    if isinstance(made, Skipped):  # another job of this delivery could not do it
        return made, Status.SKIPPED
    return made, Status.REUSED if source else Status.PASSED


def _entry(run: Run, stage: Stage, **changes: object) -> StageRecord:
    return _record(run, stage.name, **changes)


def _record(run: Run, name: str, **changes: object) -> StageRecord:
    entry = run.record.stage(name)
    assert entry is not None  # noqa: S101 - every stage of the plan was recorded as planned
    entry = entry.model_copy(update=changes)
    run.save(run.record.with_stage(entry))
    return entry


def _note_failure(run: Run, stage: Stage, error: BaseException) -> None:
    if isinstance(error, PolicyRefused):
        return
    if isinstance(error, PipelineError) and error.made is not None:
        _entry(run, stage, artifact=error.made.model_dump(mode="json"))
    stopped = isinstance(error, KeyboardInterrupt | Interrupted)
    _entry(run, stage, status=Status.INTERRUPTED if stopped else Status.FAILED)
