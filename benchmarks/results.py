"""What was measured, as data: samples, their medians and ratios, and what the goals make of them."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from statistics import median
from typing import Literal

from pydantic import BaseModel, ConfigDict

Quantity = Literal["wall_s", "sent_bytes", "received_bytes", "written_bytes", "device_bytes"]
OURS = "pipeline"


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Measure(_Data):
    """What one measured piece of work took."""

    wall_s: float
    sent_bytes: int
    """Bytes from the clients to the registry, counted on the wire."""
    received_bytes: int
    """Bytes from the registry to the clients, counted on the wire."""
    written_bytes: int
    """Bytes that the commands and the engine had written (`write_bytes` of /proc/PID/io)."""
    device_bytes: int
    """Bytes that the block device wrote meanwhile, the registry's own included."""
    memory_bytes: int
    """The most that the commands' processes held at one time (sum of proportional sets)."""
    engine_memory_bytes: int
    """The most by which the engine's processes grew."""


class Sample(_Data):
    """One measure of a tool at a size in a scenario, or why there is none."""

    size_bytes: int
    scenario: str
    peer: str
    round: int
    measure: Measure | None = None
    note: str = ""


class Machine(_Data):
    """Where and when it was measured."""

    date: str
    commit: str
    processor: str
    processors: int
    memory_bytes: int
    system: str
    disk: str
    tools: dict[str, str]


class Report(_Data):
    """Everything that a run of the benchmark has measured."""

    machine: Machine
    command: str
    rounds: int
    peers: dict[str, str]
    """What each of them does, in words."""
    unavailable: dict[str, str] = {}
    samples: tuple[Sample, ...] = ()

    def with_sample(self, sample: Sample) -> Report:
        """Return a copy with one more sample."""
        return self.model_copy(update={"samples": (*self.samples, sample)})

    @property
    def sizes(self) -> tuple[int, ...]:
        """The sizes of the weights, smallest first."""
        return tuple(sorted({sample.size_bytes for sample in self.samples}))

    def scenarios(self, size_bytes: int) -> tuple[str, ...]:
        """Return what was measured at a size, in the order of measurement."""
        return tuple(dict.fromkeys(each.scenario for each in self.samples if each.size_bytes == size_bytes))

    def of(self, size_bytes: int, scenario: str, peer: str) -> tuple[Measure, ...]:
        """Return the measures of a tool."""
        return tuple(
            each.measure for each in self._of(size_bytes, scenario, peer) if each.measure is not None
        )

    def notes(self, size_bytes: int, scenario: str, peer: str) -> tuple[str, ...]:
        """Return why measures of a tool are missing, each reason once."""
        return tuple(
            dict.fromkeys(each.note for each in self._of(size_bytes, scenario, peer) if each.measure is None)
        )

    def median_of(
        self, size_bytes: int, scenario: str, peer: str, quantity: Quantity = "wall_s"
    ) -> float | None:
        """Return the middle of the measures; None where there are none."""
        values = [float(getattr(each, quantity)) for each in self.of(size_bytes, scenario, peer)]
        return median(values) if values else None

    def highest_memory(self, size_bytes: int, scenario: str, peer: str) -> tuple[int, int] | None:
        """Return the peaks over all rounds: of the commands, and of the engine's growth."""
        measures = self.of(size_bytes, scenario, peer)
        if not measures:
            return None
        return max(each.memory_bytes for each in measures), max(each.engine_memory_bytes for each in measures)

    def ratio(self, size_bytes: int, scenario: str, peer: str, to: str = OURS) -> float | None:
        """Return how many times as long a tool takes as another."""
        return quotient(self.median_of(size_bytes, scenario, peer), self.median_of(size_bytes, scenario, to))

    def peers_of(self, size_bytes: int, scenario: str) -> tuple[str, ...]:
        """Return who was measured or left out here, in the order of measurement."""
        return tuple(
            dict.fromkeys(
                each.peer
                for each in self.samples
                if each.size_bytes == size_bytes and each.scenario == scenario
            )
        )

    def _of(self, size_bytes: int, scenario: str, peer: str) -> Iterable[Sample]:
        wanted = (size_bytes, scenario, peer)
        return (each for each in self.samples if (each.size_bytes, each.scenario, each.peer) == wanted)


def quotient(value: float | None, by: float | None) -> float | None:
    """Divide; None where there is nothing to divide."""
    return value / by if value is not None and by else None


def merge(reports: Iterable[Report]) -> Report:
    """Return one report of several runs, such as one for each size; the first names machine and date."""
    first, *others = reports
    for other in others:
        first = first.model_copy(
            update={
                "samples": (*first.samples, *other.samples),
                "peers": {**first.peers, **other.peers},
                "unavailable": {**first.unavailable, **other.unavailable},
                "command": f"{first.command}\n{other.command}",
            }
        )
    return first


def write(report: Report, path: Path) -> None:
    """Keep the report on disk; a reader never sees half of it."""
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as unfinished:
        json.dump(report.model_dump(mode="json"), unfinished, indent=1)
    Path(unfinished.name).chmod(0o644)
    os.replace(unfinished.name, path)  # noqa: PTH105 - both are names


def read(path: Path) -> Report:
    """Return a report that was written before."""
    return Report.model_validate_json(path.read_text())
