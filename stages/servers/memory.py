"""What a container uses: memory, processor time, throttling, kills; read from its control group.

Memory is usage minus inactive file pages, as the engine's own statistics have it: the page cache that the
kernel may take back at any time is told apart. The control group is read straight from this machine's files
where it is to be found there, because asking the engine takes seconds.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pipeline import process
from stages.servers.engine import Engine

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a container uses at one moment, or has used until then; None where its source does not tell."""

    memory_bytes: int
    page_cache_bytes: int | None = None
    cpu_s: float | None = None
    """Processor time since the start of the container."""
    cores: float | None = None
    """Processors in use now, where the source knows no time since the start."""
    periods: int | None = None
    """Periods of the scheduler in which something ran under a limit of processors."""
    throttled: int | None = None
    """Of those, in which the limit stopped it."""
    kills: int | None = None
    """Processes that were killed because the memory did not suffice."""


class UsageSource(Protocol):
    """Somewhere to read what a container uses."""

    @property
    def name(self) -> str:
        """How the report calls it."""
        ...

    def read(self) -> Usage:
        """Return what is in use now.

        Raises:
            OSError, ValueError, PipelineError: the container is gone.
        """
        ...


@dataclass(frozen=True, slots=True)
class ControlGroup1:
    """Folders of version 1: one for each controller (Documentation/admin-guide/cgroup-v1/)."""

    memory: Path
    cpuacct: Path | None = None
    cpu: Path | None = None
    name: str = "cgroup v1"

    def read(self) -> Usage:
        """Return what the group uses, with all the groups below it."""
        used = int((self.memory / "memory.usage_in_bytes").read_text())
        memory = _numbers(self.memory / "memory.stat")
        scheduled = {} if self.cpu is None else _numbers(self.cpu / "cpu.stat")
        spent = None if self.cpuacct is None else _number(self.cpuacct / "cpuacct.usage")
        return Usage(
            memory_bytes=max(0, used - memory.get("total_inactive_file", 0)),
            page_cache_bytes=memory.get("total_cache"),
            cpu_s=None if spent is None else spent / 1e9,
            periods=scheduled.get("nr_periods"),
            throttled=scheduled.get("nr_throttled"),
            kills=_numbers(self.memory / "memory.oom_control").get("oom_kill"),
        )


@dataclass(frozen=True, slots=True)
class ControlGroup2:
    """The one folder of version 2 (Documentation/admin-guide/cgroup-v2.rst)."""

    folder: Path
    name: str = "cgroup v2"

    def read(self) -> Usage:
        """Return what the group uses, with all the groups below it."""
        used = int((self.folder / "memory.current").read_text())
        memory = _numbers(self.folder / "memory.stat")
        scheduled = _numbers(self.folder / "cpu.stat")
        spent = scheduled.get("usage_usec")
        return Usage(
            memory_bytes=max(0, used - memory.get("inactive_file", 0)),
            page_cache_bytes=memory.get("file"),
            cpu_s=None if spent is None else spent / 1e6,
            periods=scheduled.get("nr_periods"),
            throttled=scheduled.get("nr_throttled"),
            kills=_numbers(self.folder / "memory.events").get("oom_kill"),
        )


@dataclass(frozen=True, slots=True)
class EngineStatistics:
    """The engine's own numbers, for an engine in a virtual machine or elsewhere."""

    engine: Engine
    container: str
    name: str = "engine statistics"

    def read(self) -> Usage:
        """Return what the engine says is in use; that takes it a second or two."""
        wanted = ("--no-stream", "--format", "{{.MemUsage}};{{.CPUPerc}}")
        memory, _, processors = self.engine.ask("stats", *wanted, self.container).partition(";")
        share = re.fullmatch(r"([0-9.]+)%", processors.strip())
        return Usage(
            memory_bytes=parse_size(memory.partition("/")[0]),
            cores=None if share is None else float(share[1]) / 100,
        )


def find_source(container: str, pid: int, root: Path = Path("/")) -> UsageSource:
    """Return where to read the use of a container whose first process has this id on its own machine."""
    return _control_group(container, pid, root) or EngineStatistics(Engine(process.run), container)


def parse_size(text: str) -> int:
    """Return a size such as `12.5MiB` or `1.2kB` in bytes.

    Raises:
        ValueError: it is none.
    """
    match = re.fullmatch(r"\s*([0-9.]+)\s*([kmgt]?i?)b?\s*", text, re.IGNORECASE)
    if match is None or match[2].lower() not in _UNITS:
        raise ValueError(f"{text!r} is no size")
    return int(float(match[1]) * _UNITS[match[2].lower()])


def _control_group(container: str, pid: int, root: Path) -> UsageSource | None:
    try:
        groups = (root / f"proc/{pid}/cgroup").read_text().splitlines()
        mounts = (root / "proc/self/mounts").read_text().splitlines()
    except OSError:
        return None
    # Where the engine is on another machine, the process of this id is another one here.
    paths = {
        name: path
        for _, names, path in (line.split(":", 2) for line in groups)
        if container in path
        for name in names.split(",")
    }
    if memory := _folder("memory", paths, mounts, root):
        return ControlGroup1(
            memory, _folder("cpuacct", paths, mounts, root), _folder("cpu", paths, mounts, root)
        )
    whole = _folder("", paths, mounts, root)
    return ControlGroup2(whole) if whole is not None and (whole / "memory.current").is_file() else None


def _folder(controller: str, paths: Mapping[str, str], mounts: list[str], root: Path) -> Path | None:
    """Return the group's folder at a controller of version 1, or in version 2 where none is named."""
    if controller not in paths:
        return None
    wanted = "cgroup" if controller else "cgroup2"
    for mount in mounts:
        _, place, kind, options, *_ = mount.split(" ")
        if kind == wanted and (not controller or controller in options.split(",")):
            folder = root / place.lstrip("/") / paths[controller].lstrip("/")
            if folder.is_dir():
                return folder
    return None


def _numbers(path: Path) -> dict[str, int]:
    """Return the lines `name number` of a file; nothing where there is no such file."""
    try:
        lines = path.read_text().splitlines()
    except FileNotFoundError:
        return {}
    words = (line.split() for line in lines)
    return {pair[0]: int(pair[1]) for pair in words if len(pair) == 2 and pair[1].isdecimal()}


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except FileNotFoundError:
        return None
