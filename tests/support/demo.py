"""`make demo`: set up the real parts on this machine, then deliver the example with them.

`python -m tests.support.demo` sets up and delivers, `python -m tests.support.demo clean` removes it all.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from tests.support import base_image, services, vulnerability_database
from tests.support.commands import cache_folder, run_logged
from tests.support.engine import Engine, ensure_engine, stop_engine
from tests.support.errors import SetupError
from tests.support.git_server import GitServer, Repository
from tests.support.progress import Steps
from tests.support.registry import Registry

CHECKOUT = Path(__file__).resolve().parents[2]
EXAMPLE = CHECKOUT / "examples" / "digits"
STATE = CHECKOUT / ".demo"
ENVIRONMENT = STATE / "environment.sh"
PROGRAMS = Path(sys.executable).parent
GITOPS_FOLDER = "gitops"
# What `make prepare` makes in the example; when all of it is there and fresh, the step has nothing to do.
PREPARED = (".venv/complete", "wheels/complete", "model/config.json")
INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything that the delivery needs."""

    registry: Registry
    git_server: GitServer
    gitops: Repository
    database: str

    def environment(self) -> dict[str, str]:
        """Return the settings and passwords that lead the pipeline to these parts."""
        return {
            "PIPELINE_REGISTRIES": f"{self.registry.address}/models",
            "PIPELINE_SCAN__DATABASE__REPOSITORIES": self.database,
            "PIPELINE_UPDATE__REPOSITORY": self.gitops.url,
            "REGISTRY_USERNAME": self.registry.username,
            "REGISTRY_PASSWORD": self.registry.password,
            "GITOPS_USERNAME": self.git_server.username,
            "GITOPS_PASSWORD": self.git_server.password,
            "TRIVY_USERNAME": self.registry.username,
            "TRIVY_PASSWORD": self.registry.password,
        }


def main(arguments: list[str] | None = None) -> int:
    """Run the demo or remove it, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.demo", description=__doc__)
    parser.add_argument("command", nargs="?", choices=("run", "clean"), default="run")
    options = parser.parse_args(arguments)
    console = Console(soft_wrap=True, highlight=False)
    try:
        return clean(console) if options.command == "clean" else deliver(console)
    except SetupError as error:
        console.print(f"\n[red]error:[/] {escape(str(error))}")
        console.print("Then run `make demo` again; it goes on from here.")
        return 1
    except KeyboardInterrupt:
        console.print("\nstopped; `make demo` goes on from here, `make demo-clean` removes everything")
        return INTERRUPTED


def deliver(console: Console) -> int:
    """Set up what is missing, run the pipeline on the example and show what came of it."""
    steps = Steps(console)
    parts = set_up(steps)
    console.print(f"parts ready after {steps.elapsed_s():.0f} s; [bold]pipeline run[/] in examples/digits\n")
    before = parts.gitops.head()
    exit_code = _run_pipeline(parts)
    if exit_code != 0:
        console.print(
            f"\n[red]pipeline run ended with exit code {exit_code}[/]; its records are in {_runs()}"
        )
        return exit_code
    _show_delivery(console, parts, before)
    _write_environment(parts)
    console.print(
        f"\nafter {steps.elapsed_s():.0f} s; `make demo` again is quick, `make demo-clean` removes all"
    )
    console.print(
        f"your own model with the same parts: [bold]. {ENVIRONMENT.relative_to(CHECKOUT)}[/], "
        f"then {(PROGRAMS / 'pipeline').relative_to(CHECKOUT)} run in its folder"
    )
    return 0


def _write_environment(parts: Parts) -> None:
    """Keep what the pipeline was told, passwords among it, for a shell that wants to use the parts too."""
    lines = [f"export {name}={shlex.quote(value)}\n" for name, value in parts.environment().items()]
    ENVIRONMENT.touch(mode=0o600)
    ENVIRONMENT.write_text("".join(lines))


def set_up(steps: Steps) -> Parts:
    """Make sure of every part; slow ones that do not need each other run side by side."""
    engine = _engine(steps)
    with ThreadPoolExecutor(max_workers=1) as background:
        image = background.submit(base_image.ensure_base_image, engine)
        _trivy(steps)
        registry = _registry(steps)
        database = _database(steps, registry)
        git_server, gitops = _gitops(steps, registry)
        _prepare_example(steps)
        _base_image(steps, image)
    return Parts(registry, git_server, gitops, database)


def _engine(steps: Steps) -> Engine:
    with steps.step("container engine") as step:
        engine = ensure_engine()
        step.reused = engine.reused
        step.detail = f"docker {engine.version}, {engine.image_store} image store"
    return engine


def _trivy(steps: Steps) -> None:
    with steps.step("scanner") as step:
        done = subprocess.run([PROGRAMS / "trivy", "--version"], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise SetupError(
                f"Trivy does not start: {done.stderr.strip()}", advice="make clean, then make demo"
            )
        step.reused = True
        step.detail = f"Trivy {done.stdout.split()[1]} of the virtual environment"


def _registry(steps: Steps) -> Registry:
    with steps.step("registry") as step:
        running = services.ensure_registry(STATE / "registry")
        step.reused = running.reused
        step.detail = f"{running.service.address}, with a password"
    return running.service


def _database(steps: Steps, registry: Registry) -> str:
    with steps.step("vulnerability database") as step:
        published = vulnerability_database.ensure_published(registry, STATE / "vulnerability-database.json")
        step.reused = published.reused
        step.detail = f"{published.reference}, {len(vulnerability_database.ALL_ADVISORIES)} advisories"
    return published.reference


def _gitops(steps: Steps, registry: Registry) -> tuple[GitServer, Repository]:
    with steps.step("GitOps repository") as step:
        running = services.ensure_git_server(STATE / "git")
        repository = running.service.repository("gitops")
        step.reused = running.reused and repository.path.exists()
        if not repository.path.exists():
            _create_gitops_repository(running.service, registry)
        step.detail = repository.url
    return running.service, repository


def _create_gitops_repository(server: GitServer, registry: Registry) -> None:
    """Begin the repository with the example's manifests, at the same path as in the example."""
    with tempfile.TemporaryDirectory() as folder:
        manifests = Path(shutil.copytree(EXAMPLE / GITOPS_FOLDER, Path(folder) / GITOPS_FOLDER))
        # The example is written for the usual port, which another registry may hold on this machine.
        for manifest in manifests.rglob("*.yaml"):
            text = manifest.read_text()
            manifest.write_text(text.replace(f"localhost:{services.REGISTRY_PORT}/", f"{registry.address}/"))
        server.create("gitops", content=Path(folder), message="Deploy digits")


