"""The example, delivered for real: the digest is in the registry, in the manifest, and it answers."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.artifacts import Artifacts
from pipeline.model import BenchmarkReport, BuiltImage, ManifestUpdate, PushedImage, ScanReport, SuiteReport
from pipeline.record import Record
from pipeline.reference import Repository
from tests.support.example import EXAMPLE, UNHURRIED, gitops_tree, rendered
from tests.support.git_server import GitServer
from tests.support.git_server import Repository as ServedRepository
from tests.support.registry import Registry

CreateRepository = Callable[[Path | None], ServedRepository]


@pytest.mark.timeout(900)
def test_the_example_is_delivered_and_answers(  # noqa: PLR0913, PLR0917 - the real parts
    prepared_example: Path,
    base_image: str,
    registry: Registry,
    repository_name: str,
    vulnerability_database: str,
    git_server: GitServer,
    create_repository: CreateRepository,
    docker_login: Path,
    skopeo: str,
    kubectl: str,
    tmp_path: Path,
) -> None:
    repository = Repository(f"{registry.address}/{repository_name}/digits")
    gitops = create_repository(gitops_tree(tmp_path, repository))
    environment = {
        **UNHURRIED,
        "PIPELINE_REGISTRIES": f"{registry.address}/{repository_name}",
        "PIPELINE_SCAN__DATABASE__REPOSITORIES": vulnerability_database,
        "PIPELINE_UPDATE__REPOSITORY": gitops.url,
        "REGISTRY_USERNAME": registry.username,
        "REGISTRY_PASSWORD": registry.password,
        "GITOPS_USERNAME": git_server.username,
        "GITOPS_PASSWORD": git_server.password,
    }
    command = [sys.executable, "-I", "-m", "pipeline", "run", "--json", "--no-reuse"]
    done = subprocess.run(
        command,
        cwd=prepared_example,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    made = Artifacts(*Record.model_validate_json(done.stdout).made())
    built = made[BuiltImage]

    counts = made[SuiteReport].counts
    assert counts is not None
    assert counts.passed == counts.total > 10
    assert built.model_layers[0].path == "/models/digits"
    assert {"CVE-2025-62727"} <= {found.id for found in made[ScanReport].vulnerabilities}
    assert (made[BenchmarkReport].errors, made[BenchmarkReport].invalid) == (0, ())
    assert made[PushedImage].digest == built.digest
    assert remote_digest(skopeo, f"{repository}:{built.tag}") == built.digest
    assert made[ManifestUpdate].commit == gitops.head()
    assert f"image: {repository}:{built.tag}@{built.digest}" in rendered(kubectl, gitops, tmp_path)
    assert answer_of(f"{repository}@{built.digest}") == 7


def remote_digest(skopeo: str, reference: str) -> str:
    command = [skopeo, "inspect", "--tls-verify=false", "--format={{.Digest}}", f"docker://{reference}"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def answer_of(reference: str) -> int:
    """Pull the image, start it as a cluster does, and return the class that it sees in the request."""
    container = docker("run", "--detach", "--rm", "--read-only", "--publish", "127.0.0.1::8080", reference)
    try:
        server = f"http://{docker('port', container, '8080/tcp').splitlines()[0]}"
        for _ in range(200):
            client = [sys.executable, str(EXAMPLE / "client.py"), server]
            done = subprocess.run(client, capture_output=True, text=True, check=False)
            if done.returncode == 0:
                return int(done.stdout.split(",")[0].removeprefix("class "))
            time.sleep(0.3)
        raise AssertionError(docker("logs", container))
    finally:
        docker("rm", "--force", container)


def docker(*arguments: str) -> str:
    return subprocess.run(["docker", *arguments], check=True, capture_output=True, text=True).stdout.strip()
