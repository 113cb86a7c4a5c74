"""Everybody that is measured: our own product, other tools, and the limits of the machine."""

from __future__ import annotations

from benchmarks.peers.builders import Buildx, Docker, Skopeo
from benchmarks.peers.clients import Crane, Oras
from benchmarks.peers.interface import Peer
from benchmarks.peers.limits import Curl, Digest
from benchmarks.peers.modelcar import Modelcar
from benchmarks.peers.pipeline_run import PipelineRun

OUR_OWN: Peer = PipelineRun()
LIMITS: tuple[Peer, ...] = (
    Digest(),
    Curl(),
    Curl("curl-direct", direct=True),
    Curl("curl-parallel", parallel=True),
)
OTHERS: tuple[Peer, ...] = (
    Docker("docker", "classic"),
    Docker("docker-containerd", "containerd"),
    Buildx("gzip"),
    Buildx("zstd"),
    Buildx("uncompressed"),
    Crane(),
    Skopeo(),
    Oras(),
    Modelcar(),
)
GROUPS = {"buildx": ("buildx-gzip", "buildx-zstd", "buildx-uncompressed")}


def choose(names: str) -> tuple[Peer, ...]:
    """Return the peers of these names (`all`, or some with commas), between our own product and the limits.

    Raises:
        ValueError: nobody has such a name.
    """
    known = {peer.name: peer for peer in OTHERS}
    words = [word.strip() for word in names.split(",") if word.strip()]
    chosen = (
        [peer for word in words for peer in GROUPS.get(word, (word,))] if words != ["all"] else list(known)
    )
    if unknown := [name for name in chosen if name not in known]:
        raise ValueError(f"no peer is called {unknown[0]!r}; there are {', '.join([*known, *GROUPS])}, all")
    return (OUR_OWN, *LIMITS, *(known[name] for name in dict.fromkeys(chosen)))
