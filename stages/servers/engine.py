"""The container engine, through its command line: recorded, and stopped with us."""

import errno
import json
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from pipeline.errors import DiskFull, StageFailed, ToolMissing
from pipeline.process import Command, Outcome
from stages.asking import ask

QUICK_S = 60.0
_FACTS = "{{.Server.Version}} {{.Server.Os}}/{{.Server.Arch}}"

_NO_GPUS = (
    "The engine has no such GPUs: install NVIDIA's container toolkit on its machine, run the benchmark where "
    "it is, or mend `benchmark.gpus`."
)


@dataclass(frozen=True, slots=True)
class EngineFacts:
    """What an engine says of itself."""

    version: str
    platform: str
    """os/architecture"""
    cpus: int
    host: str
    """The address at which the command line reaches it."""
    name: str = ""
    """The host name of its machine."""

    @property
    def local(self) -> bool:
        """Tell whether it is reached without a network, so that its loopback should be ours."""
        address = urlsplit(self.host)
        loopback = {"localhost", "127.0.0.1", "::1", None}
        return address.scheme not in {"tcp", "ssh", "http", "https"} or address.hostname in loopback


@dataclass(frozen=True, slots=True)
class Engine:
    """The engine that `docker` reaches; `run` is the desk's, or the plain one where there is no desk."""

    run: Callable[[Command], Outcome]

    def facts(self) -> EngineFacts:
        """Ask the engine who it is.

        Raises:
            ToolMissing: there is none, or it does not answer.
        """
        asked = Engine(ask)
        version, _, platform = asked.ask("version", "--format", _FACTS).partition(" ")
        info = json.loads(asked.ask("info", "--format", "{{json .}}"))  # as the build asks it
        host = asked.ask("context", "inspect", "--format", "{{.Endpoints.docker.Host}}")
        return EngineFacts(version, platform, int(info.get("NCPU", 0)), host, info.get("Name", ""))

    def ask(self, *arguments: str, timeout_s: float = QUICK_S, stdin: Iterable[bytes] | None = None) -> str:
        """Run a command of the engine and return what it printed.

        Raises:
            ToolMissing: the engine does not answer.
            DiskFull: it has no room left.
            StageFailed: it refused.
        """
        outcome = self.attempt(*arguments, timeout_s=timeout_s, stdin=stdin)
        if not outcome.succeeded:
            raise _error(outcome)
        return outcome.stdout.strip()

    def attempt(
        self, *arguments: str, timeout_s: float = QUICK_S, stdin: Iterable[bytes] | None = None
    ) -> Outcome:
        """Run a command of the engine, whatever becomes of it."""
        return self.run(Command(arguments=("docker", *arguments), timeout_s=timeout_s, stdin=stdin))


def _error(outcome: Outcome) -> ToolMissing | DiskFull | StageFailed:
    said = outcome.stderr.strip() or outcome.stdout.strip()
    lowered = said.lower()
    what = " ".join(outcome.command.arguments[:2])
    if "cannot connect to the docker daemon" in lowered or "error during connect" in lowered:
        return ToolMissing(
            f"the container engine does not answer: {said.splitlines()[-1]}",
            advice="Start it, or point DOCKER_HOST or the docker context at one that runs.",
        )
    if os.strerror(errno.ENOSPC).lower() in lowered:
        return DiskFull(
            f"the container engine has no room left: {said.splitlines()[-1]}",
            advice="Free some disk: `docker system df` shows what can go, `docker system prune` removes it.",
        )
    if outcome.timed_out:
        return ToolMissing(
            f"`{what}` did not end within {outcome.command.timeout_s:g} s",
            advice="See whether `docker info` answers; restart the engine if not.",
        )
    advice = _NO_GPUS if "[[gpu]]" in said or "nvidia-container-cli" in said else ""
    return StageFailed(
        f"`{what}` failed: {said or f'exit code {outcome.exit_code}'}", advice=advice, tail=said
    )
