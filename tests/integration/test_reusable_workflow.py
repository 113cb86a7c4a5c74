"""The reusable workflow, run by a runner: a repository of models is delivered, promoted and checked."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.support.act import Log, commit_all, run_workflow, without_logins, workspace
from tests.support.git_server import Repository as ServedRepository
from tests.support.git_server import run_git
from tests.support.project import Project

CreateRepository = Callable[[Path | None], ServedRepository]
pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]

CALLING = """\
on: [push, pull_request]
permissions: {contents: read}
jobs:
  models:
    permissions: {contents: read, id-token: write, packages: write, pull-requests: write}
    uses: ./.github/workflows/deliver.yml
    with: WITH
    secrets:
      REGISTRY_USERNAME: ${{ secrets.USERNAME }}
      REGISTRY_PASSWORD: ${{ secrets.PASSWORD }}
      GITOPS_USERNAME: ${{ secrets.GIT_USERNAME }}
      GITOPS_PASSWORD: ${{ secrets.GIT_PASSWORD }}
"""
SECRETS = {
    "USERNAME": "REGISTRY_USERNAME",
    "PASSWORD": "REGISTRY_PASSWORD",
    "GIT_USERNAME": "GITOPS_USERNAME",
    "GIT_PASSWORD": "GITOPS_PASSWORD",
}
ENVIRONMENTS = """\
skip: {benchmark: measured elsewhere}
environments:
  dev: {registries: [REGISTRY/dev], update: {targets: [{path: apps/dev/NAME}]}}
  prod: {registries: [REGISTRY/prod], update: {targets: [{path: apps/prod/NAME}]}}
"""
KUSTOMIZATION = """\
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
images: [{name: IMAGE, newTag: none-yet}]
"""


@dataclass(frozen=True)
class Monorepo:
    """Two repositories, of the models and of the workflow that they call, and what a job of theirs gets."""

    sources: Path
    secrets: dict[str, str]
    environment: dict[str, str]

    @property
    def models(self) -> Path:
        return self.sources / "caller"

    def run(self, called_with: str, event: str = "push", payload: dict[str, object] | None = None) -> Log:
        called = workspace(self.sources / "called", CALLING.replace("WITH", called_with))
        commit_all(called)
        return run_workflow(
            called,
            scratch=self.sources.parent / "runner",
            workflow="test.yml",
            event=event,
            payload=payload,
            secrets=self.secrets,
            environment=self.environment,
            checkout=True,
        )


@pytest.fixture
def monorepo(project: Project, tmp_path: Path) -> Monorepo:
    """Two models without manifests yet; no password is in the environment."""
    sources = tmp_path / "sources"
    for name in ("tiny", "second"):
        folder = sources / "caller" / name
        shutil.copytree(project.folder, folder, ignore=shutil.ignore_patterns(".git"))
        text = (folder / "pipeline.yaml").read_text().partition("update:")[0]
        path = text.replace("{source: model}", "{source: model, path: /models/tiny}")
        (folder / "pipeline.yaml").write_text(path.replace("image: tiny", f"image: {name}"))
    (sources / "caller" / ".gitignore").write_text(".pipeline/\n")
    commit_all(sources / "caller")
    secrets = {name: project.environment.pop(there) for name, there in SECRETS.items()}
    environment = {**project.environment, "STAND_IN_SOURCES": str(sources)}
    del environment["PIPELINE_UPDATE__REPOSITORY"]
    return Monorepo(sources, secrets, environment)


def test_the_reusable_workflow_delivers_each_model_of_a_repository(monorepo: Monorepo) -> None:
    prepare = "test -f pipeline.yaml && echo made: $PWD"
    log = monorepo.run(f'{{set: "test.timeout_s=60", prepare: "{prepare}"}}')
    assert log.succeeded, log.text
    delivered = {job: log.outputs("deliver", job) for job in log.jobs if "/deliver/deliver " in job}
    assert [outputs["verdict"] for outputs in delivered.values()] == ["passed", "passed"]
    assert len({outputs["image"] for outputs in delivered.values()}) == 2
    assert set(re.findall(r"made: \S+/source/(\w+)", log.text)) == {"tiny", "second"}
    assert set(log.jobs.values()) == {"success"}


def test_the_reusable_workflow_promotes_what_it_delivered(
    project: Project, monorepo: Monorepo, create_repository: CreateRepository, tmp_path: Path
) -> None:
    content, place = tmp_path / "environments", f"{project.registry.address}/{project.name}"
    for name in ("tiny", "second"):
        text = ENVIRONMENTS.replace("NAME", name).replace("REGISTRY", place)
        with (monorepo.models / name / "pipeline.yaml").open("a") as stream:
            stream.write(text)
        for environment in ("dev", "prod"):
            folder = content / "apps" / environment / name
            folder.mkdir(parents=True)
            image = f"{place}/{environment}/{name}"
            (folder / "kustomization.yaml").write_text(KUSTOMIZATION.replace("IMAGE", image))
    commit_all(monorepo.models)
    gitops = create_repository(content)
    del monorepo.environment["PIPELINE_REGISTRIES"]

    log = monorepo.run(f'{{environment: dev, promote-to: prod, set: "update.repository={gitops.url}"}}')

    assert log.succeeded, log.text
    assert len([job for job in log.jobs if "/deliver/promote " in job]) == 2
    for name in ("tiny", "second"):
        stands = [
            yaml.safe_load(gitops.read(f"apps/{environment}/{name}/kustomization.yaml"))["images"][0]
            for environment in ("dev", "prod")
        ]
        (delivered,) = [log.outputs("deliver", job) for job in log.jobs if f"/deliver {name}-" in job]
        assert [one["digest"] for one in stands] == [delivered["digest"]] * 2
        (promoted,) = [log.outputs("promote", job) for job in log.jobs if f"/promote {name}-" in job]
        assert promoted["verdict"] == "passed"
        assert "Promoted-From: dev" in gitops.git("log", "-1", "--format=%B", promoted["commit"])


def test_the_reusable_workflow_checks_the_models_of_a_pull_request_without_any_secret(
    project: Project, monorepo: Monorepo, docker_config: Path, tmp_path: Path
) -> None:
    run_git("-C", str(monorepo.models), "switch", "--quiet", "--create", "topic")
    with (monorepo.models / "second" / "serve.py").open("a") as stream:
        stream.write("\n# changed\n")
    commit_all(monorepo.models, branch="topic")
    monorepo.environment["DOCKER_CONFIG"] = str(without_logins(tmp_path, docker_config))
    repository = {"repo": {"full_name": "team/models"}}
    request = {"number": 7, "head": {"ref": "topic", **repository}, "base": {"ref": "main", **repository}}

    log = monorepo.run("{}", event="pull_request", payload={"pull_request": request})

    assert log.succeeded, log.text
    (job,) = [job for job in log.jobs if "/check " in job]
    assert "/check second" in job
    assert log.outputs("check", job)["verdict"] == "incomplete"
    assert not [job for job in log.jobs if "/deliver " in job or "/promote " in job]
    assert project.tags() == []
    for name in ("PASSWORD", "GIT_PASSWORD"):
        assert monorepo.secrets[name] not in log.text
