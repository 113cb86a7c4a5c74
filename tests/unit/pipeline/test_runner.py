from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import NoReturn

import pytest

from pipeline.artifacts import Artifacts
from pipeline.desk import Desk
from pipeline.errors import ConfigurationError, RemoteError, StageFailed
from pipeline.interface import Case, Policy, Stage
from pipeline.model import (
    Artifact,
    Check,
    Destinations,
    Level,
    Problem,
    Skipped,
    Source,
    SuiteReport,
    Verdict,
)
from pipeline.plan import Plan, make_plan
from pipeline.record import Record, Runs, Status, read_record
from pipeline.runner import Options, deliver
from tests.unit.pipeline.conftest import REPORT, Make, Measure, Objection, Product, Watcher


def run(
    source: Source,
    *stages: Stage,
    policies: Sequence[Policy] = (),
    skip: dict[str, str] | None = None,
    options: Options | None = None,
    watcher: Watcher | None = None,
) -> Record:
    return deliver(
        Runs(source.root),
        lambda: source,
        lambda found: make_plan(source=found, stages=stages, skip=skip or {}, policies=policies),
        watcher or Watcher(),
        options or Options(),
    )


def kept(source: Source) -> Record:
    runs = Runs(source.root)
    return read_record(runs.path(runs.names()[0]))


def fail(_: Desk) -> NoReturn:
    raise StageFailed("2 tests failed", advice="mend them", tail="E assert 1 == 2", made=REPORT)


def test_the_stages_run_in_order_and_the_record_tells_all(source: Source) -> None:
    watcher = Watcher()
    record = run(source, Measure(), Make(), watcher=watcher)
    assert (record.status, record.exit_code) == (Status.PASSED, 0)
    assert kept(source) == record
    assert kept(source).made()[0] == REPORT
    assert record.run.endswith("-" + "a" * 12)
    assert watcher.told == [
        "checked",
        "begins measure",
        "ended measure passed",
        "begins make",
        "ended make passed",
        "finished passed",
    ]


def test_a_failed_stage_stops_the_run_and_keeps_its_evidence(source: Source) -> None:
    make = Make()
    record = run(source, Measure(work=fail), make)
    assert (record.status, record.exit_code, make.ran) == (Status.FAILED, 1, [])
    assert record.failure is not None
    assert (record.failure.message, record.failure.advice) == ("2 tests failed", "mend them")
    assert [stage.status for stage in record.stages] == [Status.FAILED, Status.PLANNED]
    assert kept(source).made() == (REPORT,)


def test_any_error_of_a_stage_keeps_the_evidence_that_there_is(source: Source) -> None:
    record = run(source, Measure(work=partly))
    assert (record.status, record.exit_code) == (Status.FAILED, 5)
    assert kept(source).made() == (REPORT,)


def partly(_: Desk) -> NoReturn:
    error = RemoteError("1 of 2 pushes failed", advice="mend it")
    error.made = REPORT
    raise error


@dataclass(frozen=True, kw_only=True)
class Modest(Make):
    """A second stage for which less may be enough."""

    lacks: str = ""
    work: Callable[[], None] = lambda: None

    def lacking(self, made: Artifact) -> str:
        assert made == REPORT
        return self.lacks

    def run(self, have: Artifacts, desk: Desk) -> Artifact:
        self.work()
        return Make.run(self, have, desk)


def test_a_stage_for_which_it_is_enough_runs_after_a_failed_one_and_the_run_fails_all_the_same(
    source: Source,
) -> None:
    last = Make(name="last")
    record = run(source, Measure(work=partly), Modest(), last)
    assert (record.status, record.exit_code, last.ran) == (Status.FAILED, 5, [])
    assert [stage.status for stage in record.stages] == [Status.FAILED, Status.PASSED, Status.PLANNED]
    assert record.failure is not None
    assert (record.failure.message, record.failure.advice) == ("1 of 2 pushes failed", "mend it")
    assert kept(source).made() == (REPORT, Product(word="made"))


