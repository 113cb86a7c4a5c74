"""GitLab's component as users include it: each shape runs for real, and GitLab can read what it writes."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from pipeline import PROJECT
from pipeline.init_forms import PLACEHOLDER
from pipeline.record import Record
from tests.support import cosign
from tests.support.git_server import run_git
from tests.support.gitlab_ci_local import STATE, add_origin, artefacts, ensure_gitlab_ci_local, run_pipeline
from tests.support.project import Project

TOP = Path(__file__).parents[2]
SCHEMAS = TOP / "tests" / "data" / "gitlab"
COMMAND = f"{sys.executable} -I -m pipeline"
MERGE_REQUEST = {
    "CI_PIPELINE_SOURCE": "merge_request_event",
    "CI_MERGE_REQUEST_IID": "7",
    "CI_MERGE_REQUEST_PROJECT_ID": "1",
    "CI_MERGE_REQUEST_SOURCE_PROJECT_ID": "1",
}
STAGES = f"""\
include:
  - local: templates/deliver.yml
    inputs: {{shape: job-per-stage, engine: socket, command: {COMMAND}}}
"""
ONE_JOB = f"""\
include:
  - component: $CI_SERVER_FQDN/acme/tiny/deliver@$CI_COMMIT_SHA
    inputs: {{engine: socket, source: {TOP}, extras: ""}}
"""
MONOREPO = f"""\
stages: [test, deploy]
changed:
  stage: test
  script: ["{COMMAND} matrix --gitlab --template /.gitlab/deliver.yml --base HEAD~1 > child.yml"]
  artifacts: {{paths: [child.yml]}}
deliver:
  stage: deploy
  needs: [changed]
  trigger:
    include: [{{artifact: child.yml, job: changed}}]
    strategy: depend
"""
WRAPPER = f"""\
spec:
  inputs:
    working-directory: {{default: .}}
    name: {{default: deliver}}
---
include:
  - local: templates/deliver.yml
    inputs:
      working-directory: $[[ inputs.working-directory ]]
      name: $[[ inputs.name ]]
      engine: socket
      command: {COMMAND}
      flags: --until test
"""


@pytest.fixture(scope="module")
def gitlab_ci_local() -> Path:
    return ensure_gitlab_ci_local()


def include(project: Project, text: str) -> None:
    """Give the project a .gitlab-ci.yml, and the component as it stands in this repository."""
    (project.folder / "templates").mkdir()
    shutil.copy(TOP / "templates" / "deliver.yml", project.folder / "templates")
    (project.folder / ".gitignore").write_text(f"/{STATE}\n/.gitlab-ci-reports\n")  # this program's own
    project.write(".gitlab-ci.yml", text)
    add_origin(project.folder)


def run(
    program: Path, project: Project, *arguments: str, **variables: str
) -> subprocess.CompletedProcess[str]:
    done = run_pipeline(program, project.folder, {**project.environment, **variables}, *arguments)
    for secret in (project.registry.password, project.environment["GITOPS_PASSWORD"]):
        assert secret not in done.stdout + done.stderr
    return done


def require_valid(folder: Path) -> dict[str, str]:
    """Compare the reports of a job with GitLab's formats, and return its outputs."""
    for name, schema in (
        ("gl-container-scanning-report.json", "container-scanning"),
        ("gl-code-quality-report.json", "code-quality"),
    ):
        text = (folder / name).read_text()
        jsonschema.validate(json.loads(text), json.loads((SCHEMAS / f"{schema}.schema.json").read_text()))
    assert (folder / "metrics.txt").read_text().endswith("# EOF\n")
    told = (line.split("=", 1) for line in (folder / "outputs.env").read_text().splitlines())
    return dict(told)


def require_tests(folder: Path) -> None:
    assert '<testcase classname="check" name="parses"' in (folder / "junit.xml").read_text()


@pytest.mark.timeout(600)
@pytest.mark.long
def test_a_job_for_each_stage_delivers(project: Project, gitlab_ci_local: Path) -> None:
    include(project, STAGES)
    cosign.ensure_cosign()
    key = cosign.make_key(project.folder.parent / "key")
    project.set(attest={"key": str(key.private), "transparency_log": False})
    project.environment["COSIGN_PASSWORD"] = cosign.PASSWORD
    before = project.gitops.head()
    done = run(gitlab_ci_local, project)
    assert done.returncode == 0, done.stdout + done.stderr
    last = artefacts(project.folder, "deliver:update")
    outputs = require_valid(last / ".pipeline" / "ci")
    commit = run_git("-C", str(project.folder), "rev-parse", "HEAD").strip()
    assert outputs["VERDICT"] == "passed"
    assert outputs["COMMIT"] == project.gitops.head() != before
    assert commit in project.tags()  # the others are of attestations
    record = Record.model_validate_json((last / outputs["RECORD"]).read_text())
    assert [stage.name for stage in record.stages] == [
        *("test", "build", "scan", "benchmark", "push", "attest", "update"),
    ]
    require_tests(artefacts(project.folder, "deliver:test") / ".pipeline" / "ci")
    weights = (project.folder / "model" / "weight.txt").read_bytes()
    kept = [path for path in artefacts(project.folder, "deliver:build").rglob("*") if path.is_file()]
    assert any("handover" in path.parts for path in kept)
    assert all(path.read_bytes() != weights for path in kept)
    assert not list((project.folder / STATE).glob("artifacts/*/.pipeline/cache"))


