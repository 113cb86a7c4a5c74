"""What a cloud gives us in mid-run is masked by GitHub's runner too, and stands in nothing that we print."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.support.clouds.ecr import HOST, Amazon


@pytest.fixture
def project(amazon: Amazon, tmp_path: Path) -> Path:
    name = f"models/{tmp_path.name.replace('_', '-')}"
    amazon.plane.client("ecr").create_repository(repositoryName=name)
    (tmp_path / "pipeline.yaml").write_text(f"image: {name.partition('/')[2]}\nregistries: [{HOST}/models]\n")
    return tmp_path


def doctor(project: Path, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pipeline", "doctor", "--json"],
        cwd=project,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )


def test_a_password_that_a_cloud_made_is_told_to_github_and_to_nobody_else(
    amazon: Amazon, project: Path
) -> None:
    keys = amazon.plane.administrator
    amazon.plane.passwords.clear()
    on_github = doctor(project, {**keys.environment, "GITHUB_ACTIONS": "true"})
    (password,) = amazon.plane.passwords
    told = [line.removeprefix("::add-mask::") for line in on_github.stderr.splitlines()]
    assert {keys.secret, password, f"AWS:{password}"} <= set(told)
    assert len(told) == len(set(told))
    assert json.loads(on_github.stdout)[0]["problem"] is None
    assert password not in on_github.stdout
    elsewhere = doctor(project, {**keys.environment, "GITLAB_CI": "true"})
    assert elsewhere.stderr == ""
    assert not [each for each in amazon.plane.passwords if each in elsewhere.stdout]
