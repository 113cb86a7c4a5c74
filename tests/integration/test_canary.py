"""A canary from its delivery to all requests, and back, by the commands and over a real git server."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.model import ManifestUpdate
from tests.support.git_server import Repository
from tests.support.project import Project

CreateRepository = Callable[[Path | None], Repository]
CONFIGURATION = """\
image: tiny
model: {{source: model}}
test: {{command: python3 check.py, junit: .pipeline/junit.xml}}
skip: {{scan: looked into elsewhere, benchmark: measured elsewhere}}
registries: ["{registry}/{name}"]
policies: [{{rule: suite}}]
update:
  repository: {gitops}
  targets:
    - {{path: apps/kserve.yaml, strategy: {{canary_percent: 10}}}}
    - {{path: apps/seldon.yaml, strategy: {{canary_percent: 10}}}}
environments:
  rollouts:
    update: {{targets: [{{path: apps/rollout.yaml}}]}}
"""
KSERVE = """\
apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata: {{name: tiny}}
spec:
  predictor:
    canaryTrafficPercent: 100  # by the pipeline
    containers:
      - name: kserve-container
        image: {image}:none-yet
"""
SELDON = """\
apiVersion: machinelearning.seldon.io/v1
kind: SeldonDeployment
metadata: {{name: tiny}}
spec:
  predictors:
    - name: main
      traffic: 100
      componentSpecs: [{{spec: {{containers: [{{name: tiny, image: "{image}:none-yet"}}]}}}}]
      graph: {{name: tiny}}
    - name: canary
      traffic: 0
      componentSpecs: [{{spec: {{containers: [{{name: tiny, image: "{image}:none-yet"}}]}}}}]
      graph: {{name: tiny}}
"""
ROLLOUT = """\
apiVersion: argoproj.io/v1alpha1
kind: Rollout
metadata: {{name: tiny}}
spec:
  strategy: {{canary: {{steps: [{{setWeight: 10}}, {{pause: {{}}}}]}}}}
  template: {{spec: {{containers: [{{name: tiny, image: "{image}:none-yet"}}]}}}}
