"""The container that this process runs in, where it is one of the engine's own: a job with a mounted socket.

Its paths are not the engine's, and neither is its loopback; but the engine knows both.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Self

from stages.servers.engine import Engine

# An engine mounts these files over the image's, from a folder that has the container's id for its name;
# the host name may be anything, and a control group of its own hides the id.
_OWN_FILES = {"/etc/hostname", "/etc/hosts", "/etc/resolv.conf"}
_ID = re.compile(r"/([0-9a-f]{64})/")


@dataclass(frozen=True, slots=True)
class JobContainer:
    """A running container, as its engine sees it."""

    id: str
    network_mode: str
    mounts: tuple[tuple[PurePosixPath, PurePosixPath], ...] = ()
    """What is mounted into it: the place inside, and the path on the engine's machine."""

    @classmethod
    def find(cls, engine: Engine, own: str) -> Self | None:
        """Ask the engine for the container of this id; None where it has no such container."""
        outcome = engine.attempt("container", "inspect", "--format", "{{json .}}", own)
        if not outcome.succeeded:
            return None
        found = json.loads(outcome.stdout)
        mounts = ((mount["Destination"], mount.get("Source")) for mount in found.get("Mounts") or ())
        return cls(
            own,
            found["HostConfig"]["NetworkMode"],
            tuple((PurePosixPath(inside), PurePosixPath(outside)) for inside, outside in mounts if outside),
        )

    @property
    def shares_loopback(self) -> bool:
        """Tell whether it has the network of the engine's machine."""
        return self.network_mode == "host"

    @property
    def network_holder(self) -> str:
        """The container whose network it has: its own, or another's (`--network container:…`)."""
        return self.network_mode.removeprefix("container:") if ":" in self.network_mode else self.id

    def outside(self, path: Path) -> Path | None:
        """Return where the engine has a file of ours, or None where nothing of the engine's is mounted."""
        resolved = path.resolve()
        around = [mount for mount in self.mounts if resolved.is_relative_to(mount[0])]
        if not around:
            return None
        inside, outside = max(around, key=lambda mount: len(mount[0].parts))
        return Path(outside / resolved.relative_to(inside))


def own_id(root: Path = Path("/")) -> str | None:
    """Return the id of the container that we run in, or None outside of one (or where nothing tells it).

    Source: Linux, proc_pid_mountinfo(5); the fourth and fifth fields are the mount's root and its place.
    """
    try:
        lines = (root / "proc/self/mountinfo").read_text().splitlines()
    except OSError:  # not Linux
        return None
    for line in lines:
        _, _, _, source, place, *_ = line.split(" ")
        found = _ID.search(source)
        if place in _OWN_FILES and found:
            return found[1]
    return None
