"""action.yml, run by a runner: what users get, and what strangers cannot do."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.artifacts import Artifacts
from pipeline.model import BuiltImage, ManifestUpdate, PushedImage
from pipeline.record import Record, Status
from pipeline.reference import Repository
from tests.support import example
from tests.support.act import Log, commit_all, run_workflow, without_logins, workspace
from tests.support.git_server import GitServer
from tests.support.git_server import Repository as ServedRepository
from tests.support.project import Project
from tests.support.registry import Registry

CreateRepository = Callable[[Path | None], ServedRepository]
pytestmark = pytest.mark.timeout(600)

HOSTILE_BRANCH = '";touch${IFS}owned;"$(touch${IFS}owned)`touch${IFS}owned`'
HOSTILE_MESSAGE = """::error::owned $(touch owned) `touch owned`

::set-output name=digest::sha256:owned
::add-mask::passed
##[error]owned
"""
CHECKOUT = "actions/checkout@11bd71901bbe5b1630ceea73d27597364c9af683"
DELIVER = f"""\
on: [push, pull_request]
permissions: {{contents: read}}
jobs:
  deliver:
    runs-on: ubuntu-latest
    steps:
      - uses: {CHECKOUT}
      - {{uses: ./, id: deliver, with: {{working-directory: model}}}}
      - id: after
        if: always()
        env: {{RECORD: "${{{{ steps.deliver.outputs.record }}}}"}}
        run: |
          echo "password $REGISTRY_PASSWORD"
          find "$GITHUB_WORKSPACE" "$RUNNER_TEMP" -name owned
          cat "$RUNNER_TEMP/cache.log"
          cat "$RECORD"
"""


def tiny(project: Project, folder: Path) -> Path:
    """Make a workspace with the tiny model in it."""
    shutil.copytree(
        project.folder, workspace(folder, DELIVER) / "model", ignore=shutil.ignore_patterns(".git")
    )
    return folder


def run(project: Project, folder: Path, tmp_path: Path, **options: object) -> Log:
    """Run the workspace's workflow, with what the project's delivery needs in the environment."""
    log = run_workflow(
        folder,
        scratch=tmp_path / "runner",
        workflow="test.yml",
        environment=project.environment,
        **options,  # type: ignore[arg-type] # passed on as it is
    )
    for secret in filter(None, (project.registry.password, project.environment["GITOPS_PASSWORD"])):
        assert secret not in "".join(line for line in log.text.splitlines() if "add-mask" not in line)
    return log


def the_record(log: Log) -> Record:
    text = log.printed("after")
    return Record.model_validate_json(text[text.index("{\n") :])


def test_the_example_is_delivered_whatever_branch_and_message_hold(  # noqa: PLR0913, PLR0917 - the real parts
    prepared_example: Path,
    base_image: str,
    registry: Registry,
    repository_name: str,
    vulnerability_database: str,
    git_server: GitServer,
    project: Project,
    tmp_path: Path,
) -> None:
    repository = Repository(f"{registry.address}/{repository_name}/digits")
    tree = example.gitops_tree(tmp_path, repository)
    project.gitops.commit(tree, "the example")
    project.set(registries=f"{registry.address}/{repository_name}")
    project.environment.update(example.UNHURRIED)
    folder = workspace(tmp_path / "user", DELIVER)
    example.commit_copy(prepared_example, folder / "model")
    shutil.rmtree(folder / "model" / ".git")
    commit = commit_all(folder, branch=HOSTILE_BRANCH, message=HOSTILE_MESSAGE)

    log = run(project, folder, tmp_path)

    assert log.succeeded, log.text
    record = the_record(log)
    made = Artifacts(*record.made())
    digest = made[PushedImage].digest
    assert log.outputs("deliver") == {
        "digest": digest,
        "image": f"{repository}@{digest}",
        "tags": commit,
        "commit": project.gitops.head(),
        "pull-request": "",
        "verdict": "passed",
        "record": log.outputs("deliver")["record"],
        "sarif": log.outputs("deliver")["record"].replace("record.json", "report.sarif"),
    }
    assert made[ManifestUpdate].commit == project.gitops.head()
    assert "mermaid" in log.summary("deliver")
    assert digest in log.summary("deliver")
    assert "password ***" in log.printed("after")
    assert {level for level, _ in log.annotations("deliver")} == {"warning"}
    assert any("CVE-2025-62727 in starlette" in text for _, text in log.annotations("deliver"))
    assert "/owned" not in log.printed("after")
    assert not list(tmp_path.rglob("owned"))
    assert "no cache service" in log.printed("after")


STAGES = {
    "test": ("test.command=python3 broken.py", "exit code 1", "failed"),
    "build": ("build.dockerfile=broken.Dockerfile", "broken.Dockerfile:2", "failed"),
    "scan": ("build.dockerfile=vulnerable.Dockerfile", "CVE-2020-14343", "refused"),
    "benchmark": ("policies=budget.yaml", "0.001 ms", "refused"),
    "push": (r"tags=taken\nbuild.dockerfile=other.Dockerfile", "taken", "failed"),
    "update": ("update.repository=OTHER", "only the release bot may push here", "failed"),
}
VULNERABLE = "/usr/lib/python3/dist-packages/PyYAML-5.3.dist-info/METADATA"


def broken_parts(model: Path) -> None:
    dockerfile = (model / "Dockerfile").read_text()
    (model / "broken.py").write_text("raise SystemExit('the accuracy is 0.31')")
    (model / "broken.Dockerfile").write_text("FROM python:3.11-slim\nRUN echo building && false\n")
    (model / "METADATA").write_text("Metadata-Version: 2.1\nName: PyYAML\nVersion: 5.3\n")
    (model / "vulnerable.Dockerfile").write_text(
        dockerfile.replace("USER", f"COPY METADATA {VULNERABLE}\nUSER")
    )
    (model / "other.Dockerfile").write_text(dockerfile.replace("USER", "COPY METADATA /other\nUSER"))
    (model / "budget.yaml").write_text("rules: [{rule: performance, maximum_p99_ms: 0.001}]\n")


def step(name: str, setting: str) -> str:
    return f"""\
      - uses: ./
        id: {name}
        continue-on-error: true
        with: {{working-directory: model, set: "{setting}", until: "{name}"}}
