"""GitHub's workflows on this machine, run by act, and what the runner made of them."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from tests.support.commands import cache_folder
from tests.support.git_server import run_git

ROOT = Path(__file__).parents[2]
STAND_INS = ROOT / "tests" / "data" / "actions"
ACTION_FILES = ("action.yml", "pyproject.toml", "requirements-all.txt", "README.md", "LICENSE")
ACTION_FOLDERS = ("pipeline", "stages", "policies", ".github")
_USES = re.compile(r"uses: (actions/([\w-]+)@\S+)")
_NOT_CODE = shutil.ignore_patterns("__pycache__", "ci.yml")


def copy_action(folder: Path) -> None:
    """Put what the action consists of into a folder, as a checkout of it would."""
    for name in ACTION_FILES:
        shutil.copy2(ROOT / name, folder / name)
    for name in ACTION_FOLDERS:
        shutil.copytree(ROOT / name, folder / name, ignore=_NOT_CODE, dirs_exist_ok=True)


def workspace(folder: Path, workflow: str) -> Path:
    """Make what a user's repository is with the action in it."""
    folder.mkdir(parents=True, exist_ok=True)
    copy_action(folder)
    (folder / ".github/workflows/test.yml").write_text(workflow)
    (folder / ".gitignore").write_text(
        ".pipeline/\n/model/.venv\n/model/wheels/\n/model/model/*.safetensors\n"
    )
    return folder


def without_logins(folder: Path, config: Path) -> Path:
    """Return a docker configuration as a fork's job has it."""
    fresh = folder / "docker"
    fresh.mkdir()
    if (config / "cli-plugins").is_dir():
        (fresh / "cli-plugins").symlink_to(config / "cli-plugins")
    return fresh


def commit_all(folder: Path, *, branch: str = "main", message: str = "change") -> str:
    """Make a repository of a folder, with one commit; return it."""
    run_git("init", "--quiet", f"--initial-branch={branch}", str(folder))
    run_git("-C", str(folder), "add", "--all")
    run_git("-C", str(folder), "commit", "--quiet", "--message", message)
    return run_git("-C", str(folder), "rev-parse", "HEAD").strip()


@dataclass(frozen=True)
class Log:
    """What act said, event by event."""

    text: str
    succeeded: bool
    events: tuple[Mapping[str, Any], ...] = field(repr=False)

    def of(
        self, step: str, command: str | None = None, job: str | None = None
    ) -> Iterator[Mapping[str, Any]]:
        """Yield the events of a step of the workflow, and of the steps inside it."""
        for event in self.events:
            inside = event.get("stepID") or [""]
            if (
                inside[0] == step
                and command in {None, event.get("command")}
                and job in {None, event.get("job")}
            ):
                yield event

    def printed(self, step: str, job: str | None = None) -> str:
        """Return what a step printed, masked as the runner masks it, without commands and colours."""
        lines = (event["msg"] for event in self.of(step, job=job) if event.get("raw_output"))
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", "".join(lines))

    def outputs(self, step: str, job: str | None = None) -> dict[str, str]:
        """Return the outputs of a step of the workflow."""
        found = self.of(step, "set-output", job)
        return {event["name"]: event["arg"] for event in found if event["stepID"] == [step]}

    def annotations(self, step: str) -> list[tuple[str, str]]:
        """Return level and message of what is shown beside files and on the job's page."""
        return [(level, event["arg"]) for level in ("error", "warning") for event in self.of(step, level)]

    def summary(self, step: str) -> str:
        """Return what a step wrote for the job's page."""
        return "".join(dict.fromkeys(event["content"] for event in self.of(step, "summary")))

    def result(self, step: str, job: str | None = None) -> str:
        """Return how a step ended, before `continue-on-error` was looked at."""
        ends = [one for one in self.of(step, job=job) if "stepResult" in one and one["stage"] == "Main"]
        return str(ends[-1]["stepResult"])

    @cached_property
    def jobs(self) -> dict[str, str]:
        """How each job ended, by the name that act gives it."""
        return {event["job"]: event["jobResult"] for event in self.events if "jobResult" in event}


def run_workflow(  # noqa: PLR0913 - each of them is plain at the call
    folder: Path,
    *,
    scratch: Path,
    workflow: str,
    event: str = "push",
    payload: Mapping[str, object] | None = None,
    secrets: Mapping[str, str] | None = None,
    environment: Mapping[str, str] | None = None,
    checkout: bool = False,
) -> Log:
    """Run a workflow for an event; without `checkout` the repository is in the workspace from the start."""
    scratch.mkdir(parents=True, exist_ok=True)
    files = {
        "secrets": "".join(f"{name}={json.dumps(value)}\n" for name, value in (secrets or {}).items()),
        "environment": "".join(
            f"{name}={json.dumps(value)}\n" for name, value in (environment or {}).items()
        ),
        "event": json.dumps(payload or {}),
    }
    for name, text in files.items():
        (scratch / name).write_text(text)
    command = [
        str(Path(sys.executable).with_name("act")),
        *(event, "--json", "--platform", "ubuntu-latest=-self-hosted"),
        *("--platform", "ubuntu-24.04=-self-hosted"),
        *("--action-offline-mode", "--pull=false", "--no-cache-server", "--use-gitignore=false"),
        *("--workflows", str(folder / ".github/workflows" / workflow)),
        *("--action-cache-path", str(cache_folder() / "act"), "--eventpath", str(scratch / "event")),
        *("--secret-file", str(scratch / "secrets"), "--env-file", str(scratch / "environment")),
        *(["--no-skip-checkout"] if checkout else []),
        *_local_repositories(folder),
    ]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=540)
    (scratch / "log").write_text(done.stdout + done.stderr)
    events = tuple(json.loads(line) for line in done.stdout.splitlines() if line.startswith("{"))
    return Log(done.stdout + done.stderr, done.returncode == 0, events)


def _local_repositories(folder: Path) -> list[str]:
    """Return the stand-ins of every action that the repository's workflows and its action name."""
    texts = [path.read_text() for path in (folder / ".github" / "workflows").glob("*.yml")]
    if (own := folder / "action.yml").is_file():
        texts.append(own.read_text())
    found = {use: name for text in texts for use, name in _USES.findall(text)}
    return [f"--local-repository={use}={STAND_INS / name}" for use, name in sorted(found.items())]
