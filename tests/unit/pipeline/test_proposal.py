"""Runs for a pull or merge request: what may leave the machine, and what is out of reach."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar, NoReturn

import pytest

from pipeline.artifacts import Artifacts
from pipeline.desk import Desk
from pipeline.errors import LoginMissing, PipelineError, RemoteError
from pipeline.interface import Stage
from pipeline.model import Artifact, Check, ManifestUpdate, Problem, PushedImage, Skipped, Source, SuiteReport
from pipeline.plan import make_plan
from pipeline.record import Record, Runs, Status
from pipeline.reference import Digest, Tag
from pipeline.report.annotate import annotations
from pipeline.report.markdown import comment
from pipeline.report.outputs import outputs
from pipeline.runner import Options, deliver
from tests.unit.pipeline.conftest import REPORT, Measure, Objection, Watcher

IMAGE = PushedImage(name="digits", tag=Tag("1"), digest=Digest.of(b"x"))


def no_checks(_: Desk) -> tuple[Check, ...]:
    return ()


@dataclass(frozen=True, kw_only=True)
class Publish:
    """A stage like push: it notes whether it was allowed to."""

    ask: Callable[[Desk], tuple[Check, ...]] = no_checks
    ran: list[bool] = field(default_factory=list)
    name: str = "push"
    needs: ClassVar[tuple[type[Artifact], ...]] = (SuiteReport,)
    gives: ClassVar[type[Artifact]] = PushedImage

    def check(self, desk: Desk) -> tuple[Check, ...]:
        return self.ask(desk)

    def identity(self, have: Artifacts) -> str | None:
        return None

    def run(self, have: Artifacts, desk: Desk) -> Artifact:
        self.ran.append(desk.dry_run)
        return IMAGE


@dataclass(frozen=True, kw_only=True)
class Write(Publish):
    """A stage like update."""

    name: str = "update"
    needs: ClassVar[tuple[type[Artifact], ...]] = (PushedImage,)
    gives: ClassVar[type[Artifact]] = ManifestUpdate

    def run(self, have: Artifacts, desk: Desk) -> Artifact:
        self.ran.append(desk.dry_run)
        return ManifestUpdate(status="preview")


def run(source: Source, *stages: Stage, proposal: str | None = "pull request #7") -> Record:
    return deliver(
        Runs(source.root),
        lambda: source,
        lambda found: make_plan(source=found, stages=stages, skip={}, policies=(Objection(judges=Skipped),)),
        Watcher(),
        Options(proposal=proposal),
    )


def failing(problem: Problem) -> Callable[[Desk], tuple[Check, ...]]:
    return lambda _: (Check(subject="ghcr.io/team", found="no password", problem=problem, advice="x"),)


def unreachable(_: Desk) -> NoReturn:
    raise RemoteError("nobody answers")


def test_nothing_leaves_the_machine_whatever_was_asked(source: Source) -> None:
    push, update = Publish(), Write()
    record = run(source, Measure(), push, update)
    assert (push.ran, update.ran) == ([True], [True])
    assert (record.status, record.dry_run, record.proposal) == (Status.PASSED, True, "pull request #7")


def test_otherwise_it_does(source: Source) -> None:
    push = Publish()
    record = run(source, Measure(), push, proposal=None)
    assert push.ran == [False]
    assert (record.dry_run, record.proposal) == (False, None)


@pytest.mark.parametrize("problem", [Problem.REMOTE, Problem.CONFIGURATION, Problem.TOOL, Problem.TAG])
def test_what_is_out_of_reach_is_left_out_with_the_reason(source: Source, problem: Problem) -> None:
    push, update = Publish(ask=failing(problem)), Write()
    record = run(source, Measure(), push, update)
    assert (push.ran, update.ran, record.status) == ([], [], Status.PASSED)
    assert [stage.status for stage in record.stages] == [Status.PASSED, Status.SKIPPED, Status.SKIPPED]
    left_out = record.stages[1].made()
    assert isinstance(left_out, Skipped)
    assert left_out.reason == "out of reach of pull request #7: ghcr.io/team: no password"
    assert all(check.passed for check in record.checks)


def test_a_push_that_can_be_seen_stays_where_the_manifests_cannot(source: Source) -> None:
    push, update = Publish(), Write(ask=unreachable)
    record = run(source, Measure(), push, update)
    assert (push.ran, update.ran, record.status) == ([True], [], Status.PASSED)
    assert "nobody answers" in str(record.stages[2].artifact)


def test_a_manifest_that_cannot_be_edited_is_for_the_change_to_mend(source: Source) -> None:
    record = run(source, Measure(), Publish(), Write(ask=failing(Problem.MANIFEST)))
    assert record.exit_code == 8


def test_what_the_change_itself_lacks_is_no_matter_of_reach(source: Source) -> None:
    record = run(
        source, Measure(checks=(Check(subject="docker", found="none", problem=Problem.TOOL),)), Publish()
    )
    assert record.exit_code == 4


def test_without_a_proposal_what_is_missing_ends_the_run(source: Source) -> None:
    record = run(source, Measure(), Publish(ask=failing(Problem.REMOTE)), proposal=None)
    assert record.exit_code == 5
    assert run(source, Measure(), Publish(ask=unreachable), proposal=None).exit_code == 5


def raising(error: PipelineError) -> Callable[[Desk], SuiteReport]:
    def work(_: Desk) -> SuiteReport:
        raise error

    return work


def test_evidence_that_asks_for_a_login_is_said_to_be_missing_and_the_rest_is_done(source: Source) -> None:
    push = Publish()
    record = run(source, Measure(work=raising(LoginMissing("the database asks for a login"))), push)
    assert (record.status, record.exit_code, push.ran) == (Status.INCOMPLETE, 0, [True])
    (left_out, verdict) = record.stages[0].made(), record.stages[0].verdicts[0]
    assert isinstance(left_out, Skipped)
    assert left_out.reason == "out of reach of pull request #7: the database asks for a login"
    assert (record.out_of_reach, verdict.passed, verdict.refuses) == (("measure",), False, False)
    assert outputs(record, source.root)["verdict"] == "incomplete"
    told = comment(record, source.root)
    assert told.startswith("### ⚠️ delivery <code>aaaaaaaaaaaa</code>: incomplete, measure not done")
    assert "**measure warning** by reach: measure was not done: out of reach of pull request" in told
    assert "Nothing is delivered" not in told  # the annotation has the advice
    (annotation,) = annotations(record)
    assert (annotation.level, "was not done" in annotation.message) == ("warning", True)
    assert Record.model_validate_json(record.model_dump_json()).out_of_reach == ("measure",)


@pytest.mark.parametrize("proposal", [None, "pull request #7"])
def test_a_login_that_is_refused_and_a_result_that_is_there_stay_errors(
    source: Source, proposal: str | None
) -> None:
    error = RemoteError("the password of ada is wrong")
    assert run(source, Measure(work=raising(error)), proposal=proposal).exit_code == 5
    half_done = LoginMissing("another registry asks for a login")
    half_done.made = REPORT
    assert run(source, Measure(work=raising(half_done)), proposal=proposal).exit_code == 5


def test_on_a_branch_a_missing_login_is_an_error(source: Source) -> None:
    assert run(source, Measure(work=raising(LoginMissing("x"))), proposal=None).exit_code == 5
