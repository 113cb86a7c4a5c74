"""What a report says of the goals."""

import pytest

from benchmarks.goals import Goal, judge
from benchmarks.results import Sample
from tests.unit.benchmarks.reports import MIB, report, sample

GIB = 1024 * MIB


def found(what: str, *samples: Sample) -> Goal:
    (goal,) = (goal for goal in judge(report(*samples)) if goal.what == what)
    return goal


@pytest.mark.parametrize(("wall_s", "met"), [(2.4, True), (2.5, False)])
def test_cold_is_measured_by_curl(wall_s: float, met: bool) -> None:
    assert found("cold delivery, 256M", sample("pipeline", wall_s), sample("curl", 2)).met is met


def test_a_change_of_code_is_measured_by_the_best_peer() -> None:
    def code(peer: str, wall_s: float) -> Sample:
        return sample(peer, wall_s, scenario="code", size_bytes=GIB)

    samples = code("pipeline", 1), code("docker", 9), code("buildx-zstd", 5.5), code("crane", 0.5)
    building = found("code-only change, 1G, best tool that builds", *samples)
    assert (building.met, building.found) == (True, "5.50 (`buildx-zstd`)")
    everybody = found("code-only change, 1G, best tool of all", *samples)
    assert (everybody.met, everybody.found) == (False, "0.50 (`crane`)")


@pytest.mark.parametrize(("big_s", "met"), [(2.2, True), (1.0, True), (2.3, False)])
def test_a_change_of_code_takes_the_same_whatever_the_weights_weigh(big_s: float, met: bool) -> None:
    small, big = (
        sample("pipeline", s, scenario="code", size_bytes=b) for s, b in ((2, GIB), (big_s, 4 * GIB))
    )
    assert found("code-only change, 4G against 1G", small, big).met is met


@pytest.mark.parametrize(("wall_s", "met"), [(1.5, True), (1.51, False)])
def test_the_whole_run_with_cached_evidence_has_its_time(wall_s: float, met: bool) -> None:
    assert (
        found(
            "nothing changed, whole run with cached evidence, 256M",
            sample("pipeline", wall_s, scenario="run"),
        ).met
        is met
    )


@pytest.mark.parametrize(("written_bytes", "met"), [(2 * MIB, True), (3 * MIB, False)])
def test_little_is_written(written_bytes: int, met: bool) -> None:
    goal = found("cold delivery, 256M: written to disk", sample("pipeline", 1, written_bytes=written_bytes))
    assert goal.met is met


@pytest.mark.parametrize(("memory_bytes", "met"), [(150 * MIB, True), (151 * MIB, False)])
def test_memory_has_its_bound_in_every_delivery(memory_bytes: int, met: bool) -> None:
    samples = (
        sample("pipeline", 1, memory_bytes=1),
        sample("pipeline", 1, scenario="runner", memory_bytes=memory_bytes),
        sample("pipeline", 1, scenario="run", memory_bytes=400 * MIB),
    )
    assert found("memory of the pipeline and what it starts, 256M", *samples).met is met


@pytest.mark.parametrize(("docker_s", "met"), [(3, True), (2.9, False)])
def test_a_pull_is_never_slower_than_of_dockers_image(docker_s: float, met: bool) -> None:
    samples = (
        sample(peer, s, scenario="pull (classic)") for peer, s in (("pipeline", 3), ("docker", docker_s))
    )
    assert found("pull (classic), 256M", *samples).met is met


def test_what_was_not_measured_is_no_goal() -> None:
    assert judge(report(sample("docker", 1))) == ()
