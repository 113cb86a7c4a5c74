"""Whose a container is: enough to tell, on the engine's machine, whether the process that made it lives.

A process id alone is not enough: it is given again, and it means another process in another container or on
another machine.
"""

import hashlib
import os
import socket
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Self

FIRST_NAMESPACE = "4026531836"
"""The number of a machine's own process namespace (Linux, include/linux/proc_ns.h: PROC_PID_INIT_INO)."""
_IN_CONTAINER = "c"
UNKNOWN = "0"  # a system that does not tell when a process began does not tell whether it lives either


@dataclass(frozen=True, slots=True)
class Owner:
    """A process, its place, and the machine; as words without dots."""

    machine: str
    boot: str
    place: str
    """The process namespace, or `c` and the first digits of the engine's container that it is in."""
    process: str
    begun: str
    """When the process began, in ticks since the boot: with it, its id means no other process."""

    @classmethod
    def ourselves(cls, job: str | None, root: Path = Path("/")) -> Self:
        """Return who we are; `job` is the engine's container that we run in."""
        process = str(os.getpid())
        place = _namespace(root) if job is None else f"{_IN_CONTAINER}{job[:12]}"
        return cls(_machine(root), _boot(root), place, process, _begun(process, root) or UNKNOWN)

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Return the owner that a label names; None where it names none that we understand."""
        words = text.split(".")
        return cls(*words) if len(words) == 5 and all(words) else None

    def __str__(self) -> str:
        return f"{self.machine}.{self.boot}.{self.place}.{self.process}.{self.begun}"

    def is_dead(self, seen_by: "Owner", containers: Collection[str], root: Path = Path("/")) -> bool:
        """Tell whether this owner lives no more; where that cannot be told, it lives.

        `containers` are the ids of the engine's running containers.
        """
        if self.place.startswith(_IN_CONTAINER) and self.place != seen_by.place:
            return not any(each.startswith(self.place[1:]) for each in containers)
        if self.machine != seen_by.machine or self.place != seen_by.place:
            return False
        if self.boot != seen_by.boot:
            return self.place == FIRST_NAMESPACE  # other namespaces may have the number by chance
        return self.begun != UNKNOWN and _begun(self.process, root) != self.begun


def _machine(root: Path) -> str:
    told = _read(root / "etc/machine-id") + socket.gethostname()
    return hashlib.sha256(told.encode()).hexdigest()[:8]


def _boot(root: Path) -> str:
    return _read(root / "proc/sys/kernel/random/boot_id").strip().replace("-", "")[:12] or "0"


def _namespace(root: Path) -> str:
    try:
        return "".join(filter(str.isdigit, str((root / "proc/self/ns/pid").readlink())))
    except OSError:  # not Linux
        return "0"


def _begun(process: str, root: Path) -> str | None:
    """Return the 22nd field of proc_pid_stat(5); the name of the program before it may hold anything."""
    fields = _read(root / f"proc/{process}/stat").rpartition(")")[2].split()
    return fields[19] if len(fields) > 19 and fields[0] != "Z" else None


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
