"""How a server in the engine is reached from here, and whether the engine sees our files.

- The engine is on this machine: at a port of our loopback, with our files.
- This process is in one of the engine's own containers (a mounted socket): in a network of those two.
- The engine is in another container or on another machine (docker-in-docker): at a port of its address.
"""

import ipaddress
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pipeline.errors import ToolMissing
from pipeline.model import BenchmarkReport, Check, Problem
from stages.asking import ask
from stages.servers.checks import missing
from stages.servers.engine import Engine, EngineFacts
from stages.servers.interface import LOOPBACK
from stages.servers.job_container import JobContainer, own_id, own_places

SUBJECT = "benchmark engine"
PORT = 2375  # the command line's own, where an address names none
CONNECT_S = 10.0
INSTEAD = "or leave the stage out with a reason (`skip`)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """The way from here to a server in the engine."""

    address: str | None = LOOPBACK
    """Where the engine publishes the server's port; None where a network is shared instead."""
    job: JobContainer | None = None
    """The container of this engine that we run in."""

    @property
    def kind(self) -> Literal["loopback", "engine", "network"]:
        """Which of the three ways it is."""
        if self.address is None:
            return "network"
        return "loopback" if self.address == LOOPBACK else "engine"

    def __str__(self) -> str:
        return {
            "loopback": BenchmarkReport.LOOPBACK,
            "engine": f"the engine's address {self.address}",
            "network": "a network with this job's container",
        }[self.kind]

    def seen(self, path: Path) -> Path | None:
        """Return the path by which the engine can mount a file of ours, or None where it does not see it."""
        if self.kind == "engine":
            return None
        return path.resolve() if self.job is None else self.job.outside(path)


def find_reach(facts: EngineFacts, root: Path = Path("/")) -> Reach:
    """Return how a server in this engine is reached.

    Raises:
        ToolMissing: it cannot be reached, or only where others reach it too.
    """
    places = own_places(root)
    job = JobContainer.find(Engine(ask), places)
    if job is not None:
        return _beside(job)
    if not facts.local:
        return Reach(address=refuse_public(_address(facts.host), facts.host))
    if own_id(places) is not None and facts.name != socket.gethostname():
        raise ToolMissing(
            f"this job runs in a container that the engine at {facts.host} does not know, so no port that "
            "it publishes can be reached",
            advice="Mount the socket of the engine that runs the job's container, give the other engine an "
            f"address (DOCKER_HOST=tcp://…), {INSTEAD}.",
        )
    return Reach()


def check_reach(facts: EngineFacts, *, host_network: bool, root: Path = Path("/")) -> Check:
    """Tell whether a server in the engine can be reached and measured from here, and how."""
    try:
        reach = find_reach(facts, root)
    except ToolMissing as error:
        return missing(SUBJECT, Problem.TOOL, error.message, error.advice)
    if host_network and reach.kind != "loopback":
        return missing(
            SUBJECT,
            Problem.CONFIGURATION,
            f"`benchmark.network: host` is for an engine on this machine; this one is reached by {reach}",
            "Set `benchmark.network: publish`.",
        )
    how = "" if reach.kind == "loopback" else f", reached by {reach}"
    return Check(subject=SUBJECT, found=f"{facts.version} ({facts.platform}){how}")


def _beside(job: JobContainer) -> Reach:
    if job.network_mode == "none":
        raise ToolMissing(
            "this job's container has no network (`none`), so it reaches no server",
            advice=f"Give it another network, {INSTEAD}.",
        )
    return Reach(address=LOOPBACK if job.network_mode == "host" else None, job=job)


def _address(host: str) -> str:
    """Return the address at which the engine answers."""
    parts = urlsplit(host)
    if parts.scheme == "ssh" or parts.hostname is None:
        raise ToolMissing(
            f"the engine at {host} is on another machine, and no load is sent through {parts.scheme}",
            advice=f"Use an engine on this machine, or one with DOCKER_HOST=tcp://…, {INSTEAD}.",
        )
    try:
        with socket.create_connection((parts.hostname, parts.port or PORT), CONNECT_S) as connection:
            address: str = connection.getpeername()[0]
    except OSError as error:
        raise ToolMissing(
            f"the engine at {host} does not answer: {error}", advice="Start it, or mend DOCKER_HOST."
        ) from error
    return address


def refuse_public(address: str, host: str) -> str:
    """Return the address of the engine at `host`, unless the model's server would be open to everybody there.

    Raises:
        ToolMissing: it is a public address.
    """
    if ipaddress.ip_address(address).is_global:
        raise ToolMissing(
            f"the engine at {host} has a public address, where everybody could reach the model's server",
            advice=f"Use an engine on this machine or in its private network, {INSTEAD}.",
        )
    return address
