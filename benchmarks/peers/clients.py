"""Registry clients that send files without a build: crane and oras."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from benchmarks.bench import Bench
from benchmarks.peers.installing import installed
from benchmarks.peers.interface import MODEL_PATH, Project
from tests.support.engine import ImageStore

ALL = frozenset({"cold", "nothing", "code", "runner", "move", "shard"})
FILE_TYPE = "application/vnd.bench.file"


@dataclass(frozen=True, slots=True)
class Crane:
    """`tar` + `crane append`: the weights as one image, the code as a layer on top of it."""

    name: ClassVar[str] = "crane"
    what: ClassVar[str] = (
        "`tar` + `crane append` of the weights, `crane append` of the code on top, without any build; "
        "a change of code appends to the weights image that is there; after a move `crane copy`"
    )
    store: ClassVar[ImageStore | None] = None
    scenarios: ClassVar[frozenset[str]] = ALL

    def missing(self) -> str | None:
        """See `Peer.missing`."""
        return installed("crane", sid=True)

    def prepare(self, bench: Bench, project: Project) -> None:
        """See `Peer.prepare`."""
        del bench, project

    def deliver(self, bench: Bench, project: Project, scenario: str) -> None:
        """See `Peer.deliver`."""

        def run(*command: str | Path) -> None:
            bench.run(*command, folder=project.folder)

        weights = f"{project.repository}:weights"
        if scenario == "move":
            run("crane", "copy", f"{project.earlier_repository}:{project.tag}", project.reference)
            return
        if scenario in {"cold", "shard"}:
            place = f"--transform=s,^model,{MODEL_PATH.lstrip('/')},"
            run("tar", "--create", "--file=weights.tar", place, "model")
            run("crane", "append", "--oci-empty-base", "--new_layer=weights.tar", f"--new_tag={weights}")
        run("tar", "--create", "--file=code.tar", "serve.py")
        run("crane", "append", f"--base={weights}", "--new_layer=code.tar", f"--new_tag={project.reference}")


@dataclass(frozen=True, slots=True)
class Oras:
    """`oras push`: an artifact of plain files, which no engine runs."""

    name: ClassVar[str] = "oras"
    what: ClassVar[str] = (
        "`oras push` of the plain files: an artifact that no engine runs; after a move `oras cp`"
    )
    store: ClassVar[ImageStore | None] = None
    scenarios: ClassVar[frozenset[str]] = ALL

    def missing(self) -> str | None:
        """See `Peer.missing`."""
        return installed("oras", sid=True)

    def prepare(self, bench: Bench, project: Project) -> None:
        """See `Peer.prepare`."""
        del bench, project

    def deliver(self, bench: Bench, project: Project, scenario: str) -> None:
        """See `Peer.deliver`."""
        if scenario == "move":
            source = f"{project.earlier_repository}:{project.tag}"
            command = ["oras", "cp", "--from-plain-http", "--to-plain-http", source, project.reference]
        else:
            files = [f"{name}:{FILE_TYPE}" for name in (*project.model_files, "serve.py")]
            command = ["oras", "push", "--plain-http", project.reference, *files]
        bench.run(*command, folder=project.folder)
