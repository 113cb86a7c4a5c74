"""gitlab-ci-local: runs a .gitlab-ci.yml on this machine, with includes, components and child pipelines."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import yaml

from tests.support import apt
from tests.support.commands import cache_folder, log_file, one_at_a_time, run_logged
from tests.support.git_server import run_git

VERSION = "4.63.0"  # the last for Node 20
ORIGIN = "https://gitlab.example.com/acme/tiny.git"  # nobody is asked there
STATE = ".gitlab-ci-local"


def ensure_gitlab_ci_local() -> Path:
    """Return the program, installed once into the machine's cache."""
    folder = cache_folder() / f"gitlab-ci-local-{VERSION}"
    program = folder / "node_modules/.bin/gitlab-ci-local"
    missing = [name for name in ("npm", "rsync") if shutil.which(name) is None]
    if missing:
        packages = ["nodejs" if name == "npm" else name for name in missing] + missing
        apt.install(sorted(set(packages)), why="gitlab-ci-local, which runs GitLab's pipelines here")
    with one_at_a_time("gitlab-ci-local"):
        if not _is_installed(program):
            folder.mkdir(parents=True, exist_ok=True)
            options = ["--ignore-scripts", "--no-audit", "--no-fund"]
            run_logged(
                ["npm", "install", "--prefix", str(folder), *options, f"gitlab-ci-local@{VERSION}"],
                log=log_file("gitlab-ci-local"),
                advice="Can this machine reach its npm registry?",
            )
    return program


def _is_installed(program: Path) -> bool:
    package = program.parents[1] / "gitlab-ci-local/package.json"
    return package.is_file() and json.loads(package.read_text())["version"] == VERSION


def add_origin(folder: Path) -> None:
    """Give a repository the remote that GitLab's variables are made of; its head is main."""
    run_git("-C", str(folder), "remote", "add", "origin", ORIGIN)
    run_git("-C", str(folder), "update-ref", "refs/remotes/origin/main", "HEAD")
    run_git("-C", str(folder), "symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/main")


def run_pipeline(
    program: Path, folder: Path, variables: Mapping[str, str], *arguments: str, timeout_s: float = 500
) -> subprocess.CompletedProcess[str]:
    """Run the pipeline of a repository, each job in a copy of its own; secrets go by a file."""
    secrets = folder.parent / f"{folder.name}-variables.yml"
    secrets.write_text(yaml.safe_dump({"GITLAB_CI": "true", **variables}))
    options = ("--force-shell-executor", "--shell-isolation", "--variables-file", f"../{secrets.name}")
    return subprocess.run(
        [str(program), *options, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout_s,
    )


def artefacts(folder: Path, job: str) -> Path:
    """Return where the artefacts of a job are kept; odd characters of its name stand there in base64."""
    safe = re.sub(r"[^\w-]", lambda found: base64.b64encode(found[0].encode()).decode().rstrip("="), job)
    return folder / STATE / "artifacts" / safe
