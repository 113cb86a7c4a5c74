"""What is delivered, and what a tool that delivers it must be able to do."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from benchmarks.bench import Bench
from tests.support.engine import ImageStore

MODEL_PATH = "/models/bench"


@dataclass(slots=True)
class Project:
    """The folder that a team would commit, with `model/` and a small server, and where its image goes."""

    folder: Path
    host: str
    place: str
    """Path of the registry below which the image goes; moves in the scenario `move`."""
    version: int = 1
    earlier_place: str | None = None

    @property
    def tag(self) -> str:
        """The image's tag, a new one for each change."""
        return f"v{self.version}"

    @property
    def repository(self) -> str:
        """Where the image goes."""
        return f"{self.host}/{self.place}/bench"

    @property
    def earlier_repository(self) -> str:
        """Where the image went until now."""
        return f"{self.host}/{self.earlier_place}/bench"

    @property
    def reference(self) -> str:
        """The whole name of the image."""
        return f"{self.repository}:{self.tag}"

    @property
    def model_files(self) -> list[str]:
        """The weights, relative to the folder."""
        return [f"model/{path.name}" for path in sorted((self.folder / "model").iterdir())]

    def change_code(self) -> None:
        """Change a line of the server."""
        self.version += 1
        (self.folder / "serve.py").write_text(f'print("version {self.version}")\n')

    def start_anew(self) -> None:
        """Leave what a fresh checkout on another machine has: what is committed, and no weights yet."""
        for name in ("model", ".pipeline", "layout", "spool"):
            shutil.rmtree(self.folder / name, ignore_errors=True)

    def move(self, place: str) -> None:
        """Deliver to another repository from now on."""
        self.earlier_place, self.place = self.place, place


class Peer(Protocol):
    """A tool that brings weights into a registry, or a limit that no tool can pass."""

    @property
    def name(self) -> str:
        """What it is called on the command line and in tables."""
        ...

    @property
    def what(self) -> str:
        """What it runs, in words."""
        ...

    @property
    def scenarios(self) -> frozenset[str]:
        """What it can be measured in."""
        ...

    @property
    def store(self) -> ImageStore | None:
        """The image store of the engine that it needs; None where it needs none."""
        ...

    def missing(self) -> str | None:
        """Install what it needs where that is possible; say why it is not available."""
        ...

    def prepare(self, bench: Bench, project: Project) -> None:
        """Do what is done before and not measured: write a Dockerfile, commit."""
        ...

    def deliver(self, bench: Bench, project: Project, scenario: str) -> None:
        """Bring the project as it is now to its reference."""
        ...
