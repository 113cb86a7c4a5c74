"""A program that needs nothing else in its image: `FROM scratch` and busybox is an image that can run."""

from __future__ import annotations

from pathlib import Path

from tests.support import apt

PROGRAMS = (Path("/bin/busybox"), Path("/usr/bin/busybox"))


def ensure_busybox() -> Path:
    """Return a statically linked busybox, installed where there is none."""
    found = _find()
    if found is None:
        apt.install(["busybox-static"], why="a program for images without a base")
        found = _find()
    assert found is not None
    return found


def _find() -> Path | None:
    return next((path for path in PROGRAMS if path.exists() and _is_static(path)), None)


def _is_static(program: Path) -> bool:
    """Tell whether a program names no loader of shared libraries."""
    return b"/ld-" not in program.read_bytes()