"""


@pytest.mark.long
def test_each_stage_fails_in_its_own_words(
    project: Project, create_repository: CreateRepository, tmp_path: Path
) -> None:
    other = create_repository(tmp_path / "gitops")
    other.reject_pushes("only the release bot may push here")
    steps = (step(name, setting.replace("OTHER", other.url)) for name, (setting, _, _) in STAGES.items())
    folder = tiny(project, tmp_path / "user")
    broken_parts(folder / "model")
    beginning = DELIVER[: DELIVER.index("      - {uses: ./")]
    taken = step("taken", "tags=taken").replace('until: "taken"', "until: push")
    (folder / ".github/workflows/test.yml").write_text(beginning + taken + "".join(steps))
    commit_all(folder)
    log = run(project, folder, tmp_path)
    for name, (_, words, verdict) in STAGES.items():
        assert log.result(name) == "failure", name
        assert log.outputs(name)["verdict"] == verdict
        assert words in log.printed(name)
        assert any(level == "error" and words in text for level, text in log.annotations(name)), name
        assert words in log.summary(name)
    assert "the accuracy is 0.31" in log.printed("test")
    assert log.result("taken") == "success"
    assert log.outputs("push")["image"] == ""
    assert log.outputs("update")["commit"] == ""


@pytest.mark.parametrize("head", [pytest.param("team/digits", marks=pytest.mark.long), "stranger/digits"])
def test_a_pull_request_pushes_and_commits_nothing(
    project: Project, head: str, tmp_path: Path, docker_config: Path
) -> None:
    folder = tiny(project, tmp_path / "user")
    commit_all(folder)
    before = project.gitops.head()
    if head != "team/digits":  # nobody gives a fork's job any secret
        for name in ("REGISTRY_USERNAME", "REGISTRY_PASSWORD", "GITOPS_USERNAME", "GITOPS_PASSWORD"):
            project.environment[name] = ""
        project.environment["DOCKER_CONFIG"] = str(without_logins(tmp_path, docker_config))
    payload = {
        "pull_request": {
            "number": 7,
            "head": {"ref": HOSTILE_BRANCH, "repo": {"full_name": head}},
            "base": {"ref": "main", "repo": {"full_name": "team/digits"}},
        }
    }
    log = run(project, folder, tmp_path, event="pull_request", payload=payload)
    assert log.succeeded, log.text
    assert project.tags() == []
    assert project.gitops.head() == before
    outputs = log.outputs("deliver")
    verdict = "passed" if head == "team/digits" else "incomplete"
    assert (outputs["verdict"], outputs["image"], outputs["commit"]) == (verdict, "", "")
    assert outputs["digest"] == Artifacts(*the_record(log).made())[BuiltImage].digest
    if verdict == "incomplete":  # the vulnerability database is in the registry, which asks for a login
        says = "scan was not done: out of reach of pull request #7 from a fork"
        assert [level for level, text in log.annotations("deliver") if says in text] == ["warning"]
        assert "scan was not done: out of reach of pull request" in log.summary("deliver")
        assert ": incomplete, scan not done" in log.summary("deliver")
        assert the_record(log).stage("benchmark").status is Status.PASSED  # type: ignore[union-attr] # there
    assert not list(tmp_path.rglob("owned"))


@pytest.mark.long
@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
@pytest.mark.parametrize("python", ["3.11", "3.14"])
def test_there_is_a_wheel_of_everything_for_each_runner(machine: str, python: str, tmp_path: Path) -> None:
    platforms = [f"--platform=manylinux{version}_{machine}" for version in ("2014", "_2_24", "_2_28")]
    elsewhere = () if machine == "x86_64" else ("; platform_machine == 'x86_64'",)  # pip looks at its own
    chosen = [line for line in wheels_of_the_action().splitlines() if not line.endswith(elsewhere)]
    (tmp_path / "requirements.txt").write_text("".join(f"{line}\n" for line in chosen))
    command = [
        *(sys.executable, "-m", "pip", "install", "--dry-run", "--quiet", "--no-deps", "--only-binary=:all:"),
        *(f"--target={tmp_path / 'none'}", f"--python-version={python}", *platforms),
        *("--requirement", str(tmp_path / "requirements.txt")),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr


def wheels_of_the_action() -> str:
    """Return what the action installs with every extra, one package a line, without hashes."""
    code = (
        "import sys, tomllib; sys.path.insert(0, sys.argv[1]); import action\n"
        "project = tomllib.loads((action.ACTION / 'pyproject.toml').read_text())\n"
        "extras = project['project']['optional-dependencies']\n"
        "text = (action.ACTION / 'requirements-all.txt').read_text()\n"
        "chosen = action.select(text, action.wanted(project, extras))\n"
        "print(*(line.rstrip(' \\\\') for line in chosen.splitlines() if line[:1].isalnum()), sep='\\n')"
    )
    folder = Path(__file__).parents[2] / ".github" / "scripts"
    command = [sys.executable, "-I", "-B", "-c", code, str(folder)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