"""


@pytest.fixture
def canary(project: Project, create_repository: CreateRepository, tmp_path: Path) -> Project:
    """A project whose image goes to a part of the requests first."""
    content = tmp_path / "canary"
    (content / "apps").mkdir(parents=True)
    image = f"{project.registry.address}/{project.name}/tiny"
    for name, text in (("kserve", KSERVE), ("seldon", SELDON), ("rollout", ROLLOUT)):
        (content / "apps" / f"{name}.yaml").write_text(text.format(image=image))
    (content / "apps" / "kustomization.yaml").write_text(
        "resources: [kserve.yaml, seldon.yaml, rollout.yaml]\n"
    )
    gitops = create_repository(content)
    for name in ("PIPELINE_REGISTRIES", "PIPELINE_UPDATE__REPOSITORY"):
        del project.environment[name]
    made = Project(project.folder, project.name, project.registry, gitops, project.environment)
    text = CONFIGURATION.format(registry=project.registry.address, name=project.name, gitops=gitops.url)
    made.write("pipeline.yaml", text)
    return made


def succeeded(project: Project, *arguments: str) -> subprocess.CompletedProcess[str]:
    done = project.pipeline(*arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def refused(project: Project, *arguments: str) -> str:
    """Return what a command says that is refused as an edit, and see that it changed nothing."""
    before = project.gitops.head()
    done = project.pipeline(*arguments)
    assert done.returncode == 8, done.stdout + done.stderr
    assert project.gitops.head() == before
    return done.stdout + done.stderr


def lines(project: Project, name: str, *keys: str) -> list[str]:
    """Return what a manifest says of these keys."""
    text = project.gitops.read(f"apps/{name}.yaml")
    return [line.strip() for line in text.splitlines() if any(f"{key}:" in line for key in keys)]


def made_by(project: Project) -> ManifestUpdate:
    (found,) = (made for made in project.record().made() if isinstance(made, ManifestUpdate))
    return found


def change_code(project: Project) -> None:
    project.write("serve.py", (project.folder / "serve.py").read_text() + "\n# changed\n")


def percent(project: Project) -> str:
    (line,) = lines(project, "kserve", "canaryTrafficPercent")
    return line


def test_a_canary_gets_a_tenth_then_half_then_all_and_nothing_after_a_rollback(canary: Project) -> None:
    succeeded(canary, "run")  # nothing is there yet that could get the rest
    (begin,) = lines(canary, "kserve", "image")
    assert "@sha256:" in begin
    assert percent(canary) == "canaryTrafficPercent: 100  # by the pipeline"
    assert lines(canary, "seldon", "traffic") == ["traffic: 100", "traffic: 0"]

    change_code(canary)
    succeeded(canary, "run")
    (first,) = lines(canary, "kserve", "image")
    assert percent(canary) == "canaryTrafficPercent: 10  # by the pipeline"
    assert lines(canary, "seldon", "traffic") == ["traffic: 90", "traffic: 10"]
    tag = begin.partition("tiny:")[2]
    assert [tag in line for line in lines(canary, "seldon", "image")] == [True, False]

    shown = succeeded(canary, "promote", "--percent", "50", "--dry-run")
    assert "dry run: nothing was pushed" in shown.stdout
    assert lines(canary, "seldon", "traffic") == ["traffic: 90", "traffic: 10"]
    succeeded(canary, "promote", "--percent", "50")
    assert percent(canary) == "canaryTrafficPercent: 50  # by the pipeline"
    assert lines(canary, "seldon", "traffic") == ["traffic: 50", "traffic: 50"]
    message = canary.gitops.git("log", "-1", "--format=%B")
    assert "Canary-Percent: 50" in message
    assert "Occasion: promotion" in message
    assert (made_by(canary).status, [each.name for each in canary.record().stages]) == (
        "committed",
        ["promote"],
    )
    assert lines(canary, "kserve", "image") == [first]

    succeeded(canary, "run")  # the same build once more: how far it has come stays
    assert (made_by(canary).status, percent(canary)[:25]) == ("unchanged", "canaryTrafficPercent: 50 ")

    succeeded(canary, "promote", "--percent", "100", "--target", "apps/kserve.yaml")
    assert percent(canary) == "canaryTrafficPercent: 100  # by the pipeline"
    assert lines(canary, "seldon", "traffic") == ["traffic: 50", "traffic: 50"]
    succeeded(canary, "promote", "--percent", "100")
    assert lines(canary, "seldon", "traffic") == ["traffic: 100", "traffic: 0"]
    assert len({line.partition("image: ")[2] for line in lines(canary, "seldon", "image")}) == 1
    succeeded(canary, "promote", "--percent", "100")
    assert made_by(canary).status == "unchanged"
    assert "no canary under way" in refused(canary, "promote", "--percent", "20")

    change_code(canary)
    succeeded(canary, "run")
    assert percent(canary) == "canaryTrafficPercent: 10  # by the pipeline"
    assert lines(canary, "kserve", "image") != [first]
    change_code(canary)
    succeeded(canary, "run")  # while the other one is under way
    assert lines(canary, "seldon", "traffic") == ["traffic: 90", "traffic: 10"]
    tag = first.partition("tiny:")[2]
    assert [tag in line for line in lines(canary, "seldon", "image")] == [True, False]

    succeeded(canary, "rollback", "--to", f"sha256:{first.partition('@sha256:')[2]}")
    assert lines(canary, "kserve", "image") == [first]
    assert percent(canary) == "canaryTrafficPercent: 0  # by the pipeline"
    assert lines(canary, "seldon", "traffic") == ["traffic: 100", "traffic: 0"]
    assert all(tag in line for line in lines(canary, "seldon", "image"))


def test_only_what_this_pipeline_delivered_gets_more_requests(canary: Project, tmp_path: Path) -> None:
    assert "stands there without a digest" in refused(canary, "promote", "--percent", "50")
    succeeded(canary, "run")
    assert "cannot send 150 % of the requests" in refused(canary, "promote", "--percent", "150")
    unknown = canary.pipeline("promote", "--percent", "50", "--target", "apps/other.yaml")
    assert unknown.returncode == 2
    assert "there is no such target" in unknown.stdout + unknown.stderr

    said = lines(canary, "kserve", "image")[0].partition("image: ")[2]
    other = said.replace(said.partition("@sha256:")[2], "1" * 64)
    text = canary.gitops.read("apps/kserve.yaml")
    (tmp_path / "canary" / "apps" / "kserve.yaml").write_text(text.replace(said, other))
    canary.gitops.commit(tmp_path / "canary", "by hand")
    said = refused(canary, "promote", "--percent", "50", "--target", "apps/kserve.yaml")
    assert "somebody else wrote" in said


def test_a_rollout_goes_by_its_own_steps(canary: Project) -> None:
    succeeded(canary, "run", "-e", "rollouts")
    said = refused(canary, "promote", "--percent", "50", "-e", "rollouts")
    assert "goes by the steps that it names itself" in said
    strategy = "update.targets=[{path: apps/rollout.yaml, strategy: {canary_percent: 10}}]"
    change_code(canary)
    assert "goes by the steps that it names itself" in refused(canary, "run", "--set", strategy)
