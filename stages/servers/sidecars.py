"""Containers that run beside the model server, in the same network namespace as in a pod."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

from pipeline import process
from pipeline.errors import StageFailed
from pipeline.process import Command
from stages.servers.container import Container, environment_file
from stages.servers.site import Site

PULL_S = 1800.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sidecar:
    """A container of the pod that is not the model server."""

    image: str
    """As the engine knows it, or can pull it."""
    environment: Mapping[str, str] = field(default_factory=dict)
    command: tuple[str, ...] = ()
    """Arguments in place of the image's own; nothing: the image's own."""
    port: int | None = None
    """Where it has to listen before the model server is asked whether it is ready."""


def start_beside(container: Container, sidecar: Sidecar) -> None:
    """Start a sidecar in the network of a running server; its end by itself ends the measurement.

    Raises:
        StageFailed: the engine does not get its image, or refuses it.
    """
    site = container.site.part()
    name = site.name
    site.desk.on_exit(lambda: _remove(site))
    site.desk.say(f"starting {sidecar.image} beside the server")
    options = ("--name", name, *site.label, "--network", f"container:{container.id}", "--no-healthcheck")
    with environment_file(site, sidecar.environment) as environment:
        words = (*options, *environment, sidecar.image, *sidecar.command)
        try:
            site.engine.ask("create", *words, timeout_s=PULL_S)
        except StageFailed as error:
            raise StageFailed(
                f"{sidecar.image} cannot run beside the server: {error.message}",
                advice="Mend its `image` in `benchmark.sidecars`, or bring it there (`docker pull`).",
                tail=error.tail,
            ) from error
    site.engine.ask("start", name)
    threading.Thread(target=_watch, args=(container, sidecar, name), name="sidecar", daemon=True).start()


def _remove(site: Site) -> None:
    site.engine.attempt("rm", "--force", "--volumes", site.name)


def _watch(container: Container, sidecar: Sidecar, name: str) -> None:
    code = process.run(Command(arguments=("docker", "wait", name))).stdout.strip()
    if container.ended.is_set() or not code:
        return
    said = process.run(Command(arguments=("docker", "logs", "--tail", "5", name), timeout_s=30))
    last = container.site.desk.redact(" ".join(f"{said.stdout}{said.stderr}".split())[-300:])
    container.fallen = f"{sidecar.image}, which runs beside the server, ended with exit code {code}: {last}"
    container.ended.set()
