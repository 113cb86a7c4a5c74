"""What is there beside the tools: engines and a registry of our own, a counted wire, measured commands."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks import wire
from benchmarks.meters import Meter
from benchmarks.results import Measure
from tests.support import engine as engines
from tests.support import registry as registries
from tests.support.commands import one_at_a_time
from tests.support.engine import Engine, ImageStore
from tests.support.registry import Registry

PROGRAMS = Path(sys.executable).parent
PYTHON = Path(sys.base_prefix) / "bin"
ENGINES: dict[ImageStore, str] = {"containerd": "bench", "classic": "bench-classic"}
LIFETIME_S = 6 * 3600
COMMAND_LIMIT_S = 1800
TAIL_CHARACTERS = 1500


class CommandFailed(Exception):
    """A measured command ended with an error; the message holds the end of what it printed."""


@dataclass(slots=True)
class Bench:
    """The place where all tools are measured."""

    folder: Path
    registry: Registry
    """As clients see it: through the counted wire."""
    direct: Registry
    """The same one without the relay."""
    engines: Mapping[ImageStore, Engine]
    docker_config: Path
    meter: Meter

    def environment(self, store: ImageStore = "containerd") -> dict[str, str]:
        """Return the variables that lead the tools to the parts."""
        # What is installed has its modules compiled; a setting of the machine at hand shall not undo that.
        inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        return {
            **inherited,
            # A version manager's stand-in for `python3` would take a third of a second of every run.
            "PATH": os.pathsep.join((str(PYTHON), str(PROGRAMS), os.environ.get("PATH", os.defpath))),
            "DOCKER_CONFIG": str(self.docker_config),
            "DOCKER_HOST": self.engines[store].host,
            "REGISTRY_USERNAME": self.registry.username,
            "REGISTRY_PASSWORD": self.registry.password,
        }

    def run(
        self,
        *command: str | Path,
        folder: Path,
        store: ImageStore = "containerd",
        variables: Mapping[str, str] | None = None,
    ) -> str:
        """Run a command of a tool, watched by the meter, and return what it printed.

        Raises:
            CommandFailed: it ended with an error or took longer than half an hour.
        """
        words = [str(word) for word in command]
        environment = {**self.environment(store), **(variables or {})}
        process = subprocess.Popen(
            words,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        self.meter.began(process.pid)
        try:
            printed, _ = process.communicate(timeout=COMMAND_LIMIT_S)
        except BaseException:
            process.kill()
            process.communicate()
            raise
        finally:
            self.meter.ended(process.pid)
        if process.returncode != 0:
            raise CommandFailed(
                f"{' '.join(words[:3])} … ended with {process.returncode}: {printed[-TAIL_CHARACTERS:]}"
            )
        return printed

    def measure(self, work: Callable[[], object]) -> Measure:
        """Do a piece of work and return what it took."""
        return self.meter.measure(work)

    def empty_registry(self) -> None:
        """Remove everything that was pushed; the registry keeps nothing in memory."""
        shutil.rmtree(self.folder / "registry" / "storage", ignore_errors=True)

    def empty_engines(self) -> None:
        """Remove images and build cache from the benchmark's own engines; nobody else uses them."""
        for engine in self.engines.values():
            engine.docker("system", "prune", "--all", "--force", "--volumes", timeout_s=300)
            engine.docker("builder", "prune", "--all", "--force", timeout_s=300)

    def free_bytes(self) -> int:
        """Return what is free on the disk."""
        return shutil.disk_usage(self.folder).free


@contextmanager
def running_bench(folder: Path, stores: Sequence[ImageStore]) -> Iterator[Bench]:
    """Start engines, registry and relay, and remove them again at the end of the `with` block."""
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as parts:
        parts.enter_context(one_at_a_time("benchmark"))  # two at once would measure each other
        direct = _registry(folder / "registry", parts)
        relay = parts.enter_context(wire.counting(direct.port))
        registry = Registry(relay.port, direct.username, direct.password)
        started = {store: _engine(store, parts) for store in stores}
        meter = Meter(relay, folder, tuple(_process(engine) for engine in started.values()))
        docker_config = _docker_config(folder / "docker", registry, direct)
        yield Bench(folder, registry, direct, started, docker_config, meter)


def _registry(folder: Path, parts: ExitStack) -> Registry:
    registry = Registry(registries.free_port(), "benchmark", secrets.token_urlsafe(18))
    process = registries.start(folder, registry, lifetime_s=LIFETIME_S)
    parts.callback(process.stop)
    return registry


def _engine(store: ImageStore, parts: ExitStack) -> Engine:
    engines.ensure_engine()  # installs what is missing
    name = ENGINES[store]
    engines.stop_second_engine(name)  # of a benchmark that was killed
    parts.callback(engines.stop_second_engine, name)
    return engines.start_second_engine(name, image_store=store, lifetime_s=LIFETIME_S)


def _process(engine: Engine) -> int:
    return int(Path(engine.host.removeprefix("unix://")).with_suffix(".pid").read_text())


def _docker_config(folder: Path, *found: Registry) -> Path:
    """Write logins of the benchmark's own; those of the user stay untouched."""
    written = registries.write_docker_config(folder, *found)
    plugins = engines.docker_config_folder() / "cli-plugins"
    if plugins.is_dir() and not (folder / "cli-plugins").exists():
        (folder / "cli-plugins").symlink_to(plugins)
    return written
