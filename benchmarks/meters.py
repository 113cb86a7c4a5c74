"""Measures a piece of work: time, bytes on the wire, bytes written, memory."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.results import Measure
from benchmarks.wire import Wire

SECTOR_BYTES = 512
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
LOOK_EVERY_S = 0.02


@dataclass(slots=True)
class Memory:
    """Looks again and again at what the processes below some roots hold."""

    engines: tuple[int, ...]
    roots: set[int] = field(default_factory=set)
    """Commands that run now."""
    highest_bytes: int = 0
    engine_growth_bytes: int = 0
    _ended: threading.Event = field(default_factory=threading.Event)

    def watch(self) -> None:
        """Look until `end` is called."""
        begin = resident(self.engines)
        while not self._ended.wait(LOOK_EVERY_S):
            self.highest_bytes = max(self.highest_bytes, proportional(tuple(self.roots)))
            self.engine_growth_bytes = max(self.engine_growth_bytes, resident(self.engines) - begin)

    def end(self) -> None:
        """Look no more."""
        self._ended.set()


@dataclass(slots=True)
class Meter:
    """Measures one piece of work after the other."""

    wire: Wire
    folder: Path
    """Lies on the device whose writes are counted."""
    engines: tuple[int, ...] = ()
    """Processes of the engines; what is below them counts too."""
    memory: Memory | None = None

    def measure(self, work: Callable[[], object]) -> Measure:
        """Do the work and return what it took; what is left to write back is waited for, before and after."""
        os.sync()
        self.memory = Memory(self.engines)
        watch = threading.Thread(target=self.memory.watch, daemon=True)
        watch.start()
        sent, received = self.wire.sent_bytes(), self.wire.received_bytes()
        written, device = self._written_bytes(), device_bytes(self.folder)
        begin = time.perf_counter()
        try:
            work()
            wall_s = time.perf_counter() - begin
        finally:
            self.memory.end()
            watch.join()
        written = self._written_bytes() - written
        os.sync()
        return Measure(
            wall_s=wall_s,
            sent_bytes=self.wire.sent_bytes() - sent,
            received_bytes=self.wire.received_bytes() - received,
            written_bytes=written,
            device_bytes=device_bytes(self.folder) - device,
            memory_bytes=self.memory.highest_bytes,
            engine_memory_bytes=self.memory.engine_growth_bytes,
        )

    def began(self, process: int) -> None:
        """A command has been started."""
        if self.memory is not None:
            self.memory.roots.add(process)

    def ended(self, process: int) -> None:
        """A command has ended."""
        if self.memory is not None:
            self.memory.roots.discard(process)

    def _written_bytes(self) -> int:
        # The kernel adds a child's count to ours when the child has been waited for.
        return sum(written_bytes(process) for process in (os.getpid(), *tree(self.engines)))


def resident(roots: tuple[int, ...]) -> int:
    """Return the bytes that the processes below these roots hold in memory, themselves included."""
    return sum(_resident(process) for process in tree(roots))


def proportional(roots: tuple[int, ...]) -> int:
    """Return the same, but pages that several processes share are counted once."""
    return sum(_proportional(process) for process in tree(roots))


def tree(roots: Iterable[int]) -> list[int]:
    """Return these processes and all below them."""
    found: list[int] = []
    waiting = list(roots)
    while waiting:
        process = waiting.pop()
        found.append(process)
        waiting += _children(process)
    return found


def written_bytes(process: int) -> int:
    """Return the bytes that a process, and its children that have ended, caused to be written to a disk."""
    try:
        lines = Path(f"/proc/{process}/io").read_text().splitlines()
    except OSError:
        return 0
    return int(dict(line.split(": ") for line in lines)["write_bytes"])


def device_bytes(folder: Path) -> int:
    """Return what the folder's block device has written since the machine started; 0 if it has none."""
    number = folder.stat().st_dev
    wanted = [str(os.major(number)), str(os.minor(number))]
    for line in Path("/proc/diskstats").read_text().splitlines():
        words = line.split()
        if words[:2] == wanted:
            return int(words[9]) * SECTOR_BYTES
    return 0


def _children(process: int) -> list[int]:
    found: list[int] = []
    try:
        for thread in Path(f"/proc/{process}/task").iterdir():
            found += map(int, (thread / "children").read_text().split())
    except OSError:
        return found  # it has ended meanwhile
    return found


def _proportional(process: int) -> int:
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)


def _resident(process: int) -> int:
    try:
        return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * PAGE_BYTES
    except (OSError, IndexError):
        return 0
