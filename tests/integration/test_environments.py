"""Environments as a team uses them: deliver to one, look, roll back, promote to another, by the commands."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from pipeline.model import ManifestUpdate
from pipeline.record import Runs, Status
from pipeline.report.outputs import outputs
from tests.support.git_server import Repository, run_git
from tests.support.project import Project, remote_digest

CreateRepository = Callable[[Path | None], Repository]
CONFIGURATION = """\
image: tiny
model: {{source: model}}
test: {{command: python3 check.py, junit: .pipeline/junit.xml}}
skip: {{benchmark: measured elsewhere}}
registries: ["{registry}/{name}"]
policies:
  - {{rule: suite}}
  - {{rule: vulnerabilities, fixable_only: true, maximum: {{CRITICAL: 0}}}}
update:
  repository: {gitops}
environments:
  dev:
    update:
      targets: [{{path: apps/dev}}]
  prod:
    registries: ["{registry}/{name}-prod"]
    policies:
      - {{rule: suite}}
      - {{rule: image, maximum_layers: 125}}
    update:
      targets: [{{path: apps/prod}}]
  strict:
    policies:
      - {{rule: image, maximum_layers: 1}}
    update:
      targets: [{{path: apps/strict}}]
"""
KUSTOMIZATION = """\
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
images:
  - name: {image}
    newTag: none-yet
"""


@pytest.fixture
def team(project: Project, create_repository: CreateRepository, tmp_path: Path) -> Project:
    """A project with three environments in one GitOps repository, and a first delivery to dev."""
    content = tmp_path / "environments"
    for place, suffix in (("dev", ""), ("prod", "-prod"), ("strict", "")):
        folder = content / "apps" / place
        folder.mkdir(parents=True)
        image = f"{project.registry.address}/{project.name}{suffix}/tiny"
        (folder / "kustomization.yaml").write_text(KUSTOMIZATION.format(image=image))
    gitops = create_repository(content)
    for name in ("PIPELINE_REGISTRIES", "PIPELINE_UPDATE__REPOSITORY"):
        del project.environment[name]
    made = Project(project.folder, project.name, project.registry, gitops, project.environment)
    text = CONFIGURATION.format(registry=project.registry.address, name=project.name, gitops=made.gitops.url)
    made.write("pipeline.yaml", text)
    succeeded(made, "run", "-e", "dev")
    return made


def succeeded(project: Project, *arguments: str) -> subprocess.CompletedProcess[str]:
    done = project.pipeline(*arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def stands(project: Project, place: str) -> str:
    (entry,) = yaml.safe_load(project.gitops.read(f"apps/{place}/kustomization.yaml"))["images"]
    return str(entry.get("digest", ""))


def made_by(project: Project) -> ManifestUpdate:
    (found,) = (made for made in project.record().made() if isinstance(made, ManifestUpdate))
    return found


def change_code(project: Project) -> None:
    project.write("serve.py", (project.folder / "serve.py").read_text() + "\n# changed\n")


def test_a_rollback_stays_until_a_newer_commit_comes(team: Project) -> None:
    first = stands(team, "dev")
    change_code(team)
    succeeded(team, "run", "-e", "dev")
    second = stands(team, "dev")
    assert first != second

    back = succeeded(team, "rollback", "-e", "dev")

    assert stands(team, "dev") == first
    assert [stage.name for stage in team.record().stages] == ["rollback"]
    assert made_by(team).status == "committed"
    message = team.gitops.git("log", "-1", "--format=%B")
    assert "Occasion: rollback" in message
    assert f"@{second}" in message.partition("Rolled-Back-From: ")[2].partition("\n")[0]
    assert first in back.stdout or team.gitops.head()[:12] in back.stdout

    again = succeeded(team, "run", "-e", "dev")  # of the commit that was rolled back
    assert (made_by(team).status, stands(team, "dev")) == ("superseded", first)
    assert "rolled back to at" in again.stdout

    succeeded(team, "rollback", "-e", "dev", "--to", second)  # explicit, and once more
    assert stands(team, "dev") == second
    runs = Runs(team.folder)
    oldest = runs.names()[-1]
    succeeded(team, "rollback", "-e", "dev", "--to", oldest)
    assert stands(team, "dev") == first

    run_git("-C", str(team.folder), "commit", "--quiet", "--allow-empty", "--message", "mend it")
    succeeded(team, "run", "-e", "dev")
    assert stands(team, "dev") not in {first, second}


def test_the_digest_of_dev_goes_to_prod_and_its_evidence_is_judged_there(team: Project, skopeo: str) -> None:
    digest = stands(team, "dev")

    succeeded(team, "promote", "--from", "dev", "--to", "prod")

    record = team.record()
    assert stands(team, "prod") == digest
    assert [stage.name for stage in record.stages] == [
        "test",
        "build",
        "scan",
        "benchmark",
        "push",
        "promote",
    ]
    judged = {verdict.policy for stage in record.stages for verdict in stage.verdicts}
    assert judged == {"suite", "image"}
    image = f"{team.registry.address}/{team.name}-prod/tiny@{digest}"
    assert outputs(record, team.folder)["image"] == image
    assert remote_digest(skopeo, team, image) == digest
    assert "Promoted-From: dev" in team.gitops.git("log", "-1", "--format=%B")

    refused = team.pipeline("promote", "--from", "dev", "--to", "strict")
    assert refused.returncode == 3
    assert stands(team, "strict") == ""
    assert team.record().status is Status.REFUSED


def test_a_promotion_without_its_record_or_with_another_one_is_refused(team: Project) -> None:
    first = team.folder.parent / "first.json"
    shutil.copy(Runs(team.folder).path(Runs(team.folder).names()[0]), first)
    change_code(team)
    succeeded(team, "run", "-e", "dev")
    shutil.rmtree(team.folder / ".pipeline")  # as in another CI job

    without = team.pipeline("promote", "--from", "dev", "--to", "prod")
    other = team.pipeline("promote", "--from", "dev", "--to", "prod", "--record", str(first))
    unknown = team.pipeline("promote", "--from", "dev", "--to", "production")

    assert [without.returncode, other.returncode, unknown.returncode] == [2, 2, 2]
    assert "no record tells how" in without.stdout + without.stderr
    assert "is of another image" in other.stdout + other.stderr
    assert "dev, prod, strict" in unknown.stdout + unknown.stderr
    assert stands(team, "prod") == ""


def test_diff_shows_what_would_be_committed_with_and_without_the_remote(team: Project) -> None:
    digest, head = stands(team, "dev"), team.gitops.head()
    clone = team.folder.parent / "clone"
    run_git("clone", "--quiet", team.gitops.url, str(clone))

    nothing = succeeded(team, "diff", "-e", "dev")
    shown = succeeded(team, "diff", "-e", "strict")
    team.environment["GITOPS_PASSWORD"] = "not-the-password"
    offline = succeeded(team, "diff", "-e", "strict", "--root", str(clone))

    assert (nothing.stdout, nothing.stderr.strip()) == ("", "nothing would change")
    assert f"+    digest: {digest}" in shown.stdout
    assert shown.stdout.startswith("--- a/apps/strict/kustomization.yaml\n")
    assert offline.stdout == shown.stdout
    assert team.gitops.head() == head
    applied = subprocess.run(
        ["git", "apply", "--check"], cwd=clone, input=offline.stdout, text=True, check=False
    )
    assert applied.returncode == 0
