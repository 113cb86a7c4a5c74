"""The machine that is measured on: what kind it is, and how quiet it was.

Sources: Linux, proc_stat(5), proc_cpuinfo(5). What a system does not tell is unknown.
"""

import hashlib
import os
import platform
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, pstdev
from types import TracebackType
from typing import Self

from pipeline.model import Machine
from stages.servers.engine import EngineFacts
from stages.servers.reach import Reach

WORK = bytes(1 << 20)  # hashing it takes a millisecond or two, during which other threads run
PIECES_BEFORE = 20
EVERY_S = 0.5
FEWEST = 5
_TICKS = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")


@dataclass(frozen=True, slots=True)
class Ticks:
    """What the processors did since the start of the machine, in ticks."""

    busy: int
    idle: int
    steal: int

    @classmethod
    def now(cls, root: Path = Path("/")) -> Self | None:
        """Read them; None where the system does not tell."""
        try:
            words = (root / "proc/stat").read_text().splitlines()[0].split()[1:]
        except (OSError, IndexError):
            return None
        told = dict(zip(_TICKS, map(int, words), strict=False))
        idle, steal = told.get("idle", 0) + told.get("iowait", 0), told.get("steal", 0)
        return cls(sum(told.values()) - idle - steal, idle, steal)

    def stolen_since(self, before: "Ticks") -> float | None:
        """Return the share of the time since then that the machine's host took away."""
        whole = self.busy + self.idle + self.steal - before.busy - before.idle - before.steal
        return (self.steal - before.steal) / whole if whole > 0 else None


class Watch:
    """Does a small piece of work before and every half second during a measurement: it should take the same.

    Its time is that of the processor, so that the server's own work beside it makes no difference: what
    changes it is the frequency, a neighbour on the same core, or the machine's host.
    """

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._times: list[float] = []
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._go_on, name="calibration", daemon=True)
        self._load = os.getloadavg()[0]
        self._before = Ticks.now()

    def __enter__(self) -> Self:
        self._times += [_piece() for _ in range(PIECES_BEFORE)]
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        self._thread.join()

    def machine(self) -> Machine:
        """Return what is known of the machine until now."""
        after = Ticks.now()
        stolen = None if self._before is None or after is None else after.stolen_since(self._before)
        return Machine(
            kind=self._kind,
            calibration_spread=spread(self._times),
            steal_share=stolen,
            frequency_mhz=frequency_mhz(),
            load_before=self._load,
        )

    def _go_on(self) -> None:
        while not self._end.wait(EVERY_S):
            self._times.append(_piece())


def spread(times: list[float]) -> float | None:
    """Return the standard deviation over the mean; None of too few."""
    return pstdev(times) / fmean(times) if len(times) >= FEWEST and fmean(times) > 0 else None


def kind_of(facts: EngineFacts, reach: Reach, root: Path = Path("/")) -> str:
    """Return words for the kind of machine: numbers of two kinds do not compare."""
    if reach.kind == "engine":
        return f"engine elsewhere, {facts.platform}, {facts.cpus} cores; load from {_ours(root)}"
    return f"{_ours(root)}, engine with {facts.cpus} cores"


def frequency_mhz(root: Path = Path("/")) -> float | None:
    """Return the processors' frequency now, the mean."""
    found = [float(value) for value in _values(root / "proc/cpuinfo", "cpu MHz")]
    return fmean(found) if found else None


def _ours(root: Path) -> str:
    model = next(
        iter(_values(root / "proc/cpuinfo", "model name")), platform.processor() or platform.machine()
    )
    memory = next(iter(_values(root / "proc/meminfo", "MemTotal")), "")
    kilobytes = int(memory.split()[0]) if memory else 0
    told = f", {kilobytes / 1024**2:.0f} GiB" if kilobytes else ""
    return f"{model}, {os.cpu_count()} cores{told}"


def _values(path: Path, name: str) -> list[str]:
    """Return the values of the lines `name : value` of a file."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return []
    pairs = (line.partition(":") for line in lines)
    return [value.strip() for key, _, value in pairs if key.strip() == name]


def _piece() -> float:
    begin = time.thread_time()
    hashlib.sha256(WORK).digest()
    return time.thread_time() - begin
