"""The environment of the user's own commands: their interpreter, never ours."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from shutil import which

OUR_FOLDER = Path(__file__).resolve().parents[2]  # holds the packages pipeline, stages and policies


@dataclass(frozen=True, slots=True)
class UserEnvironment:
    """Changes on top of our environment (None removes a name), and the PATH that follows from them."""

    changes: Mapping[str, str | None]
    path: str
    root: Path

    @classmethod
    def of(cls, root: Path, extra: Mapping[str, str]) -> "UserEnvironment":
        """Return the environment for commands in `root`: its `.venv` first, our private one away.

        `extra` is what the user configured; it has the last word.
        """
        root = root.resolve()
        path, changes = _without_ours(os.environ.get("PATH", os.defpath)), _python_variables()
        if (scripts := root / ".venv" / "bin").is_dir():
            path = f"{scripts}{os.pathsep}{path}"
            changes["VIRTUAL_ENV"] = str(scripts.parent)
        changes = {**changes, "PATH": path, **extra}
        return cls(changes, changes["PATH"] or "", root)

    def find(self, program: str) -> Path | None:
        """Return the program that would run, or None; one with a slash is looked up from `root`."""
        where = self.root / program if os.sep in program else Path(program)
        found = which(where, path=self.path)
        return None if found is None else Path(found)


def _without_ours(path: str) -> str:
    ours = Path(sys.prefix, "bin").resolve()
    if not _private():
        return path
    return os.pathsep.join(entry for entry in path.split(os.pathsep) if Path(entry).resolve() != ours)


def _private() -> bool:
    """Tell whether we run in a virtual environment that the user did not activate themselves."""
    activated = os.environ.get("VIRTUAL_ENV")
    if sys.prefix == sys.base_prefix:
        return False
    return activated is None or Path(activated).resolve() != Path(sys.prefix).resolve()


def _python_variables() -> dict[str, str | None]:
    """Return the changes that keep our own modules and our own interpreter out of the user's."""
    changes: dict[str, str | None] = {}
    if (folders := os.environ.get("PYTHONPATH")) is not None:
        kept = [entry for entry in folders.split(os.pathsep) if Path(entry).resolve() != OUR_FOLDER]
        changes["PYTHONPATH"] = os.pathsep.join(kept) or None
    if os.environ.get("PYTHONHOME") in {sys.prefix, sys.base_prefix}:
        changes["PYTHONHOME"] = None
    return changes
