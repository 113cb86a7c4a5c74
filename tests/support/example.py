"""The example as a user has it: its own repository, its GitOps tree, and what a cluster would get of it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from pipeline.reference import Repository
from tests.support.commands import one_at_a_time
from tests.support.git_server import Repository as ServedRepository
from tests.support.git_server import run_git

EXAMPLE = Path(__file__).parents[2] / "examples" / "digits"
NOT_IN_GIT = ("model", "wheels")
OVERLAY = "gitops/apps/digits/overlays/production"
# One client that waits for its answers: among other tests nobody could keep a rate, and numbers of a
# generator that was late are refused.
UNHURRIED = {"PIPELINE_BENCHMARK__LOAD__CONCURRENCY": "1", "PIPELINE_BENCHMARK__DURATION_S": "3"}


def prepare() -> Path:
    """Make what git does not hold of the example: its model, wheels and virtual environment."""
    command = ["make", "--silent", "--directory", str(EXAMPLE), "prepare"]
    with one_at_a_time("example"):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return EXAMPLE


def commit_copy(prepared: Path, folder: Path) -> str:
    """Make a repository of the example alone, with everything prepared, and return its only commit."""
    left_out = shutil.ignore_patterns(
        ".*_cache", ".pipeline", ".metrics", ".venv", "__pycache__", *NOT_IN_GIT
    )
    shutil.copytree(prepared, folder, ignore=left_out)
    run_git("init", "--quiet", "--initial-branch=main", str(folder))
    run_git("-C", str(folder), "add", "--all")
    run_git("-C", str(folder), "commit", "--quiet", "--message", "digits")
    for name in NOT_IN_GIT:
        shutil.copytree(
            prepared / name, folder / name, copy_function=os.link if name == "wheels" else shutil.copy2
        )
    (folder / ".git/info/exclude").write_text("/.venv\n")
    (folder / ".venv").symlink_to(prepared / ".venv")
    return run_git("-C", str(folder), "rev-parse", "HEAD").strip()


def gitops_tree(folder: Path, repository: Repository) -> Path:
    """Return a copy of the example's GitOps tree whose overlay names this repository."""
    top = folder / "gitops-tree"
    shutil.copytree(EXAMPLE / "gitops", top / "gitops")
    overlay = top / OVERLAY / "kustomization.yaml"
    overlay.write_text(overlay.read_text().replace("localhost:5001/models/digits", repository))
    return top


def rendered(kubectl: str, gitops: ServedRepository, folder: Path) -> str:
    """Return what the head of the GitOps repository would put into the cluster."""
    checkout = folder / "checkout"
    run_git("clone", "--quiet", gitops.url, str(checkout))
    command = [kubectl, "kustomize", str(checkout / OVERLAY)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