def test_a_stage_that_lacks_something_says_so_and_does_not_run(source: Source) -> None:
    make = Modest(lacks="It is not there.")
    record = run(source, Measure(work=partly), make)
    assert (record.exit_code, make.ran) == (5, [])
    assert record.failure is not None
    assert record.failure.advice == "mend it\nIt is not there."


def test_what_a_failed_stage_made_is_judged_before_another_one_takes_it(source: Source) -> None:
    make = Modest()
    record = run(source, Measure(work=partly), make, policies=(Objection(),))
    assert (record.exit_code, make.ran) == (5, [])
    assert [len(verdict.reasons) for verdict in record.stages[0].verdicts] == [2]


def test_a_stage_that_fails_after_a_failed_one_hides_nothing(source: Source) -> None:
    def refuse() -> NoReturn:
        raise ConfigurationError("no such manifest", advice="name it")

    record = run(source, Measure(work=partly), Modest(work=refuse))
    assert record.exit_code == 5
    assert record.failure is not None
    assert record.failure.message == "1 of 2 pushes failed\nmake failed too: no such manifest"
    assert record.failure.advice == "mend it\nname it"
    assert [stage.status for stage in record.stages] == [Status.FAILED, Status.FAILED]


def test_a_refusal_stops_the_run_with_every_reason(source: Source) -> None:
    make = Make()
    record = run(source, Measure(), make, policies=(Objection(), Objection(name="another")))
    assert (record.status, record.exit_code, make.ran) == (Status.REFUSED, 3, [])
    assert record.failure is not None
    assert "4 reasons" in record.failure.message
    assert [len(verdict.reasons) for verdict in record.stages[0].verdicts] == [2, 2]


def test_a_warning_does_not_stop_the_run(source: Source) -> None:
    record = run(source, Measure(), Make(), policies=(Objection(level=Level.WARN),))
    assert record.status is Status.PASSED
    assert not record.stages[0].verdicts[0].passed


def test_what_is_left_out_is_judged_too(source: Source) -> None:
    policies = (Objection(judges=Skipped, level=Level.WARN),)
    record = run(source, Measure(), Make(), skip={"measure": "at night"}, policies=policies)
    assert record.stages[0].status is Status.SKIPPED
    assert record.stages[0].verdicts
    assert kept(source).made()[0] == Skipped(stage="measure", gives="SuiteReport", reason="at night")


def test_a_missing_thing_stops_the_run_before_any_work(source: Source) -> None:
    check = Check(subject="engine", found="not running", problem=Problem.TOOL, advice="start it")
    make = Make()
    record = run(source, Measure(checks=(check,)), make)
    assert (record.exit_code, make.ran) == (4, [])
    assert kept(source).checks[0] == check


def test_a_run_that_does_not_fit_is_refused_with_the_numbers(source: Source) -> None:
    make = Make()
    record = run(source, Measure(room=(10**18,)), make)
    assert (record.exit_code, make.ran) == (6, [])
    assert record.failure is not None
    assert "1000000.0 TB needed" in record.failure.message
    forecast = next(check.disk for check in kept(source).checks if check.disk is not None)
    assert forecast.needed_bytes > 10**18
    assert forecast.free_bytes is not None
    assert forecast.needs[0].purpose == "measuring"


def test_what_is_taken_again_needs_no_room(source: Source) -> None:
    assert run(source, Measure(known_by="x"), Make()).exit_code == 0
    huge = Measure(known_by="x", room=(10**18,))
    assert run(source, huge, Make()).stages[0].status is Status.REUSED
    assert run(source, huge, Make(), options=Options(reuse=False)).exit_code == 6
    assert run(source, replace(huge, known_by="y"), Make()).exit_code == 6


def test_the_same_identity_is_taken_again(source: Source) -> None:
    first = run(source, Measure(known_by="x"), Make())
    again = run(source, Measure(known_by="x", work=fail), Make())
    third = run(source, Measure(known_by="x", work=fail), Make())
    assert again.stages[0].status is Status.REUSED
    assert again.stages[0].reused_from == third.stages[0].reused_from == first.run


