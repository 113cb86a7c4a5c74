"""A model's repository as a user has it, delivered by the pipeline's own command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import requests

from pipeline.record import Record, Runs, read_record
from tests.support.git_server import Repository, run_git
from tests.support.registry import Registry

TINY = Path(__file__).parents[1] / "data" / "tiny"


@dataclass(frozen=True)
class Project:
    """A model's repository, and everything that its delivery talks to."""

    folder: Path
    name: str
    registry: Registry
    gitops: Repository
    environment: dict[str, str]

    def pipeline(self, *arguments: str, prefix: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        command = [*prefix, sys.executable, "-I", "-m", "pipeline", *arguments]
        environment = {**os.environ, **self.environment}
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
        )
        assert "Traceback" not in done.stdout + done.stderr
        lines = (done.stdout + done.stderr).splitlines()
        said = [line for line in lines if not line.startswith("::add-mask::")]  # GitHub never shows these
        for secret in (self.registry.password, self.environment["GITOPS_PASSWORD"]):
            assert secret not in "\n".join(said)
        return done

    def passes(self, *arguments: str) -> None:
        """Run a command that has to succeed; if it does not, everything that it said is shown."""
        done = self.pipeline(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr

    def record(self) -> Record:
        runs = Runs(self.folder)
        return read_record(runs.path(runs.names()[0]))

    def set(self, **values: object) -> None:
        """Write settings into the environment, as CI does: `update__branch=...`."""
        for key, value in values.items():
            self.environment[f"PIPELINE_{key.upper()}"] = (
                value if isinstance(value, str) else json.dumps(value)
            )

    def write(self, path: str, text: str) -> None:
        (self.folder / path).write_text(text)
        self.commit()

    def commit(self) -> None:
        run_git("-C", str(self.folder), "add", "--all")
        run_git("-C", str(self.folder), "commit", "--quiet", "--message", "change")

    def tags(self) -> list[str]:
        with self.registry.session() as session:
            answer = session.get(self.registry.url(f"{self.name}/tiny/tags/list"), timeout=10)
        return answer.json().get("tags") or []

    def containers(self) -> str:
        """Return the containers that the newest run has made and not removed."""
        return docker(
            "ps", "--all", "--quiet", "--filter", f"label=model-image-pipeline.run={self.record().run}"
        )


def docker(*arguments: str) -> str:
    return subprocess.run(["docker", *arguments], check=True, capture_output=True, text=True).stdout.strip()


def remote_digest(skopeo: str, project: Project, reference: str) -> str:
    credentials = f"{project.registry.username}:{project.registry.password}"
    command = [skopeo, "inspect", "--tls-verify=false", "--creds", credentials, "--format={{.Digest}}"]
    done = subprocess.run([*command, f"docker://{reference}"], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def answers_half(reference: str, *options: str) -> bool:
    """Run the tiny application as a cluster does, and tell whether its server halves eight."""
    container = docker("run", "--detach", "--rm", "--publish", "127.0.0.1::8080", *options, reference)
    try:
        address = docker("port", container, "8080").splitlines()[0]
        body = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 1], "data": [8.0]}]}
        for _ in range(100):
            try:
                answer = requests.post(f"http://{address}/v2/models/tiny/infer", json=body, timeout=5)
            except requests.ConnectionError:
                time.sleep(0.1)
                continue
            return bool(answer.json()["outputs"][0]["data"] == [4.0])
        return False
    finally:
        docker("rm", "--force", container)
