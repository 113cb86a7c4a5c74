"""A pull request on GitHub: the whole run with real parts, and nothing of it leaves the machine."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.model import ManifestUpdate, Skipped
from pipeline.record import Status
from tests.support.forge import PATH, Forge, running_forge
from tests.support.project import Project
from tests.support.workflow_commands import commands, outputs

pytestmark = pytest.mark.integration


@pytest.fixture
def forge(project: Project) -> Iterator[Forge]:
    """The host of the model's repository; it stands in the GitOps repository's place, which has branches."""
    git = project.gitops.git
    tree, base = git("rev-parse", "HEAD^{tree}"), git("rev-parse", "HEAD")
    git("update-ref", "refs/heads/topic", git("commit-tree", tree, "-p", base, "-m", "change"))
    with running_forge(project.gitops) as running:
        running.open("topic", "main", "Change", "", draft=False)
        yield running


def as_pull_request(project: Project, forge: Forge, folder: Path, head: str = "ada/x") -> None:
    event = {
        "pull_request": {
            "number": 1,
            "head": {"repo": {"full_name": head}},
            "base": {"repo": {"full_name": "ada/x"}},
        }
    }
    (folder / "event.json").write_text(json.dumps(event))
    added = {
        "GITHUB_ACTIONS": "true",
        "GITHUB_EVENT_NAME": "pull_request",
        "GITHUB_REF": "refs/pull/1/merge",
        "GITHUB_EVENT_PATH": str(folder / "event.json"),
        "GITHUB_OUTPUT": str(folder / "output"),
        "GITHUB_STEP_SUMMARY": str(folder / "summary"),
        "GITHUB_WORKSPACE": str(project.folder),
        "GITHUB_REPOSITORY": PATH,
        "GITHUB_API_URL": forge.github,
        "GITHUB_TOKEN": forge.token,
    }
    project.environment.update(added)


def test_it_measures_and_previews_and_tells_the_reviewers(
    project: Project, forge: Forge, tmp_path: Path
) -> None:
    as_pull_request(project, forge, tmp_path)
    project.set(scan__baseline="deployed")
    head = project.gitops.head()
    done = project.pipeline("run", "--force")
    assert done.returncode == 0, done.stdout
    assert (project.tags(), project.gitops.head()) == ([], head)
    assert "for pull request #1: nothing was pushed and no manifest was written" in done.stdout
    groups = [one.value for one in commands(done.stdout) if one.name == "group"]
    assert groups == ["test", "build", "scan", "benchmark", "push", "update"]
    told = outputs((tmp_path / "output").read_text())
    assert (told["verdict"], told["image"], told["commit"]) == ("passed", "", "")
    assert told["digest"].startswith("sha256:")
    (only,) = forge.comments
    for text in (only.body, (tmp_path / "summary").read_text()):
        assert "| ✅ | benchmark |" in text
        assert "```diff\n" in text
        assert told["digest"] in text
        assert "**New since what is deployed:** unknown, so every finding counts as new." in text
        assert "does not have it any more" in text  # the first digest in the manifests is no image's
    assert only.body.startswith("<!-- model-image-pipeline ")
    findings = json.loads(Path(told["sarif"]).read_text())
    assert findings["runs"][0]["automationDetails"]["id"] == "model-image-pipeline/tiny/trivy/"
    lists = {one.name for one in Path(told["sarif"]).parent.glob("scan/sbom-*")}
    assert {name.partition(".")[2] for name in lists} == {"cdx.json", "spdx.json"}


@pytest.mark.usefixtures(
    "docker_login"
)  # the scanner's database lies in the registry too, under its other name
def test_from_a_fork_no_secret_is_needed(project: Project, forge: Forge, tmp_path: Path) -> None:
    as_pull_request(project, forge, tmp_path, head="eve/x")
    forge.may_comment = False
    for name in ("REGISTRY_USERNAME", "REGISTRY_PASSWORD"):
        project.environment[name] = ""
    project.set(registries=f"{project.registry.address.replace('localhost', '127.0.0.1')}/team")
    done = project.pipeline("run")
    assert done.returncode == 0, done.stdout
    record = project.record()
    status = {stage.name: stage.status for stage in record.stages}
    assert status["benchmark"] is Status.PASSED
    assert (status["push"], status["update"]) == (Status.SKIPPED, Status.SKIPPED)
    assert any(isinstance(made, Skipped) and "out of reach" in made.reason for made in record.made())
    assert not any(isinstance(made, ManifestUpdate) for made in record.made())
    assert project.tags() == []
    assert "no comment on pull request #1 from a fork: the token may not; the summary has it" in done.stdout


def test_jobs_of_one_pull_request_hand_on_what_was_out_of_reach_and_no_delivery_takes_it(
    project: Project, forge: Forge, tmp_path: Path, docker_config: Path
) -> None:
    branch = dict(project.environment)
    as_pull_request(project, forge, tmp_path, head="eve/x")
    (tmp_path / "docker").mkdir()
    if (docker_config / "cli-plugins").is_dir():
        (tmp_path / "docker" / "cli-plugins").symlink_to(docker_config / "cli-plugins")
    project.environment["DOCKER_CONFIG"] = str(tmp_path / "docker")  # nobody has logged in
    for name in ("REGISTRY_USERNAME", "REGISTRY_PASSWORD"):
        project.environment[name] = ""
    scanned = project.pipeline("run", "--until", "scan")
    assert (scanned.returncode, project.record().status) == (0, Status.INCOMPLETE), scanned.stdout
    measured = project.pipeline("run", "--resume", ".pipeline/handover", "--from", "benchmark")
    assert (measured.returncode, project.record().status) == (0, Status.INCOMPLETE), measured.stdout
    assert project.record().out_of_reach == ("scan",)
    project.environment.clear()
    project.environment.update(branch)
    refused = project.pipeline("run", "--resume", ".pipeline/handover", "--from", "benchmark")
    assert refused.returncode == 2
    assert "For a delivery it has to be done: --from scan" in refused.stdout + refused.stderr


@pytest.mark.parametrize("verb", ["rollback", "promote"])
def test_no_other_command_writes_a_manifest_for_it(
    project: Project, forge: Forge, tmp_path: Path, verb: str
) -> None:
    head = project.gitops.head()
    as_pull_request(project, forge, tmp_path)
    more = ("--from", "a", "--to", "b") if verb == "promote" else ()
    project.pipeline(verb, *more)
    assert project.gitops.head() == head