def test_another_identity_or_the_users_wish_makes_it_run(source: Source) -> None:
    run(source, Measure(known_by="x"), Make())
    assert run(source, Measure(known_by="y", work=fail), Make()).exit_code == 1
    assert run(source, Measure(known_by="x", work=fail), Make(), options=Options(reuse=False)).exit_code == 1


def test_a_failed_result_is_not_taken_again(source: Source) -> None:
    run(source, Measure(known_by="x", work=fail), Make())
    assert run(source, Measure(known_by="x"), Make()).stages[0].status is Status.PASSED


def test_a_reused_result_is_judged_again(source: Source) -> None:
    run(source, Measure(known_by="x"), Make())
    record = run(source, Measure(known_by="x"), Make(), policies=(Objection(),))
    assert record.exit_code == 3


def test_a_defect_is_recorded_with_its_traceback(source: Source) -> None:
    def defect(_: Desk) -> SuiteReport:
        raise ZeroDivisionError("oh")

    record = run(source, Measure(work=defect), Make())
    assert record.exit_code == 70
    assert record.failure is not None
    assert "traceback.txt" in record.failure.advice
    assert "ZeroDivisionError" in (Runs(source.root).folder / "traceback.txt").read_text()


def test_an_interruption_is_recorded_and_cleaned_up(source: Source) -> None:
    undone: list[str] = []

    def interrupted(desk: Desk) -> SuiteReport:
        desk.on_exit(lambda: undone.append("container"))
        raise KeyboardInterrupt

    record = run(source, Measure(work=interrupted), Make())
    assert (record.exit_code, undone) == (130, ["container"])
    assert record.stages[0].status is Status.INTERRUPTED