def _prepare_example(steps: Steps) -> None:
    with steps.step("example: model, wheels") as step:
        make = ["make", "--silent", "--directory", str(EXAMPLE), f"PYTHON={sys.executable}"]
        fresh = subprocess.run([*make, "--question", *PREPARED], capture_output=True, check=False)
        step.reused = fresh.returncode == 0
        if not step.reused:
            log = STATE / "logs" / "example.log"
            run_logged([*make, "prepare"], log=log, advice="see the log; pip must reach its index")
        step.detail = "trained in examples/digits, tests and image have their packages"


def _base_image(steps: Steps, image: Future[base_image.Origin]) -> None:
    with steps.step("base image") as step:
        origin = image.result()
        step.reused = origin == "present"
        step.detail = f"{base_image.BASE_IMAGE} ({origin})"
        if not step.reused:
            (STATE / "base-image").write_text(base_image.BASE_IMAGE)


def _run_pipeline(parts: Parts) -> int:
    """Run the pipeline as a user would; a Ctrl-C is the pipeline's own to handle."""
    previous = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        environment = {**os.environ, **parts.environment()}
        return subprocess.run(
            [PROGRAMS / "pipeline", "run"], cwd=EXAMPLE, env=environment, check=False
        ).returncode
    finally:
        signal.signal(signal.SIGINT, previous)


def _show_delivery(console: Console, parts: Parts, before: str) -> None:
    """Show what the record says, and the commit that Argo CD or Flux would now roll out."""
    console.print("\n[bold]pipeline show[/]")
    subprocess.run([PROGRAMS / "pipeline", "show"], cwd=EXAMPLE, check=True)
    state = "landed in" if parts.gitops.head() != before else "stands since an earlier run in"
    console.print(f"\n[bold]git show[/]: the commit {state} {parts.gitops.url}\n")
    color = "always" if console.is_terminal else "never"
    console.out(parts.gitops.git("show", f"--color={color}", "--format=commit %h%n%n%w(0,4,4)%B", "HEAD"))


def _runs() -> Path:
    return (EXAMPLE / ".pipeline" / "runs").relative_to(CHECKOUT)


def clean(console: Console) -> int:
    """Stop and remove everything that the demo started or made, and say what stays."""
    steps = Steps(console)
    for name, folder in (("registry", STATE / "registry"), ("git server", STATE / "git")):
        with steps.step(name) as step:
            step.detail = "stopped" if services.stop(folder) else "was not running"
    with steps.step("container engine") as step:
        step.detail = _remove_from_engine()
    with steps.step("example") as step:
        run_logged(
            ["make", "--silent", "--directory", str(EXAMPLE), "clean"], log=_clean_log(), advice="see the log"
        )
        step.detail = "model, wheels, virtual environment and runs removed"
    shutil.rmtree(STATE, ignore_errors=True)
    shutil.rmtree(cache_folder(), ignore_errors=True)
    console.print(
        "what stays: installed system packages, and this checkout's .venv (`make clean` removes that)"
    )
    return 0


def _remove_from_engine() -> str:
    """Remove the engine if it was started here; in somebody else's, only the image that the demo made."""
    if stop_engine():
        return "stopped and its data removed"
    made = STATE / "base-image"
    if made.exists():
        subprocess.run(["docker", "image", "rm", made.read_text()], capture_output=True, check=False)
        return f"not ours, so it stays; {made.read_text()} was removed from it"
    return "not ours, so it stays"


def _clean_log() -> Path:
    return cache_folder() / "logs" / "clean.log"


if __name__ == "__main__":
    sys.exit(main())
