"""Runs for a pull or merge request: what may leave the machine, and what is out of reach."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar, NoReturn

import pytest

from pipeline.artifacts import Artifacts
from pipeline.desk import Desk
from pipeline.errors import RemoteError
from pipeline.interface import Stage
from pipeline.model import Artifact, Check, ManifestUpdate, Problem, PushedImage, Skipped, Source, SuiteReport
from pipeline.plan import make_plan
from pipeline.record import Record, Runs, Status
from pipeline.reference import Digest, Tag
from pipeline.runner import Options, deliver
from tests.unit.pipeline.conftest import Measure, Objection, Watcher

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
