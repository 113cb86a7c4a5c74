"""The whole run on a small server image: first with everything to do, then again with all evidence cached."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from benchmarks import weights
from benchmarks.bench import PROGRAMS, Bench, CommandFailed
from benchmarks.machine import CHECKOUT
from benchmarks.results import OURS, Sample
from tests.support import vulnerability_database
from tests.support.base_image import ensure_base_image
from tests.support.git_server import run_git, running_git_server

SERVER = CHECKOUT / "tests" / "data" / "tiny"
FIRST, AGAIN = "run-first", "run"


def measure_whole_runs(
    bench: Bench, size_bytes: int, rounds: int, note: Callable[[Sample], None], say: Callable[[str], None]
) -> None:
    """Run the pipeline with every stage; the container serves with the weights mounted."""
    made = bench.folder / "weights"
    say("preparing the whole run: base image, vulnerability database, manifests")
    ensure_base_image(bench.engines["containerd"])
    database = vulnerability_database.publish(bench.registry)
    try:
        with running_git_server(bench.folder / "git") as server:
            manifests = shutil.copytree(SERVER / "gitops", bench.folder / "gitops")
            overlay = manifests / "apps" / "tiny" / "kustomization.yaml"
            place = f"{bench.registry.address}/whole"
            overlay.write_text(overlay.read_text().replace("IMAGE", f"{place}/tiny"))
            variables = {
                "PIPELINE_REGISTRIES": place,
                "PIPELINE_SCAN__DATABASE__REPOSITORIES": database,
                "PIPELINE_UPDATE__REPOSITORY": server.create("gitops", content=manifests).url,
                "GITOPS_USERNAME": server.username,
                "GITOPS_PASSWORD": server.password,
            }
            project = _project(bench.folder / "project", made)
            for number in range(rounds + 1):
                scenario = AGAIN if number else FIRST
                sample = Sample(size_bytes=size_bytes, scenario=scenario, peer=OURS, round=max(number, 1))
                note(_measured(bench, project, variables, sample))
    finally:
        for name in ("project", "gitops", "git"):
            shutil.rmtree(bench.folder / name, ignore_errors=True)
        bench.empty_registry()
        bench.empty_engines()


def _project(folder: Path, made: Path) -> Path:
    shutil.copytree(SERVER, folder, ignore=shutil.ignore_patterns("gitops", "model", ".pipeline"))
    weights.place(made, folder)
    shutil.copy(SERVER / "model" / "weight.txt", folder / "model")
    (folder / ".gitignore").write_text("/model/\n/.pipeline/\n")
    run_git("init", "--quiet", str(folder))
    run_git("-C", str(folder), "add", "--all")
    run_git("-C", str(folder), "commit", "--quiet", "--message", "serve")
    return folder


def _measured(bench: Bench, project: Path, variables: dict[str, str], sample: Sample) -> Sample:
    try:
        measure = bench.measure(
            lambda: bench.run(PROGRAMS / "pipeline", "run", folder=project, variables=variables)
        )
    except CommandFailed as error:
        return sample.model_copy(update={"note": f"failed: {error}"})
    return sample.model_copy(update={"measure": measure})
