"""Memory of a container: what it uses without the page cache that the kernel may take back at any time.

Usage minus inactive file pages, as the engine's own statistics have it. The control group is read straight
from this machine's files where it is to be found there, because asking the engine takes seconds.
"""

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from pipeline import process
from pipeline.errors import PipelineError
from stages.servers.engine import Engine

SAMPLE_EVERY_S = 0.1
_UNITS = {
    "": 1,
    "k": 1000,
    "m": 1000**2,
    "g": 1000**3,
    "ki": 1024,
    "mi": 1024**2,
    "gi": 1024**3,
    "ti": 1024**4,
}


class MemorySource(Protocol):
    """Somewhere to read a container's memory."""

    @property
    def name(self) -> str:
        """How the report calls it."""
        ...

    def read(self) -> int:
        """Return the bytes in use now.

        Raises:
            OSError, ValueError, PipelineError: the container is gone.
        """
        ...


@dataclass(frozen=True, slots=True)
class ControlGroup:
    """The files of one control group (Documentation/admin-guide/cgroup-v1/memory.rst and cgroup-v2.rst)."""

    name: str
    usage: Path
    statistics: Path
    inactive_file: str

    def read(self) -> int:
        """Return usage minus inactive file pages, in bytes."""
        used = int(self.usage.read_text())
        for line in self.statistics.read_text().splitlines():
            key, _, value = line.partition(" ")
            if key == self.inactive_file:
                return max(0, used - int(value))
        return used


@dataclass(frozen=True, slots=True)
class EngineStatistics:
    """The engine's own numbers, for an engine in a virtual machine."""

    engine: Engine
    container: str
    name: str = "engine statistics"

    def read(self) -> int:
        """Return what the engine says is in use, in bytes."""
        text = self.engine.ask("stats", "--no-stream", "--format", "{{.MemUsage}}", self.container)
        return parse_size(text.partition("/")[0])


def find_source(container: str, pid: int, root: Path = Path("/")) -> MemorySource:
    """Return where to read the memory of a container whose first process has this id on its own machine."""
    return _control_group(container, pid, root) or EngineStatistics(Engine(process.run), container)


class PeakMemory:
    """Samples a source in a thread of its own for as long as the `with` block lasts."""

    def __init__(self, source: MemorySource) -> None:
        self.source = source.name
        self.peak_bytes = 0
        self._reads = 0
        self._failures = 0
        self._last_failed = False
        self._read: Callable[[], int] = source.read
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._sample, name="memory", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        self._thread.join()

    def doubts(self) -> tuple[str, ...]:
        """Return why the peak must not be trusted, if so."""
        if not self.peak_bytes:
            return (f"the container's memory could not be read from {self.source}",)
        if self._last_failed:
            return (f"the container's memory could not be read from {self.source} until the end",)
        if self._failures * 2 > self._reads:
            share = f"{self._failures} of {self._reads} times"
            return (f"the container's memory could not be read from {self.source} {share}",)
        return ()

    def _sample(self) -> None:
        while True:
            self._sample_once()
            if self._end.wait(SAMPLE_EVERY_S):
                return

    def _sample_once(self) -> None:
        self._reads += 1
        try:
            self.peak_bytes = max(self.peak_bytes, self._read())
            self._last_failed = False
        except (OSError, ValueError, PipelineError):  # gone for good, or only for now
            self._failures += 1
            self._last_failed = True


def parse_size(text: str) -> int:
    """Return a size such as `12.5MiB` or `1.2kB` in bytes.

    Raises:
        ValueError: it is none.
    """
    match = re.fullmatch(r"\s*([0-9.]+)\s*([kmgt]?i?)b?\s*", text, re.IGNORECASE)
    if match is None or match[2].lower() not in _UNITS:
        raise ValueError(f"{text!r} is no size")
    return int(float(match[1]) * _UNITS[match[2].lower()])


def _control_group(container: str, pid: int, root: Path) -> ControlGroup | None:
    try:
        groups = (root / f"proc/{pid}/cgroup").read_text().splitlines()
        mounts = (root / "proc/self/mounts").read_text().splitlines()
    except OSError:
        return None
    for line in groups:
        _, controllers, path = line.split(":", 2)
        # Where the engine is on another machine, the process of this id is another one here.
        if container not in path:
            continue
        version = 1 if "memory" in controllers.split(",") else 2
        if version == 2 and controllers:
            continue
        found = _files(version, mounts, path, root)
        if found is not None:
            return found
    return None


def _files(version: int, mounts: list[str], path: str, root: Path) -> ControlGroup | None:
    usage, inactive = (
        ("memory.usage_in_bytes", "total_inactive_file")
        if version == 1
        else ("memory.current", "inactive_file")
    )
    for mount in mounts:
        _, place, kind, options, *_ = mount.split(" ")
        if (version, kind) not in {(1, "cgroup"), (2, "cgroup2")}:
            continue
        if version == 1 and "memory" not in options.split(","):
            continue
        folder = root / place.lstrip("/") / path.lstrip("/")
        if (folder / usage).is_file():
            return ControlGroup(f"cgroup v{version}", folder / usage, folder / "memory.stat", inactive)
    return None
