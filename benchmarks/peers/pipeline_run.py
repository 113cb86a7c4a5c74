"""Our own product, as its users run it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from benchmarks.bench import PROGRAMS, Bench
from benchmarks.peers.interface import MODEL_PATH, Project
from benchmarks.results import OURS
from tests.support.engine import ImageStore
from tests.support.git_server import run_git

CONFIGURATION = f"""image: bench
model: {{source: model, path: {MODEL_PATH}}}
skip: {{test: delivery alone, scan: delivery alone, benchmark: delivery alone, update: delivery alone}}
"""
DOCKERFILE = "FROM scratch\nCOPY serve.py /serve.py\n"


@dataclass(frozen=True, slots=True)
class PipelineRun:
    """`pipeline run`, with the evidence skipped so that delivery alone is compared."""

    name: ClassVar[str] = OURS
    what: ClassVar[str] = (
        "`pipeline run` with test, scan, benchmark and update skipped; after a move with `push.mount_from`"
    )
    scenarios: ClassVar[frozenset[str]] = frozenset(
        {"cold", "nothing", "code", "runner", "move", "shard", "pull"}
    )
    store: ClassVar[ImageStore | None] = "containerd"

    def missing(self) -> str | None:
        """See `Peer.missing`."""
        return None

    def prepare(self, bench: Bench, project: Project) -> None:
        """Commit the project as it is now."""
        del bench
        folder = project.folder
        if not (folder / ".git").exists():
            (folder / "pipeline.yaml").write_text(CONFIGURATION)
            (folder / "Dockerfile").write_text(DOCKERFILE)
            (folder / ".gitignore").write_text("/model/\n/.pipeline/\n")
            run_git("init", "--quiet", str(folder))
        run_git("-C", str(folder), "add", "--all")
        if run_git("-C", str(folder), "status", "--porcelain"):
            run_git("-C", str(folder), "commit", "--quiet", "--message", project.tag)

    def deliver(self, bench: Bench, project: Project, scenario: str) -> None:
        """Run the pipeline; after a move it is told where the weights went until now."""
        del scenario
        variables = {
            "PIPELINE_REGISTRIES": f"{project.host}/{project.place}",
            "PIPELINE_TAG": project.tag,
        }
        if project.earlier_place is not None:
            variables["PIPELINE_PUSH__MOUNT_FROM"] = project.earlier_repository
        bench.run(PROGRAMS / "pipeline", "run", folder=project.folder, variables=variables)