def test_secrets_never_reach_the_record(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGISTRY_PASSWORD", "correct-horse")

    def leak(desk: Desk) -> SuiteReport:
        desk.redact.add("battery-staple")
        desk.say("now correct-horse")
        raise StageFailed("correct-horse", tail="battery-staple")

    watcher = Watcher()
    record = run(source, Measure(work=leak), Make(), watcher=watcher)
    assert "says now ***" in watcher.told
    text = record.model_dump_json() + Runs(source.root).path(record.run).read_text()
    assert "horse" not in text
    assert "staple" not in text


def test_a_mistake_in_the_configuration_is_recorded_too(tmp_path: Path, source: Source) -> None:
    def compose(_: Source) -> NoReturn:
        raise StageFailed("no plan")

    record = deliver(Runs(tmp_path), lambda: source, compose, Watcher(), Options())
    assert kept(source) == record
    assert record.failure is not None


def test_old_runs_are_removed(source: Source) -> None:
    for _ in range(23):
        run(source, Measure())
    assert len(Runs(source.root).names()) == 20


def test_an_identity_that_only_the_work_brings_to_light_is_kept(source: Source) -> None:
    known: list[str] = []

    class Fetches(Measure):
        def identity(self, have: Artifacts) -> str | None:
            return known[0] if known else None

        def run(self, have: Artifacts, desk: Desk) -> Artifact:
            assert not known
            known.append("database of today")
            return REPORT

    assert run(source, Fetches(), Make()).stages[0].status is Status.PASSED
    assert run(source, Fetches(), Make()).stages[0].status is Status.REUSED


@dataclass(frozen=True, kw_only=True)
class Weighs(Measure):
    """A stage whose identity takes work; it notes each time that it did it."""

    weighed: list[int] = field(default_factory=list)
    weight: int | None = None

    def prepared(self, desk: Desk) -> "Weighs":
        desk.say("weighing")
        self.weighed.append(7)
        return replace(self, weight=7)

    def identity(self, have: Artifacts) -> str | None:
        return None if self.weight is None else str(self.weight)

    def run(self, have: Artifacts, desk: Desk) -> Artifact:
        assert self.weight == 7
        return REPORT


def test_an_identity_that_takes_work_is_prepared_once_in_a_run(source: Source) -> None:
    stage = Weighs()
    assert run(source, stage, Make()).stages[0].status is Status.PASSED
    assert stage.weighed == [7]
    assert run(source, stage, Make()).stages[0].status is Status.REUSED
    assert stage.weighed == [7, 7]


def test_a_secret_that_is_also_a_name_changes_no_data(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_TOKEN", "measure")
    monkeypatch.setenv("OTHER_TOKEN", "true")
    record = run(source, Measure(known_by="x"), Make())
    assert kept(source) == record
    assert record.stages[0].name == "measure"
    assert run(source, Measure(known_by="x"), Make()).stages[0].status is Status.REUSED


def test_even_an_exit_from_inside_leaves_a_complete_record(source: Source) -> None:
    def leave(_: Desk) -> NoReturn:
        raise SystemExit(1)

    record = run(source, Measure(work=leave), Make())
    assert record.exit_code == 70
    assert kept(source).finished_at is not None


def test_runs_that_came_to_nothing_do_not_push_results_out(source: Source) -> None:
    first = run(source, Measure(known_by="x"), Make())
    check = Check(subject="engine", found="not running", problem=Problem.TOOL)
    for _ in range(25):
        run(source, Measure(checks=(check,)))
    assert run(source, Measure(known_by="x"), Make()).stages[0].reused_from == first.run


@dataclass(frozen=True, kw_only=True)
class Sending(Make):
    """A stage that would send something away."""

    bound: Destinations | None = Destinations(stage="make", targets=("prod/kustomization.yaml",))  # noqa: RUF009

    def sends_to(self) -> Destinations | None:
        return self.bound


def test_where_a_stage_is_bound_for_is_judged_before_any_work(source: Source) -> None:
    measured: list[Desk] = []

    def work(desk: Desk) -> SuiteReport:
        measured.append(desk)
        return REPORT

    sending, against = Sending(), Objection(judges=Destinations)
    record = run(source, Measure(work=work), sending, policies=[against])
    assert (record.status, record.exit_code, sending.ran, measured) == (Status.REFUSED, 3, [], [])
    assert [stage.status for stage in record.stages] == [Status.PLANNED, Status.REFUSED]
    assert [verdict.policy for verdict in record.stages[1].verdicts] == ["objection"]


@pytest.mark.parametrize(
    ("stage", "options"),
    [
        (Sending(), Options(dry_run=True)),
        (Sending(), Options(proposal="pull request #1")),
        (Sending(bound=None), Options()),
        (Make(), Options()),
    ],
)
def test_what_stays_on_this_machine_is_bound_for_nowhere(
    stage: Stage, options: Options, source: Source
) -> None:
    record = run(source, Measure(), stage, policies=[Objection(judges=Destinations)], options=options)
    assert record.status is Status.PASSED


def test_a_warning_about_the_destination_stays_in_the_record(source: Source) -> None:
    policies = [Objection(judges=Destinations, level=Level.WARN), Objection(judges=Product, level=Level.WARN)]
    record = run(source, Measure(), Sending(), policies=policies)
    assert (record.status, len(record.stages[1].verdicts)) == (Status.PASSED, 2)


@dataclass(frozen=True, kw_only=True)
class Seeing:
    """A policy that remembers the commits that it saw."""

    seen: list[str] = field(default_factory=list)
    name: str = "seeing"
    judges: type[Artifact] = SuiteReport

    def judge(self, artifact: Artifact) -> Verdict:
        raise AssertionError("it sees more than the artifact")

    def judge_in(self, artifact: Artifact, case: Case) -> Verdict:
        self.seen.append(case.have[Source].commit)
        return Verdict(policy=self.name)


def test_what_another_run_found_is_judged_with_the_commit_that_it_built(source: Source) -> None:
    seeing, built = Seeing(), source.model_copy(update={"commit": "b" * 40})
    plan = make_plan(source=source, stages=[Measure()], skip={}, policies=[seeing])
    for known in (plan, replace(plan, built=built)):
        deliver(Runs(source.root), lambda: source, partial(_same, known), Watcher(), Options())
    assert seeing.seen == [source.commit, built.commit]


def _same(plan: Plan, _: Source) -> Plan:
    return plan
