"""Says where it was measured: processor, memory, disk, versions of the tools."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.results import Machine

CHECKOUT = Path(__file__).resolve().parents[1]
VERSIONS = {
    "engine": ("docker", "version", "--format", "{{.Server.Version}}"),
    "buildx": ("docker", "buildx", "version"),
    "registry": ("docker-registry", "--version"),
    "crane": ("dpkg-query", "--show", "--showformat=${Version}", "crane"),
    "oras": ("oras", "version"),
    "skopeo": ("skopeo", "--version"),
    "curl": ("curl", "--version"),
    "openssl": ("openssl", "version"),
}


def describe(folder: Path) -> Machine:
    """Return what the tables should say of the machine."""
    memory = re.search(r"MemTotal:\s+(\d+) kB", Path("/proc/meminfo").read_text())
    release = platform.freedesktop_os_release().get("PRETTY_NAME", "unknown")
    return Machine(
        date=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        commit=_commit(),
        processor=_processor(),
        processors=os.cpu_count() or 0,
        memory_bytes=int(memory[1]) * 1024 if memory else 0,
        system=f"{release}, Linux {platform.release()}, Python {platform.python_version()}",
        disk=_file_system(folder),
        tools={name: found for name, command in VERSIONS.items() if (found := _version(command))},
    )


def _commit() -> str:
    name = _printed(("git", "-C", str(CHECKOUT), "rev-parse", "--short=12", "HEAD"))
    changed = _printed(
        ("git", "-C", str(CHECKOUT), "status", "--porcelain", "--", "pipeline", "stages", "policies")
    )
    return f"{name} with changes" if changed else name


def _version(command: tuple[str, ...]) -> str:
    found = re.search(r"\d+\.\d+[\w.+~-]*", _printed(command))
    return found[0] if found else ""


def _processor() -> str:
    name = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text())
    return name[1] if name else platform.machine()


def _file_system(folder: Path) -> str:
    return _printed(("findmnt", "--noheadings", "--output", "FSTYPE", "--target", str(folder)))


def _printed(command: tuple[str, ...]) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    except OSError:
        return ""
