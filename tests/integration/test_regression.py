"""A new image against the deployed one, as a user delivers it: real builds, registry, manifests and rounds.

The server's time is a sleep, so that whatever else this machine does hardly matters.
"""

from __future__ import annotations

import re

import pytest

from pipeline.artifacts import Artifacts
from pipeline.model import BenchmarkReport, Comparison
from pipeline.record import Status
from tests.support.project import Project

pytestmark = pytest.mark.long

SLEEP_S = 0.05
LIMITS = {"rule": "performance", "maximum_regression": {"p50_ms": "10%"}, "missing_comparison": "fail"}


def server(project: Project, sleep_s: float, comment: str = "") -> None:
    """Let the server take so long for each answer; a comment makes another digest of the same server."""
    path = project.folder / "serve.py"
    text = re.sub(r"\n *__import__.*", "", path.read_text())
    waiting = f"def do_POST(self) -> None:\n        __import__('time').sleep({sleep_s})  # {comment}"
    project.write("serve.py", text.replace("def do_POST(self) -> None:", waiting))


def deliver(project: Project) -> None:
    """Deliver a first image; what has nothing to do with its speed is left out."""
    project.set(
        skip={"test": "told elsewhere", "scan": "told elsewhere"},
        policies=[{"rule": "image"}],
        benchmark__load={"concurrency": 4, "duration_s": 1.5},
        benchmark__warmup_s="0.2",
        benchmark__starts="1",
    )
    server(project, SLEEP_S)
    done = project.pipeline("run")
    assert done.returncode == 0, done.stdout
    project.set(policies=[LIMITS], benchmark__baseline="deployed", benchmark__most_rounds="5")


def comparison(project: Project) -> Comparison:
    report = Artifacts(*project.record().made())[BenchmarkReport]
    assert report.comparison is not None, report.comparison_missing
    return report.comparison


def test_a_planted_slowdown_is_refused_and_the_same_server_under_another_digest_is_not(
    project: Project,
) -> None:
    deliver(project)
    refused(project)
    passed(project)


def refused(project: Project) -> None:
    """A server that takes a fifth longer, with other weights: the sentence has every number."""
    weights = project.folder / "model" / "weight.txt"
    known = weights.read_text()
    weights.write_text(f"{known} ")  # so the deployed ones have to be pulled
    server(project, SLEEP_S * 1.2)
    done = project.pipeline("run", "-v")
    assert done.returncode == 3, done.stdout
    sentence = (
        r"p50 rose from 5\d\.\d ms to 6\d\.\d ms \(\+(1[2-9]|2\d) %, "
        r"95 % interval \+\S+ % to \+\S+ %, 5 rounds in turn\); at most \+10 % is allowed"
    )
    assert re.search(sentence, done.stdout), done.stdout
    assert "of the deployed weights" in done.stdout
    stages = {stage.name: stage.status for stage in project.record().stages}
    assert (stages["benchmark"], stages["push"]) == (Status.REFUSED, Status.PLANNED)
    assert project.containers() == ""
    assert not list((project.folder / ".pipeline").rglob("baseline/weights/*"))
    weights.write_text(known)


def passed(project: Project) -> None:
    """The server as it is deployed, but for a comment, with the same weights: those are shared."""
    server(project, SLEEP_S, "nothing but another digest")
    done = project.pipeline("run", "--until", "benchmark", "-v")
    assert done.returncode == 0, done.stdout
    found = comparison(project)
    assert (found.how, found.rounds) == ("in turn", 5)
    measured = {one.metric for one in found.metrics}
    assert measured >= {"p50_ms", "throughput_rps", "peak_memory_bytes", "cold_start_ms"}
    median = found.metric("p50_ms")
    assert median is not None
    assert len(median.baseline_rounds) == len(median.candidate_rounds) == 5
    assert abs(median.change) < 0.1
    assert "of the deployed image's application" in done.stdout
    assert "of the deployed weights" not in done.stdout
