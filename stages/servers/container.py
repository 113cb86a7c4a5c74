"""A model server's container: made from the image, limited, watched, and removed with its logs kept."""

import asyncio
import contextlib
import os
import re
import threading
from collections.abc import Awaitable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from pipeline import process
from pipeline.errors import StageFailed
from pipeline.process import Command
from stages.servers import causes
from stages.servers.interface import LOOPBACK
from stages.servers.mounts import Mount
from stages.servers.network import network_options
from stages.servers.ports import listeners
from stages.servers.site import Site
from stages.servers.volume import VolumeMount

T = TypeVar("T")

NOTICE_DEATH_EVERY_S = 0.05
TAIL_LINES = 30
GONE_S = 10.0
OUT_OF_MEMORY_EXIT_CODE = 137


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerSettings:
    """How the container is run; user, entrypoint and everything else are the image's own."""

    image: str
    port: int
    host_network: bool = False
    mounts: Sequence[Mount | VolumeMount] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    memory_bytes: int | None = None
    cpus: float | None = None
    gpus: str | None = None
    more_ports: Sequence[int] = ()
    """Ports of what runs beside the server in its network."""


@dataclass(frozen=True, slots=True)
class State:
    """What the engine says of a container."""

    running: bool
    exit_code: int
    out_of_memory: bool
    pid: int


class Container:
    """One container, from its creation to its removal."""

    def __init__(self, site: Site, settings: ContainerSettings) -> None:
        self.site, self._engine, self._desk = site, site.engine, site.desk
        self.settings = settings
        self.ended = threading.Event()
        self.fallen = ""
        """What beside it has ended by itself, in words, where something has."""
        self._removed = False
        self._watch = threading.Thread(target=self._wait, name="container", daemon=True)
        host = ("--network", "host")
        ports = (settings.port, *settings.more_ports)
        network = host if settings.host_network else network_options(site, *ports)
        self._desk.on_exit(self.remove)
        self.id = _create(site, settings, network)

    def start(self) -> None:
        """Start it and watch for its end from now on; returns when its first process runs."""
        self._engine.ask("start", self.id)
        self._watch.start()

    def address(self, port: int | None = None) -> tuple[str, int]:
        """Return the address and the port at which the server will answer us, or what is beside it.

        Raises:
            StageFailed: the engine gives it none.
        """
        inside = port or self.settings.port
        if self.settings.host_network:
            return LOOPBACK, inside
        found = self._own_address(inside) if self.site.reach.address is None else self._published(inside)
        if found is None and not self.state().running:
            raise self.death()
        if found is None:
            raise self.failure(f"the engine did not publish port {inside} of the container")
        return found

    def _published(self, inside: int) -> tuple[str, int] | None:
        said = self._engine.attempt("port", self.id, f"{inside}/tcp").stdout
        places = (line.rpartition(":") for line in said.splitlines())
        ports = [int(port) for host, _, port in places if host.strip("[]") == self.site.reach.address]
        return (self.site.reach.address or LOOPBACK, ports[0]) if ports else None

    def _own_address(self, inside: int) -> tuple[str, int] | None:
        known = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
        said = self._engine.attempt("inspect", "--format", known, self.id).stdout.strip()
        return (said, inside) if said else None

    @property
    def route(self) -> str:
        """How the load comes to the server, and the weights to it where they could not be mounted."""
        copied = any(isinstance(mount, VolumeMount) for mount in self.settings.mounts)
        return f"{self.site.reach}{' (weights copied into a volume)' if copied else ''}"

    def state(self) -> State:
        """Ask the engine how the container is."""
        wanted = "{{.State.Running}} {{.State.ExitCode}} {{.State.OOMKilled}} {{.State.Pid}}"
        running, code, killed, pid = self._engine.ask("inspect", "--format", wanted, self.id).split()
        return State(running == "true", int(code), killed == "true", int(pid))

    def failure(self, message: str, advice: str = "") -> StageFailed:
        """Return the error that says this, with the end of what the server logged."""
        return StageFailed(message, advice=advice, tail="\n".join(self.log_tail()))

    def death(self) -> StageFailed:
        """Return the error for a container that ended by itself."""
        if self.fallen:
            return self.failure(self.fallen, advice="See `benchmark.sidecars`, and its log.")
        state = self.state()
        if state.out_of_memory or (state.exit_code == OUT_OF_MEMORY_EXIT_CODE and self.settings.memory_bytes):
            return self.failure(
                f"the server was killed: it needed more memory than {_limit(self.settings.memory_bytes)}",
                advice="Raise `benchmark.memory_limit`, and the limit in the deployment with it.",
            )
        return self.failure(
            f"the server ended by itself with exit code {state.exit_code}",
            advice=f"Its last words are above. {causes.ended(state.exit_code)}",
        )

    def why_closed(self) -> str:
        """Return what to do when nothing answers at the port."""
        # in the network of the host the listeners are those of the whole machine
        seen = None if self.settings.host_network else listeners(self.id, self.state().pid)
        said = self._engine.attempt("inspect", "--format", "{{json .Config.ExposedPorts}}", self.id).stdout
        exposed = sorted(int(port) for port in re.findall(r'"(\d+)/tcp"', said))
        advice = causes.closed_port(self.settings.port, seen, exposed)
        address = self.site.reach.address
        elsewhere = f"This job must reach every port of {address}: is there a firewall? "
        return f"{elsewhere if self.site.reach.kind == 'engine' else ''}{advice}"

    def log_tail(self) -> tuple[str, ...]:
        """Return the last lines that the server logged, in the order of their time."""
        outcome = process.run(_logs(self.id, "--tail", str(TAIL_LINES)))
        lines = sorted(f"{outcome.stdout}{outcome.stderr}".splitlines())[-TAIL_LINES:]
        return tuple(self._desk.redact(line.partition(" ")[2]) for line in lines)

    def stop_signal(self) -> str:
        """Return the signal by which a cluster asks it to stop: the image's own, else TERM."""
        said = self._engine.attempt("inspect", "--format", "{{.Config.StopSignal}}", self.id).stdout.strip()
        return said or "SIGTERM"

    def signal(self, name: str) -> None:
        """Send its first process a signal."""
        self._engine.attempt("kill", "--signal", name, self.id)

    def kill(self) -> None:
        """End it at once."""
        self._engine.attempt("kill", self.id)
        self.ended.wait(GONE_S)

    def remove(self) -> None:
        """Keep its log, and remove it; it may be gone already, or may never have come to be."""
        if self._removed:
            return
        known = getattr(self, "id", self.site.name)
        if self._watch.ident is not None:
            self._desk.run(_logs(known), log="server")
        gone = self._engine.attempt("rm", "--force", "--volumes", known)
        if self._watch.ident is not None:
            self._watch.join(timeout=GONE_S)
        if not gone.succeeded and "no such container" not in gone.stderr.lower():
            self._desk.say(f"could not remove the container {self.site.name}: {gone.stderr.strip()}")
        self._removed = True

    def _wait(self) -> None:
        """Wait in a thread: the end of the container is noticed at once, and costs nothing until then."""
        process.run(Command(arguments=("docker", "wait", self.id)))
        self.ended.set()


