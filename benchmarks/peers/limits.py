"""What no delivery can be quicker than: reading the bytes once for their digest, sending them once."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from benchmarks.bench import Bench
from benchmarks.peers.installing import installed
from benchmarks.peers.interface import Project
from tests.support.engine import ImageStore
from tests.support.registry import Registry

PARALLEL = 4  # as many blobs at a time as we send


@dataclass(frozen=True, slots=True)
class Digest:
    """`openssl sha256` of all files, one after the other."""

    name: ClassVar[str] = "openssl"
    what: ClassVar[str] = "limit: `openssl sha256` of all files"
    store: ClassVar[ImageStore | None] = None
    scenarios: ClassVar[frozenset[str]] = frozenset({"cold"})

    def missing(self) -> str | None:
        """See `Peer.missing`."""
        return installed("openssl")

    def prepare(self, bench: Bench, project: Project) -> None:
        """See `Peer.prepare`."""
        del bench, project

    def deliver(self, bench: Bench, project: Project, scenario: str) -> None:
        """See `Peer.deliver`."""
        del scenario
        bench.run("openssl", "sha256", *project.model_files, folder=project.folder)


@dataclass(slots=True)
class Curl:
    """`curl -T` of all files, into uploads that were opened before, with digests that were known before."""

    name: str = "curl"
    direct: bool = False
    """Without the relay that counts."""
    parallel: bool = False
    scenarios: frozenset[str] = frozenset({"cold"})
    store: ImageStore | None = None
    _arguments: list[str] = field(default_factory=list)

    @property
    def what(self) -> str:
        """See `Peer.what`."""
        how = f"{PARALLEL} at a time" if self.parallel else "one after the other"
        told = ", past the relay that counts" if self.direct else ""
        return f"limit: `curl -T` of the same files to the same registry, {how}{told}"

    def missing(self) -> str | None:
        """See `Peer.missing`."""
        return installed("curl")

    def prepare(self, bench: Bench, project: Project) -> None:
        """Open an upload for each file."""
        registry = bench.direct if self.direct else bench.registry
        files = [project.folder / name for name in project.model_files]
        # The password goes by a file, which other users of the machine cannot read.
        login = project.folder / "curlrc"
        login.touch(mode=0o600)
        login.write_text(f'user = "{registry.username}:{registry.password}"\nfail\nsilent\nshow-error\n')
        self._arguments = ["curl"]
        if self.parallel:
            self._arguments += ["--parallel", "--parallel-max", str(PARALLEL)]
        for index, (path, url) in enumerate(_uploads(registry, project.place, files)):
            self._arguments += ["--next"] * bool(index)
            self._arguments += ["--config", str(login), "--upload-file", str(path), url]

    def deliver(self, bench: Bench, project: Project, scenario: str) -> None:
        """See `Peer.deliver`."""
        del scenario
        bench.run(*self._arguments, folder=project.folder)


def _uploads(registry: Registry, place: str, files: list[Path]) -> list[tuple[Path, str]]:
    opened = []
    with registry.session() as session:
        for path in files:
            answer = session.post(registry.url(f"{place}/bench/blobs/uploads/"), timeout=30)
            answer.raise_for_status()
            where = answer.headers["Location"]
            base = "" if where.startswith("http") else f"http://127.0.0.1:{registry.port}"
            opened.append((path, f"{base}{where}&digest=sha256:{_sha256(path)}"))
    return opened


def _sha256(path: Path) -> str:
    printed = subprocess.run(["sha256sum", path], check=True, capture_output=True, text=True).stdout
    return printed.split()[0]
