"""A delivery that is signed before it is deployed, and promoted only as such."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.model import (
    AttestedImage,
)
from pipeline.record import Status
from tests.integration.test_environments import CONFIGURATION, KUSTOMIZATION
from tests.support import cosign
from tests.support.attested import (
    empty_root,
    statements,
)
from tests.support.cosign import KeyPair
from tests.support.git_server import Repository as GitRepository
from tests.support.project import Project
from tests.support.registry import write_docker_config


@pytest.fixture
def team(
    project: Project,
    create_repository: Callable[[Path | None], GitRepository],
    tmp_path: Path,
    key: KeyPair,
    foreign_key: KeyPair,
) -> Project:
    """A project whose deliveries are signed, and whose production believes only what is signed."""
    content = tmp_path / "environments"
    for place_ in ("dev", "prod", "strict"):
        folder = content / "apps" / place_
        folder.mkdir(parents=True)
        suffix = "-prod" if place_ == "prod" else ""
        image = f"{project.registry.address}/{project.name}{suffix}/tiny"
        (folder / "kustomization.yaml").write_text(KUSTOMIZATION.format(image=image))
    gitops = create_repository(content)
    for name in ("PIPELINE_REGISTRIES", "PIPELINE_UPDATE__REPOSITORY"):
        del project.environment[name]
    made = Project(project.folder, project.name, project.registry, gitops, project.environment)
    made.environment["COSIGN_PASSWORD"] = cosign.PASSWORD
    text = CONFIGURATION.format(registry=project.registry.address, name=project.name, gitops=gitops.url)
    for name, one in (("prod", key), ("strict", key), ("other", foreign_key)):
        believed = f"    verify: {{key: {one.public}, transparency_log: false}}\n"
        if name == "other":
            text += f"  other:\n{believed}    update:\n      targets: [{{path: apps/strict}}]\n"
        else:
            text = text.replace(f"  {name}:\n", f"  {name}:\n{believed}")
    text += f"attest: {{key: {key.private}, transparency_log: false}}\n"
    made.write("pipeline.yaml", text)
    return made


def test_a_delivery_is_signed_before_it_is_deployed_and_promoted_only_as_such(
    team: Project, key: KeyPair, tmp_path: Path
) -> None:
    head = team.gitops.head()
    dry = team.pipeline("run", "-e", "dev", "--dry-run")
    assert dry.returncode == 0, dry.stdout + dry.stderr
    assert "not signed; a run would sign with" in dry.stdout

    failed = team.pipeline(
        *("run", "-e", "dev", "--set", "attest.transparency_log=true"),
        *("--set", "attest.rekor=http://127.0.0.1:1", "--set", f"attest.trusted_root={empty_root(tmp_path)}"),
    )
    assert failed.returncode == 5, failed.stdout + failed.stderr
    assert team.gitops.head() == head  # what is not signed is not deployed

    done = team.pipeline("run", "-e", "dev")
    assert done.returncode == 0, done.stdout + done.stderr
    record = team.record()
    (made,) = (each for each in record.made() if isinstance(each, AttestedImage))
    assert made.command in done.stdout
    image = f"{team.registry.address}/{team.name}/tiny@{made.digest}"
    login = write_docker_config(tmp_path / "login", team.registry)
    by_hand = cosign.cosign(*made.command.split()[1:], docker_config=login)
    assert by_hand.returncode == 0, by_hand.stderr
    (provenance,) = statements(cosign.verify_attestation(image, "slsaprovenance1", key, login))
    assert cosign.PASSWORD not in json.dumps(provenance)
    for secret in (cosign.PASSWORD, team.registry.password):
        for path in (team.folder / ".pipeline").rglob("*"):
            if path.is_file() and path.suffix in {".json", ".log"}:
                assert secret not in path.read_text(errors="replace"), path

    (team.folder / ".pipeline").rename(tmp_path / "gone")  # production's job knows no record
    foreign = team.pipeline("promote", "--from", "dev", "--to", "other")
    assert foreign.returncode == 9, foreign.stdout + foreign.stderr
    assert "signed with another key" in foreign.stdout + foreign.stderr
    refused = team.pipeline("promote", "--from", "dev", "--to", "strict")
    assert refused.returncode == 3, refused.stdout + refused.stderr
    assert "digest" not in team.gitops.read("apps/strict/kustomization.yaml")

    promoted = team.pipeline("promote", "--from", "dev", "--to", "prod")
    assert promoted.returncode == 0, promoted.stdout + promoted.stderr
    assert made.digest in team.gitops.read("apps/prod/kustomization.yaml")
    stages = [stage.name for stage in team.record().stages]
    assert stages == ["verify", "test", "build", "scan", "benchmark", "push", "promote"]
    assert team.record().status is Status.PASSED