@pytest.mark.timeout(600)
def test_one_job_installs_itself_and_publishes_nothing_of_a_merge_request(
    project: Project, gitlab_ci_local: Path
) -> None:
    include(project, ONE_JOB)
    before = project.gitops.head()
    done = run(gitlab_ci_local, project, **MERGE_REQUEST)
    assert done.returncode == 0, done.stdout + done.stderr
    job = artefacts(project.folder, "deliver:check") / ".pipeline"
    outputs = require_valid(job / "ci")
    require_tests(job / "ci")
    assert (outputs["VERDICT"], outputs["IMAGE"], outputs["COMMIT"]) == ("passed", "", "")
    assert (project.tags(), project.gitops.head()) == ([], before)
    assert "+    newTag" in (job / "ci" / "summary.md").read_text()

    (project.folder / ".gitlab-ci.yml").write_text(ONE_JOB.replace("extras:", f"command: {COMMAND}, extras:"))
    project.write("check.py", "import sys; sys.exit('broken')")
    failed = run(gitlab_ci_local, project)
    assert failed.returncode != 0
    assert "deliver:check" not in failed.stdout
    job = artefacts(project.folder, "deliver") / ".pipeline"
    (issue,) = json.loads((job / "ci" / "gl-code-quality-report.json").read_text())
    assert issue["location"]["path"] == "pipeline.yaml"
    assert (project.tags(), project.gitops.head()) == ([], before)


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_child_pipeline_runs_the_models_that_changed(project: Project, gitlab_ci_local: Path) -> None:
    for name in ("a", "b", "untouched"):
        folder = project.folder / "models" / name
        folder.mkdir(parents=True)
        (folder / "pipeline.yaml").write_text(f"image: {name}\ntest: {{command: 'true'}}\n")
    for name in ("pipeline.yaml", "Dockerfile"):
        (project.folder / name).unlink()
    (project.folder / ".gitlab").mkdir()
    (project.folder / ".gitlab" / "deliver.yml").write_text(WRAPPER)
    include(project, MONOREPO)
    for name in ("a", "b"):
        (project.folder / "models" / name / "code.py").write_text("")
    project.commit()
    done = run(gitlab_ci_local, project)
    assert done.returncode == 0, done.stdout + done.stderr
    for name in ("a", "b"):
        outputs = (
            artefacts(project.folder, f"deliver models/{name}") / f"models/{name}/.pipeline/ci/outputs.env"
        )
        assert "VERDICT=passed" in outputs.read_text()
    assert not list((project.folder / STATE / "artifacts").glob("*untouched*"))


@pytest.mark.long
@pytest.mark.timeout(600)
def test_what_init_writes_for_several_models_runs(project: Project, gitlab_ci_local: Path) -> None:
    for name in ("a", "b"):
        folder = project.folder / "models" / name
        folder.mkdir(parents=True)
        (folder / "pipeline.yaml").write_text(f"image: {name}\ntest: {{command: 'true'}}\n")
    for name in ("pipeline.yaml", "Dockerfile"):
        (project.folder / name).unlink()
    done = project.pipeline("init", "gitlab")
    assert done.returncode == 0, done.stderr
    child = project.folder / ".gitlab" / "deliver.yml"
    wrapper = re.sub(r"- project: .*\n.*\n +file: /(.*)", r"- local: \1", child.read_text())
    child.write_text(f"{wrapper}      engine: socket\n      command: {COMMAND}\n      flags: --until test\n")
    pipeline = (project.folder / ".gitlab-ci.yml").read_text()
    commit = run_git("-C", str(TOP), "rev-parse", "HEAD").strip()
    source = pipeline.replace(f"$CI_SERVER_URL/{PROJECT}.git", str(TOP)).replace(PLACEHOLDER, commit)
    include(project, source)
    done = run(gitlab_ci_local, project)
    assert done.returncode == 0, done.stdout + done.stderr
    for name in ("a", "b"):
        job = artefacts(project.folder, f"deliver models/{name}")
        assert "VERDICT=passed" in (job / f"models/{name}/.pipeline/ci/outputs.env").read_text()
