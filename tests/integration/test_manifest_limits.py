"""The limits of a benchmark from the manifests of a delivery: folder, repository, kustomization."""

from pathlib import Path
from typing import Any

import pytest

from pipeline.desk import Desk
from pipeline.errors import ConfigurationError
from pipeline.reference import Repository
from stages.gitops.destination import Destination
from stages.gitops.limits import ManifestLimits
from stages.gitops.repository import Author
from stages.manifests.interface import Target
from stages.servers.limits import Limits
from tests.support.git_server import run_git

pytestmark = pytest.mark.integration

IMAGE = "registry.example/team/model"
DEPLOYMENT = f"""\
apiVersion: apps/v1
kind: Deployment
metadata: {{name: model}}
spec:
  template:
    spec:
      containers:
        - name: proxy
          image: registry.example/proxy:1
          resources: {{limits: {{memory: 64Mi, cpu: 100m}}}}
        - name: server
          image: {IMAGE}:v1
          resources:
            requests: {{memory: 256Mi, cpu: 500m}}
            limits: {{memory: 1Gi}}
"""
VALUES = f"image: {{repository: {IMAGE}, tag: v1}}\nresources: {{limits: {{cpu: 2, memory: 2G}}}}\n"
KUSTOMIZATION = f"""\
resources: [deployment.yaml]
images: [{{name: {IMAGE}, newTag: v1}}]
patches:
  - target: {{kind: Deployment}}
    patch: |-
      - op: replace
        path: /spec/template/spec/containers/1/resources/limits/memory
        value: 3Gi
"""


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    (tmp_path / "desk").mkdir()
    return Desk(folder=tmp_path / "desk", cache=tmp_path / "cache")


def limits(root: Path, desk: Desk, path: str, repository: str | None = None, **hints: Any) -> Limits:
    destination = Destination(
        image=IMAGE,
        repositories=(Repository(IMAGE),),
        repository=repository,
        branch="main",
        targets=(Target(path=path, **hints),),
        author=Author(name="Tests", email="tests@example.org"),
    )
    read = ManifestLimits(destination=destination, root=root)
    found = read(desk)
    assert read.known is found
    return found


def test_a_deployment_states_its_limits_and_its_share_of_the_processors(tmp_path: Path, desk: Desk) -> None:
    (tmp_path / "deployment.yaml").write_text(DEPLOYMENT)
    found = limits(tmp_path, desk, "deployment.yaml")
    assert (found.memory_bytes, found.cpus) == (1024**3, 0.5)
    assert found.found == "memory limit 1Gi, cpu request 500m of deployment.yaml"


@pytest.mark.parametrize("here", [True, False])
def test_gpus_are_taken_where_their_tools_are(
    tmp_path: Path, desk: Desk, monkeypatch: pytest.MonkeyPatch, here: bool
) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    if here:
        (programs / "nvidia-smi").write_text("#!/bin/sh\n")
        (programs / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", str(programs))
    stated = DEPLOYMENT.replace("limits: {memory: 1Gi}", "limits: {memory: 1Gi, nvidia.com/gpu: 1}")
    (tmp_path / "deployment.yaml").write_text(stated)
    found = limits(tmp_path, desk, "deployment.yaml")
    assert (found.memory_bytes, found.gpus) == (1024**3, "1" if here else None)
    assert f"nvidia.com/gpu 1{'' if here else ' (there is none here)'} of deployment.yaml" in found.found


def test_values_of_a_chart_without_its_templates(tmp_path: Path, desk: Desk) -> None:
    (tmp_path / "values.yaml").write_text(VALUES)
    found = limits(tmp_path, desk, "values.yaml")
    assert (found.memory_bytes, found.cpus) == (2_000_000_000, 2)


@pytest.mark.usefixtures("kubectl")
def test_the_patches_of_a_kustomization_count_and_a_repository_is_fetched(tmp_path: Path, desk: Desk) -> None:
    work = tmp_path / "gitops"
    work.mkdir()
    (work / "deployment.yaml").write_text(DEPLOYMENT)
    (work / "kustomization.yaml").write_text(KUSTOMIZATION)
    run_git("init", "--quiet", "--initial-branch", "main", str(work))
    run_git("-C", str(work), "add", ".")
    run_git("-C", str(work), *IDENTITY, "commit", "--quiet", "--message", "first")
    found = limits(tmp_path, desk, "kustomization.yaml", repository=str(work))
    assert (found.memory_bytes, found.cpus) == (3 * 1024**3, 0.5)
    assert "as rendered" in found.found


IDENTITY = ("-c", "user.name=Tests", "-c", "user.email=tests@example.org")


def test_a_manifest_without_limits_is_named(tmp_path: Path, desk: Desk) -> None:
    (tmp_path / "deployment.yaml").write_text(DEPLOYMENT.partition("          resources:\n")[0])
    with pytest.raises(ConfigurationError, match="state no resources beside the image") as raised:
        limits(tmp_path, desk, "deployment.yaml")
    assert "benchmark.memory_limit" in raised.value.advice


def stated(memory: str, *, before: str = "", name: str = "model") -> str:
    """Return a deployment, whose init container of the same image has limits of its own."""
    server = f"- {{name: server, image: '{IMAGE}:v1', resources: {{limits: {{memory: {memory}}}}}}}"
    init = f"- {{name: warm, image: '{IMAGE}:v1', resources: {{limits: {{memory: {before}}}}}}}"
    return (
        f"apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}}}\n"
        "spec:\n  template:\n    spec:\n"
        + (f"      initContainers:\n        {init}\n" if before else "")
        + f"      containers:\n        {server}\n"
    )


def test_what_only_prepares_the_pod_has_no_say(tmp_path: Path, desk: Desk) -> None:
    (tmp_path / "deployment.yaml").write_text(stated("2Gi", before="64Mi"))
    assert limits(tmp_path, desk, "deployment.yaml").memory_bytes == 2 * 1024**3
    assert limits(tmp_path, desk, "deployment.yaml", container="warm").memory_bytes == 64 * 1024**2


def test_the_limits_are_those_of_the_resource_that_the_target_names(tmp_path: Path, desk: Desk) -> None:
    several = (stated("512Mi", name="staging"), stated("2Gi", name="production"))
    (tmp_path / "all.yaml").write_text("---\n".join(several))
    assert limits(tmp_path, desk, "all.yaml", name="production").memory_bytes == 2 * 1024**3
    assert limits(tmp_path, desk, "all.yaml", kind="Deployment", name="staging").memory_bytes == 512 * 1024**2


def test_what_could_not_be_rendered_is_told(
    tmp_path: Path, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "deployment.yaml").write_text(DEPLOYMENT)
    (tmp_path / "kustomization.yaml").write_text(KUSTOMIZATION)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigurationError, match="Kustomize is not on this machine, so it was read"):
        limits(tmp_path, desk, "kustomization.yaml")


def test_a_limit_of_nothing_is_none(tmp_path: Path, desk: Desk) -> None:
    (tmp_path / "deployment.yaml").write_text(stated("0").replace("memory: 0", "memory: 1Gi, cpu: 0"))
    found = limits(tmp_path, desk, "deployment.yaml")
    assert (found.memory_bytes, found.cpus) == (1024**3, None)
