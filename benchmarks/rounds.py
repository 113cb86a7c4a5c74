"""Who is measured when: all tools in turn within each round, since a machine is not equally quick all day."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import weights
from benchmarks.bench import Bench, CommandFailed
from benchmarks.peers.interface import Peer, Project
from benchmarks.results import Report, Sample
from benchmarks.sizes import size_name
from benchmarks.whole import AGAIN, measure_whole_runs

# In this order: each goes on from what the one before has left. A pull comes last, from empty engines.
SCENARIOS = ("cold", "nothing", "code", "runner", "move", "shard", "pull")
# What an engine, its build cache and the registry may come to hold of the weights, at the worst.
DISK_TIMES_SIZE = 6
GROWS = frozenset({"cold", "runner", "shard"})
GROWS_LITTLE = frozenset({"nothing", "move"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How long a single measure may be expected to take."""

    once_above_s: float
    """What takes longer is measured in the first round only."""
    never_above_s: float
    """What takes longer is left out; the table says what was expected."""


@dataclass(slots=True, kw_only=True)
class Rounds:
    """All measures of one size."""

    bench: Bench
    peers: Sequence[Peer]
    scenarios: frozenset[str]
    rounds: int
    limits: Limits
    report: Report
    keep: Callable[[Report], None]
    """Told after every sample."""
    say: Callable[[str], None]

    def run(self, size_bytes: int) -> None:
        """Measure every peer in every scenario, round after round."""
        made = self.bench.folder / "weights"
        shutil.rmtree(made, ignore_errors=True)
        self.say(f"{size_name(size_bytes)}: making the weights")
        weights.make(made, size_bytes)
        for number in range(1, self.rounds + 1):
            for peer in self.peers:
                if self.scenarios & peer.scenarios:
                    Chain(self, peer, size_bytes, number, made).run()
        if AGAIN in self.scenarios:
            measure_whole_runs(self.bench, size_bytes, self.rounds, self.note, self.say)
        shutil.rmtree(made)

    def refusal(self, peer: Peer, scenario: str, size_bytes: int, number: int) -> str | None:
        """Say why something is not measured in this round; None if it is."""
        expected = expected_s(self.report, size_bytes, scenario, peer.name)
        if expected is not None and expected > self.limits.never_above_s:
            return f"left out: about {expected:.0f} s expected"
        if expected is not None and number > 1 and expected > self.limits.once_above_s:
            return f"once only: it takes longer than {self.limits.once_above_s:.0f} s"
        needed = DISK_TIMES_SIZE * size_bytes if peer.store and scenario in GROWS else size_bytes
        if self.bench.free_bytes() < needed:
            return f"left out: {size_name(needed)} of free disk needed"
        return None

    def note(self, sample: Sample) -> None:
        """Add a sample."""
        self.report = self.report.with_sample(sample)
        self.keep(self.report)
        told = f"{sample.measure.wall_s:8.2f} s" if sample.measure else sample.note.splitlines()[0]
        where = f"{size_name(sample.size_bytes)} round {sample.round}"
        self.say(f"{where}  {sample.scenario:10} {sample.peer:20} {told}")


@dataclass(slots=True)
class Chain:
    """One peer in one round: its own fresh project, an empty registry, and one scenario after the other."""

    rounds: Rounds
    peer: Peer
    size_bytes: int
    number: int
    made: Path

    def run(self) -> None:
        """Measure the scenarios that were asked for; do the others that they rest on."""
        bench = self.rounds.bench
        folder = bench.folder / "project"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        project = Project(folder, bench.registry.address, "bench-a")
        weights.place(self.made, folder)
        weights.warm(self.made)
        (folder / "serve.py").write_text('print("version 1")\n')
        try:
            for scenario in SCENARIOS:
                if not self._step(project, scenario):
                    break
        finally:
            shutil.rmtree(folder)
            bench.empty_registry()
            if self.peer.store is not None:
                bench.empty_engines()

    def _step(self, project: Project, scenario: str) -> bool:
        """Do one scenario; say whether the next one can go on from it."""
        wanted = scenario in self.rounds.scenarios and scenario in self.peer.scenarios
        if not wanted and scenario != "cold":
            return True
        refusal = self.rounds.refusal(self.peer, scenario, self.size_bytes, self.number)
        if refusal is not None:
            self._note(scenario, refusal)
            return scenario != "cold"
        try:
            if scenario == "pull":
                self._pulls(project)
            else:
                self._delivery(project, scenario, measured=wanted)
        except CommandFailed as error:
            self._note(scenario, f"failed: {error}")
            return False
        return True

    def _delivery(self, project: Project, scenario: str, *, measured: bool) -> None:
        bench, peer = self.rounds.bench, self.peer
        _happen(project, scenario, self.made)
        if scenario == "runner" and peer.store is not None:
            bench.empty_engines()
        peer.prepare(bench, project)
        if not measured:
            peer.deliver(bench, project, scenario)
            return
        measure = bench.measure(lambda: peer.deliver(bench, project, scenario))
        sample = self._sample(scenario)
        self.rounds.note(sample.model_copy(update={"measure": measure}))

    def _pulls(self, project: Project) -> None:
        """Let each engine pull the image; where the code was changed, the changed one too, onto the first."""
        bench = self.rounds.bench
        first = f"{project.host}/bench-a/bench"
        tags = {"pull": "v1"} | ({"pull-code": "v2"} if "code" in self.rounds.scenarios else {})
        for store in bench.engines:
            bench.empty_engines()
            for scenario, tag in tags.items():
                image = f"{first}:{tag}"

                def pull(image: str = image) -> None:
                    bench.run("docker", "pull", "--quiet", image, folder=project.folder, store=store)  # noqa: B023

                measure = bench.measure(pull)
                sample = self._sample(f"{scenario} ({store})")
                self.rounds.note(sample.model_copy(update={"measure": measure}))

    def _note(self, scenario: str, why: str) -> None:
        self.rounds.note(self._sample(scenario).model_copy(update={"note": why}))

    def _sample(self, scenario: str) -> Sample:
        return Sample(size_bytes=self.size_bytes, scenario=scenario, peer=self.peer.name, round=self.number)


def expected_s(report: Report, size_bytes: int, scenario: str, peer: str) -> float | None:
    """Return how long a measure should take: as it took at this size, else in proportion to a smaller one."""
    for known in sorted((size for size in report.sizes if size <= size_bytes), reverse=True):
        took = report.median_of(known, scenario, peer)
        if took is not None:
            return took if scenario in GROWS_LITTLE else took * size_bytes / known
    return None


def _happen(project: Project, scenario: str, made: Path) -> None:
    """Let happen to the project what the scenario is about."""
    if scenario == "code":
        project.change_code()
    elif scenario == "runner":
        project.change_code()
        project.start_anew()
        weights.place(made, project.folder, fresh=True)
    elif scenario == "shard":
        project.version += 1
        weights.change_one_shard(made, project.folder)
    elif scenario == "move":
        project.move("bench-b")
