"""Which builder a build will run on, and how an image comes out of it."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pipeline.errors import ConfigurationError, ToolMissing
from pipeline.model import Tool
from pipeline.process import Command, Outcome
from stages.asking import ask

OLDEST_BUILDX = (0, 12)
OLDEST_ENGINE = (24,)
OLDEST_ENGINE_CLASSIC = (25,)  # the first whose `docker save` writes an OCI image layout
TIMEOUT_S = 30.0
START_TIMEOUT_S = 300.0  # a docker-container builder pulls its image first
INSTALL_ADVICE = "Install an engine with buildx (https://docs.docker.com/engine/install) and start it."


@dataclass(frozen=True, slots=True)
class Engine:
    """The container engine behind a builder of the docker driver."""

    version: str
    image_store: Literal["containerd", "classic"]
    data_root: Path
    context: str | None
    """The docker context that leads to it; None for the one in use."""


@dataclass(frozen=True, slots=True)
class Builder:
    """A buildx builder; `engine` is set for the docker driver, whose BuildKit is the engine's own."""

    name: str
    driver: str
    buildkit_version: str
    engine: Engine | None = None

    @property
    def exports_layout(self) -> bool:
        """Tell whether it can export an OCI image layout itself; the classic image store cannot."""
        return self.engine is None or self.engine.image_store == "containerd"

    @property
    def exports_cache(self) -> bool:
        """Tell whether it can write its cache elsewhere; the classic image store cannot do that either."""
        return self.exports_layout

    @property
    def tool(self) -> Tool:
        """The builder as the record names it."""
        if self.engine is None:
            return Tool(name=f"buildkit ({self.driver} driver)", version=self.buildkit_version)
        return Tool(
            name=f"buildkit (docker driver, {self.engine.image_store} store)", version=self.engine.version
        )


def buildx_version() -> str:
    """Return the version of the buildx plugin.

    Raises:
        ToolMissing: there is none, or it is too old.
    """
    outcome = _ask("buildx", "version")
    found = re.search(r"\bv?(\d+\.\d+\S*)", outcome.stdout) if outcome.succeeded else None
    if found is None:
        raise ToolMissing("docker has no buildx plugin", advice=INSTALL_ADVICE)
    _refuse_older("buildx", found[1], OLDEST_BUILDX)
    return found[1]


def find_builder(name: str | None, *, start: bool = False) -> Builder:
    """Return the builder of this name, or the one in use; `start` wakes it, so that its version is known.

    Raises:
        ConfigurationError: there is no builder of this name.
        ToolMissing: docker, buildx, the engine or the builder is missing, too old or does not answer.
    """
    builder = _inspect(name)
    if start and builder.engine is None:  # an engine that answers has its own BuildKit awake
        return _inspect(name, "--bootstrap", timeout_s=START_TIMEOUT_S)
    return builder


def _inspect(name: str | None, *options: str, timeout_s: float = TIMEOUT_S) -> Builder:
    outcome = _ask("buildx", "inspect", *options, *((name,) if name else ()), timeout_s=timeout_s)
    if not outcome.succeeded:
        raise _no_builder(name, outcome)
    # one `Key:   value` a line; the first of each key is the builder's, or its first node's
    fields = dict(reversed(re.findall(r"^([A-Z][\w ]*?):[ \t]*(\S.*?)[ \t]*$", outcome.stdout, re.MULTILINE)))
    driver = fields.get("Driver", "docker")  # left empty where the engine does not answer
    return Builder(
        name=fields.get("Name", name or "default"),
        driver=driver,
        buildkit_version=fields.get("BuildKit version", "unknown"),
        engine=find_engine(_context(fields.get("Endpoint"))) if driver == "docker" else None,
    )


def find_engine(context: str | None = None) -> Engine:
    """Return the engine that a docker context leads to.

    Raises:
        ToolMissing: it does not answer or is too old.
    """
    chosen = ("--context", context) if context else ()
    outcome = _ask(*chosen, "info", "--format", "{{json .}}")
    information = json.loads(outcome.stdout) if outcome.stdout.startswith("{") else {}
    version = information.get("ServerVersion") or ""
    if not outcome.succeeded or not version:
        said = [
            *(information.get("ServerErrors") or ()),
            *outcome.stderr.strip().splitlines()[-1:],
            "no answer",
        ]
        raise ToolMissing(
            f"no container engine answers: {said[0]}",
            advice=f"Start it, or let DOCKER_HOST name one that runs. {INSTALL_ADVICE}",
        )
    containerd = "io.containerd.snapshotter" in json.dumps(information.get("DriverStatus"))
    _refuse_older("the container engine", version, OLDEST_ENGINE if containerd else OLDEST_ENGINE_CLASSIC)
    return Engine(
        version=version,
        image_store="containerd" if containerd else "classic",
        data_root=Path(information.get("DockerRootDir") or "/var/lib/docker"),
        context=context,
    )


def _context(endpoint: str | None) -> str | None:
    return None if endpoint in {None, "default"} or "://" in str(endpoint) else endpoint


def _no_builder(name: str | None, outcome: Outcome) -> ConfigurationError | ToolMissing:
    said = (outcome.stderr.strip().splitlines() or ["no answer"])[-1]
    if name is None or "no builder" not in said:
        return ToolMissing(f"the builder {name or 'in use'} does not answer: {said}", advice=INSTALL_ADVICE)
    known = re.findall(r"^([\w.-]+)\*?\s", _ask("buildx", "ls").stdout, re.MULTILINE)
    there = ", ".join(word for word in known if word != "NAME")
    return ConfigurationError(
        f"there is no buildx builder called {name!r}; there is {there}",
        advice=f"Mend `build.builder`, or make it: `docker buildx create --name {name}`.",
    )


def _refuse_older(what: str, version: str, oldest: tuple[int, ...]) -> None:
    numbers = tuple(int(number) for number in re.findall(r"\d+", version)[: len(oldest)])
    if numbers < oldest:
        raise ToolMissing(
            f"{what} has version {version}; at least {'.'.join(map(str, oldest))} is needed",
            advice="Update it.",
        )


def _ask(*arguments: str, timeout_s: float = TIMEOUT_S) -> Outcome:
    return ask(Command(arguments=("docker", *arguments), timeout_s=timeout_s))