def _create(site: Site, settings: ContainerSettings, network: Sequence[str]) -> str:
    with environment_file(site, settings.environment) as options:
        return site.engine.ask("create", *options, *_options(site, settings), *network, settings.image)


@contextlib.contextmanager
def environment_file(site: Site, environment: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the option that sets variables in a container; their values are on no command line."""
    path = site.desk.folder / "environment"
    lines = "".join(f"{name}={value}\n" for name, value in environment.items())
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as stream:
        stream.write(lines)
    try:
        yield "--env-file", str(path)
    finally:
        path.unlink()


def _options(site: Site, settings: ContainerSettings) -> tuple[str, ...]:
    # Without swap, as in a cluster: a server that does not fit must not seem to.
    memory = (
        ()
        if settings.memory_bytes is None
        else ("--memory", str(settings.memory_bytes), "--memory-swap", str(settings.memory_bytes))
    )
    return (
        *("--name", site.name, *site.label),
        *("--pull", "never"),
        # A cluster asks its own probes; the image's would run beside the load and take its share.
        "--no-healthcheck",
        *("--log-driver", "local", "--log-opt", "max-size=20m"),
        *memory,
        *(() if settings.cpus is None else ("--cpus", f"{settings.cpus:g}")),
        *(() if settings.gpus is None else ("--gpus", settings.gpus)),
        *(word for mount in settings.mounts for word in ("--mount", mount.argument())),
    )


def _logs(container: str, *options: str) -> Command:
    return Command(arguments=("docker", "logs", "--timestamps", *options, container), timeout_s=30)


def _limit(memory_bytes: int | None) -> str:
    return "the machine has" if memory_bytes is None else f"its limit of {memory_bytes / 1024**2:.0f} MiB"


async def while_alive(container: Container, work: Awaitable[T]) -> T:
    """Return what the work gives; stop it as soon as the container ends."""
    working = asyncio.ensure_future(work)
    watching = asyncio.ensure_future(_until_ended(container))
    try:
        await asyncio.wait({working, watching}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise container.death()
        return working.result()
    finally:
        for task in (working, watching):
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await working  # its connections close before the container goes


async def _until_ended(container: Container) -> None:
    while not container.ended.is_set():
        await asyncio.sleep(NOTICE_DEATH_EVERY_S)
