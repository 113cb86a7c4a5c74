"""What GitHub's runner is told, as a user's step tells it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.ci import announcer
from pipeline.ci.github import escaped

SECRET = "100%-secret\nsecond line of it"  # a key, say
MASKS = ["::add-mask::100%25-secret", "::add-mask::second line of it"]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.com", "-c", "commit.gpgsign=false"]
    command = ["git", *identity, "commit", "--quiet", "--allow-empty", "-m", "x"]
    subprocess.run(command, cwd=tmp_path, check=True)
    return tmp_path


def in_a_job(project: Path, *arguments: str, github: str = "true") -> "subprocess.CompletedProcess[str]":
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    environment = {**kept, "SIGNING_KEY": SECRET, "GITHUB_ACTIONS": github}
    command = [sys.executable, "-m", "pipeline", *arguments]
    return subprocess.run(
        command, cwd=project, env=environment, capture_output=True, text=True, check=False, timeout=60
    )


def masks(text: str) -> list[str]:
    return [line for line in text.splitlines() if "::add-mask::" in line]


def leak(project: Path) -> None:
    """Write a configuration whose error shows a secret."""
    (project / "pipeline.yaml").write_text("image: second line of it\n")


@pytest.mark.parametrize("command", ["run", "plan"])
def test_github_is_told_each_line_of_a_secret_once_before_anything_is_said(
    project: Path, command: str
) -> None:
    leak(project)
    done = in_a_job(project, command)
    assert done.returncode == 2
    assert done.stderr.splitlines()[:2] == MASKS
    assert masks(done.stderr) == MASKS
    assert "image: '***'" in done.stdout
    assert "second line" not in done.stdout


def test_the_record_on_standard_output_stays_one_document(project: Path) -> None:
    leak(project)
    done = in_a_job(project, "run", "--json")
    assert json.loads(done.stdout)["failure"]["exit_code"] == 2
    assert masks(done.stderr) == MASKS


def test_the_doctor_tells_github_too(project: Path) -> None:
    (project / "pipeline.yaml").write_text("image: digits\nregistries: [127.0.0.1:1/team]\n")
    done = in_a_job(project, "doctor", "--json")
    assert json.loads(done.stdout)[0]["problem"] == "remote"
    assert masks(done.stderr) == MASKS


@pytest.mark.parametrize("github", ["", "false"])
def test_nobody_else_is_shown_a_secret(project: Path, github: str) -> None:
    leak(project)
    done = in_a_job(project, "run", github=github)
    assert not masks(done.stdout + done.stderr)
    assert "second line" not in done.stdout + done.stderr


def test_a_secret_does_not_go_into_a_file_that_keeps_what_is_said(project: Path) -> None:
    leak(project)
    environment = {**os.environ, "SIGNING_KEY": SECRET, "GITHUB_ACTIONS": "true"}
    with (project / "errors.txt").open("w") as stream:
        command = [sys.executable, "-m", "pipeline", "run"]
        subprocess.run(command, cwd=project, env=environment, stdout=stream, stderr=stream, check=False)
    text = (project / "errors.txt").read_text()
    assert "image: '***'" in text
    assert "second line" not in text


def test_a_command_holds_no_line_break_of_its_value() -> None:
    assert escaped("50%\r\n") == "50%25%0D%0A"


def test_away_from_github_nothing_is_said(capfd: pytest.CaptureFixture[str]) -> None:
    announcer({"GITLAB_CI": "true", "CI": "true"})("secret")
    assert capfd.readouterr() == ("", "")
