"""crane: a registry client that is not ours, for reading back what was pushed."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.support import apt

PROGRAM = "crane"


@dataclass(frozen=True, slots=True)
class Crane:
    """The program, with a docker configuration of its own and the way to the registries."""

    folder: Path
    environment: Mapping[str, str]

    def log_in(self, host: str, username: str, password: str) -> None:
        """Write a login down, as `docker login` does."""
        path = self.folder / "config.json"
        content = json.loads(path.read_text()) if path.exists() else {"auths": {}}
        encoded = base64.b64encode(f"{username}:{password}".encode()).decode()
        content["auths"][host] = {"auth": encoded}
        path.write_text(json.dumps(content))

    def __call__(self, *arguments: str) -> str:
        """Run it, and return what it printed."""
        environment = {**os.environ, **self.environment, "DOCKER_CONFIG": str(self.folder)}
        command = [PROGRAM, *arguments]
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, timeout=120, env=environment
        )
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
        return done.stdout.strip()


def make_crane(folder: Path, environment: Mapping[str, str]) -> Crane:
    """Return crane, installed where that is possible."""
    if shutil.which(PROGRAM) is None:
        apt.install_from_sid([PROGRAM], why="an independent registry client")
    folder.mkdir(parents=True, exist_ok=True)
    return Crane(folder, environment)
