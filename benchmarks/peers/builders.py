"""Tools that build the weights into the image: docker, buildx, and skopeo after a build."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import ClassVar, Literal

from benchmarks.bench import Bench
from benchmarks.peers.installing import installed
from benchmarks.peers.interface import MODEL_PATH, Project
from tests.support.engine import ImageStore

# As one should write it: what changes rarely comes first, so that a change of code leaves the weights cached.
DOCKERFILE = f"FROM scratch\nCOPY model {MODEL_PATH}\nCOPY serve.py /serve.py\n"
ALL = frozenset({"cold", "nothing", "code", "runner", "move", "shard"})
Compression = Literal["gzip", "zstd", "uncompressed"]


def _write_dockerfile(project: Project) -> None:
    (project.folder / "Dockerfile").write_text(DOCKERFILE)
    (project.folder / ".dockerignore").write_text("*\n!model\n!serve.py\n")


@dataclass(frozen=True, slots=True)
class Docker:
    """`docker build`, then `docker push`."""

    name: str
    store: ImageStore
    scenarios: ClassVar[frozenset[str]] = ALL | {"pull"}

    @property
    def what(self) -> str:
        """See `Peer.what`."""
        how = f"`docker build` + `docker push`, {self.store} image store"
        return f"{how}; after a move `docker tag` + `docker push`"

    def missing(self) -> str | None:
        """See `Peer.missing`."""
        return None

    def prepare(self, bench: Bench, project: Project) -> None:
        """See `Peer.prepare`."""
        del bench
        _write_dockerfile(project)

    def deliver(self, bench: Bench, project: Project, scenario: str) -> None:
        """See `Peer.deliver`."""

        def docker(*arguments: str) -> None:
            bench.run("docker", *arguments, folder=project.folder, store=self.store)

        if scenario == "move":
            docker("tag", f"{project.earlier_repository}:{project.tag}", project.reference)
        else:
            docker("build", "--quiet", "--tag", project.reference, ".")
        docker("push", "--quiet", project.reference)


@dataclass(frozen=True, slots=True)
class Buildx:
    """`docker buildx build` that pushes by itself."""

    compression: Compression
    store: ClassVar[ImageStore | None] = "containerd"
    scenarios: ClassVar[frozenset[str]] = ALL

    @property
    def name(self) -> str:
        """See `Peer.name`."""
        return f"buildx-{self.compression}"

    @property
    def what(self) -> str:
        """See `Peer.what`."""
        return f"`docker buildx build --push`, {self.compression} layers, containerd image store"

    def missing(self) -> str | None:
        """See `Peer.missing`."""
        return None

    def prepare(self, bench: Bench, project: Project) -> None:
        """See `Peer.prepare`."""
        del bench
        _write_dockerfile(project)

    def deliver(self, bench: Bench, project: Project, scenario: str) -> None:
        """See `Peer.deliver`."""
        del scenario
        output = f"type=image,name={project.reference},push=true,compression={self.compression}"
        output += ",force-compression=true,oci-mediatypes=true"
        bench.run("docker", "buildx", "build", "--output", output, ".", folder=project.folder)


@dataclass(frozen=True, slots=True)
class Skopeo:
    """A build into an image layout, which skopeo copies: what CI without a Docker daemon's push does."""

    name: ClassVar[str] = "skopeo"
    what: ClassVar[str] = (
        "`docker buildx build --output type=oci` (gzip) + `skopeo copy oci:… docker://…`; "
        "after a move `skopeo copy docker://… docker://…`"
    )
    store: ClassVar[ImageStore | None] = "containerd"
    scenarios: ClassVar[frozenset[str]] = ALL

    def missing(self) -> str | None:
        """See `Peer.missing`."""
        return installed("skopeo")

    def prepare(self, bench: Bench, project: Project) -> None:
        """See `Peer.prepare`."""
        del bench
        _write_dockerfile(project)

    def deliver(self, bench: Bench, project: Project, scenario: str) -> None:
        """See `Peer.deliver`."""
        source = f"docker://{project.earlier_repository}:{project.tag}"
        if scenario != "move":
            source = self._build(bench, project)
        login = ("--authfile", bench.docker_config / "config.json")
        plain = ("--src-tls-verify=false", "--dest-tls-verify=false")
        target = f"docker://{project.reference}"
        bench.run(
            "skopeo", "--insecure-policy", "copy", *login, *plain, source, target, folder=project.folder
        )

    @staticmethod
    def _build(bench: Bench, project: Project) -> str:
        layout = project.folder / "layout"
        shutil.rmtree(layout, ignore_errors=True)
        output = f"type=oci,tar=false,dest={layout},name={project.reference}"
        bench.run("docker", "buildx", "build", "--output", output, ".", folder=project.folder)
        return f"oci:{layout}:{project.tag}"
