"""The comparison where nothing is measured: the same digest, no image to be had, an earlier record."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipeline import process
from pipeline.desk import Desk
from pipeline.errors import RemoteError, StageFailed
from pipeline.model import (
    BenchmarkReport,
    ColdStart,
    Latency,
    LoadResult,
    Machine,
    Resources,
)
from pipeline.reference import Digest
from stages.load.open_loop import OpenLoop
from stages.servers import PROTOCOLS
from stages.servers.baseline import Contest, Outcome, Recorded
from stages.servers.engine import Engine, EngineFacts
from stages.servers.found import FoundImage, Near
from stages.servers.owner import Owner
from stages.servers.reach import Reach
from stages.servers.serving import Serving
from stages.servers.session import Session, Workload
from stages.servers.site import Site
from stages.servers.subject import Subject

OLD, NEW = Digest.of(b"old"), Digest.of(b"new")
WORK = Workload(loads=(OpenLoop(rate_rps=50, duration_s=2),))
FACTS = EngineFacts("28", "linux/amd64", 2, "unix:///run/docker.sock")


@dataclass(frozen=True)
class Somewhere:
    """An image, and what is wrong with it."""

    digests: tuple[Digest, ...]
    problem: Exception | None = None
    name: str = "registry.example/tiny@old"

    def place(self, near: Near, facts: EngineFacts, site: Site) -> Subject:
        assert self.problem is not None, "it should not be run"
        raise self.problem


@dataclass(frozen=True)
class Known:
    """Where to find it, or why nobody can."""

    image: FoundImage | None = None
    problem: Exception | None = None

    def find(self, desk: Desk) -> FoundImage:
        if self.image is None:
            assert self.problem is not None
            raise self.problem
        return self.image


def held(tmp_path: Path, baseline: Known, recorded: Recorded = lambda *_: ()) -> Outcome:
    desk = Desk(folder=tmp_path, cache=tmp_path)
    site = Site(
        engine=Engine(process.run),
        desk=desk,
        reach=Reach(),
        name="run",
        owner=Owner.ourselves(None),
    )
    session = Session(
        site=site,
        subject=Subject(image="new", name="new", digest=NEW),
        serving=Serving(port=8080, protocol=PROTOCOLS["v2"]),
    )
    try:
        return Contest(baseline=baseline, recorded=recorded).held(session, (NEW,), Near, WORK, FACTS)
    finally:
        desk.clear()


def report(
    digest: Digest = NEW, p99_ms: float = 8.0, kind: str = "EPYC, 2 cores", settings: str = "the same"
) -> BenchmarkReport:
    latency = Latency(p50_ms=5, p95_ms=6, p99_ms=p99_ms, max_ms=9, mean_ms=5)
    start = ColdStart(port_open_ms=1, ready_ms=2, first_answer_ms=900)
    full = LoadResult(
        shape="closed", concurrency=8, duration_s=2, requests=1600, errors=0, throughput_rps=800.0
    )
    return BenchmarkReport(
        digest=digest,
        protocol="v2",
        rate_rps=50,
        duration_s=2,
        warmup_requests=0,
        cold_start=start,
        starts=(start, start.model_copy(update={"first_answer_ms": 400.0})),
        requests=100,
        errors=0,
        throughput_rps=50,
        latency=latency,
        generator_cpu=0.1,
        send_lag_p99_ms=0.1,
        peak_memory_bytes=100,
        memory_source="cgroup v2",
        further_loads=(full,),
        resources=Resources(cpu_seconds_per_1000_requests=1.5),
        machine=Machine(kind=kind),
        settings=settings,
    )


def test_the_same_digest_is_not_run_again(tmp_path: Path) -> None:
    made = held(tmp_path, Known(Somewhere((NEW,)))).told_in(report())
    assert made.comparison is not None
    assert (made.comparison.how, made.comparison.metrics) == ("same digest", ())


def test_another_model_beside_the_same_application_is_another_image(tmp_path: Path) -> None:
    other = Somewhere((NEW, OLD), RemoteError("the registry does not answer"))
    assert held(tmp_path, Known(other)).comparison is None


@pytest.mark.parametrize(
    ("baseline", "why"),
    [
        (Known(problem=RemoteError("nothing is deployed\nat all")), "nothing is deployed"),
        (
            Known(Somewhere((OLD,), StageFailed("it is for linux/arm64"))),
            "registry.example/tiny@old cannot be run here: it is for linux/arm64",
        ),
        (
            Known(Somewhere((OLD,), OSError("no space"))),
            "registry.example/tiny@old cannot be run here: no space",
        ),
    ],
)
def test_what_keeps_the_other_image_from_running_is_told_and_ends_nothing(
    tmp_path: Path, baseline: Known, why: str
) -> None:
    made = held(tmp_path, baseline).told_in(report())
    assert (made.comparison, made.comparison_missing) == (None, why)


def test_its_recorded_benchmark_stands_in_and_says_so(tmp_path: Path) -> None:
    known = {OLD: (report(OLD, kind="Xeon, 64 cores"), report(OLD, p99_ms=5.0), report(OLD, p99_ms=1.0))}
    lost = Known(Somewhere((OLD,), RemoteError("the registry does not answer")))
    made = held(tmp_path, lost, lambda found, _: known[found.digests[0]]).told_in(report(p99_ms=8.0))
    assert made.comparison is not None
    assert (made.comparison.how, made.comparison_missing) == ("recorded", "")
    assert "the registry does not answer" in made.comparison.notes[0]
    values = {one.metric: (one.baseline, one.candidate) for one in made.comparison.metrics}
    assert values["p99_ms"] == (5.0, 8.0)
    assert values["throughput_rps"] == (800.0, 800.0)
    assert values["cold_start_ms"] == (400.0, 400.0)
    assert all(one.relative_low is None for one in made.comparison.metrics)


@pytest.mark.parametrize(
    ("known", "why"),
    [
        (report(OLD, kind="Xeon, 64 cores"), "is of another kind of machine (Xeon, 64 cores)"),
        (report(OLD, settings="others"), "was made with other settings"),
        (report(OLD, settings=""), "was made with other settings"),
        (report(OLD).model_copy(update={"invalid": ("the generator was late",)}), "must not be trusted"),
    ],
)
def test_a_record_of_another_machine_or_with_other_settings_does_not(
    tmp_path: Path, known: BenchmarkReport, why: str
) -> None:
    lost = Known(Somewhere((OLD,), RemoteError("the registry does not answer")))
    made = held(tmp_path, lost, lambda *_: (known,)).told_in(report())
    assert made.comparison is None
    assert why in made.comparison_missing


def test_records_are_looked_for_no_further_than_the_first_that_fits(tmp_path: Path) -> None:
    def records(found: FoundImage, desk: Desk) -> Iterator[BenchmarkReport]:
        yield report(OLD, p99_ms=5.0)
        raise AssertionError("a registry would have been asked in vain")

    lost = Known(Somewhere((OLD,), RemoteError("the registry does not answer")))
    made = held(tmp_path, lost, records).told_in(report())
    assert made.comparison is not None
    assert made.comparison.how == "recorded"
