"""The container that this process runs in, where it is one of the engine's own: a job with a mounted socket.

Its paths are not the engine's, and neither is its loopback; but the engine knows both.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Self

from stages.servers.engine import Engine

# An engine mounts these files over the image's, from a folder that has the container's id for its name;
# the host name may be anything, and a control group of its own hides the id.
_OWN_FILES = ("/etc/hostname", "/etc/hosts", "/etc/resolv.conf")
_ID = re.compile(r"/([0-9a-f]{64})/")

Places = Mapping[PurePosixPath, str]
"""What is mounted where: the mount's root in its own file system, by its place."""


@dataclass(frozen=True, slots=True)
class JobContainer:
    """A running container, as its engine sees it."""

    id: str
    network_mode: str
    mounts: Mapping[PurePosixPath, PurePosixPath | None]
    """Every place at which something is mounted, with its path on the engine's machine where it is known."""

    @classmethod
    def find(cls, engine: Engine, places: Places) -> Self | None:
        """Ask the engine for the container with these mounts; None where it is not one of the engine's."""
        own = own_id(places)
        if own is None:
            return None
        outcome = engine.attempt("container", "inspect", "--format", "{{json .}}", own)
        if not outcome.succeeded:
            return None
        found = json.loads(outcome.stdout)
        sources = {mount["Destination"]: mount.get("Source") or "" for mount in found.get("Mounts") or ()}
        mounts = {place: _outside(sources.get(str(place), ""), root) for place, root in places.items()}
        return cls(own, found["HostConfig"]["NetworkMode"], mounts)

    @property
    def network_holder(self) -> str:
        """The container whose network it has: its own, or another's (`--network container:…`)."""
        return self.network_mode.removeprefix("container:") if ":" in self.network_mode else self.id

    def outside(self, path: Path) -> Path | None:
        """Return where the engine has a file of ours, or None where nothing of the engine's is mounted."""
        resolved = path.resolve()
        around = [place for place in self.mounts if resolved.is_relative_to(place)]
        inside = max(around, key=lambda place: len(place.parts), default=None)
        outside = None if inside is None else self.mounts[inside]
        return None if inside is None or outside is None else Path(outside / resolved.relative_to(inside))


def own_places(root: Path = Path("/")) -> Places:
    """Return what is mounted for us; nothing where the system does not say it.

    Source: Linux, proc_pid_mountinfo(5); the fourth and fifth fields are the mount's root and its place.
    """
    try:
        lines = (root / "proc/self/mountinfo").read_text().splitlines()
    except OSError:  # not Linux
        return {}
    return {PurePosixPath(line.split(" ")[4]): line.split(" ")[3] for line in lines}


def own_id(places: Places) -> str | None:
    """Return the id of the container that has these mounts, or None outside of one.

    Where it has another container's network (`--network container:…`), it is that container's id.
    """
    found = (_ID.search(places.get(PurePosixPath(file), "")) for file in _OWN_FILES)
    return next((match[1] for match in found if match), None)


def _outside(source: str, root: str) -> PurePosixPath | None:
    """Return the path on the engine's machine, unless it cannot be what is mounted here.

    How much of the path the root has depends on what the engine's machine has mounted where.
    """
    same = source.endswith(root.rstrip("/")) or root.endswith(source)
    return PurePosixPath(source) if source and same else None
