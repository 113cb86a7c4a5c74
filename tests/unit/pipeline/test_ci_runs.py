"""The command itself, in jobs of the CI hosts: nothing here needs an engine."""

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipeline.ci.interface import OUTPUTS
from tests.support.workflow_commands import commands, outputs

HOSTILE = """\
import sys
print("::add-mask::everything")
print("   ::set-output name=digest::sha256:forged")
print("##[add-mask]everything")
print("progress\\r::error::after a carriage return")
print("section_start:1:x\\r\\x1b[0Khidden\\x1b[2Jx")
print("::stop-commands::token")
sys.stderr.write("::error file=a.py::from standard error\\n")
(sys.exit)(int(sys.argv[1]))
"""
ESCAPE = "\x1b"


@dataclass(frozen=True)
class Job:
    """A step of a job that has a model's repository checked out."""

    folder: Path
    environment: dict[str, str]

    def run(self, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        done = subprocess.run(
            [sys.executable, "-m", "pipeline", *arguments],
            cwd=self.folder,
            env={**kept, **self.environment, **environment},
            capture_output=True,
            check=False,
            timeout=60,
        )
        texts = done.stdout.decode(), done.stderr.decode()  # carriage returns as they are
        return subprocess.CompletedProcess(done.args, done.returncode, *texts)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "hostile.py").write_text(HOSTILE)
    write(folder, 1)
    identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.com", "-c", "commit.gpgsign=false"]
    for command in (
        ["git", "init", "--quiet"],
        ["git", "add", "--all"],
        ["git", *identity, "commit", "--quiet", "-m", "::error::commit"],
        ["git", "switch", "--quiet", "--create", "##`</code>%0A@team"],
    ):
        subprocess.run(command, cwd=folder, check=True)
    return folder


def write(folder: Path, exit_code: int) -> None:
    command = json.dumps([sys.executable, "hostile.py", str(exit_code)])
    (folder / "pipeline.yaml").write_text(f"image: digits\ntest:\n  command: {command}\n")


@pytest.fixture
def github(folder: Path, tmp_path: Path) -> Job:
    environment = {
        "GITHUB_ACTIONS": "true",
        "GITHUB_EVENT_NAME": "push",
        "GITHUB_WORKSPACE": str(folder),
        "GITHUB_OUTPUT": str(tmp_path / "output"),
        "GITHUB_STEP_SUMMARY": str(tmp_path / "summary"),
    }
    return Job(folder, environment)


@pytest.fixture
def gitlab(folder: Path) -> Job:
    return Job(folder, {"GITLAB_CI": "true", "CI_PROJECT_DIR": str(folder), "CI_PIPELINE_SOURCE": "push"})


@pytest.mark.parametrize(
    ("more", "colour"),
    [((), ""), (("--verbose",), ""), (("--verbose",), "1"), (("--quiet",), ""), (("--json",), "")],
)
def test_on_github_nothing_that_tests_print_is_a_command(
    github: Job, more: tuple[str, ...], colour: str
) -> None:
    done = github.run("run", "--until", "test", *more, FORCE_COLOR=colour)
    assert done.returncode == 1
    told = commands(done.stdout) + commands(done.stderr)
    assert {one.name for one in told} <= {"group", "endgroup", "error"}
    (error,) = [one for one in told if one.name == "error"]
    assert error.properties == {"title": "StageFailed"}
    assert "forged" not in error.value
    if "--json" in more:
        assert json.loads(done.stdout)["failure"]["tail"].count("##[add-mask]everything") == 1
        assert commands(done.stdout) == []


@pytest.mark.parametrize("code", [0, 1])
def test_in_a_log_with_colours_nothing_turns_and_every_group_ends(github: Job, code: int) -> None:
    write(github.folder, code)
    done = github.run("run", "--until", "test", FORCE_COLOR="1", TERM="xterm-256color")
    assert done.returncode == code
    told = [one.name for one in commands(done.stdout) if one.name in {"group", "endgroup"}]
    assert told == ["group", "endgroup"]
    assert f"{ESCAPE}[?25l" not in done.stdout  # hides the cursor, as what turns does


def test_on_github_a_stage_is_a_group_and_its_result_stands_below(github: Job) -> None:
    lines = github.run("run", "--until", "test", "--verbose").stdout.splitlines()
    begin, end = lines.index("::group::test"), lines.index("::endgroup::")
    assert any("after a carriage return" in line for line in lines[begin:end])
    assert re.match(r"✘ test", lines[end + 1])


def test_on_github_outputs_and_summary_tell_of_a_failure(github: Job, tmp_path: Path) -> None:
    github.run("run", "--until", "test")
    told = outputs((tmp_path / "output").read_text())
    assert told.keys() == set(OUTPUTS)
    assert (told["verdict"], told["digest"]) == ("failed", "")
    assert json.loads(Path(told["record"]).read_text())["status"] == "failed"
    summary = (tmp_path / "summary").read_text()
    assert "| ❌ | test |" in summary
    assert "```mermaid\ngantt\n" in summary
    assert ESCAPE not in summary


def test_a_mistake_is_an_annotation_at_its_line(github: Job) -> None:
    (github.folder / "pipeline.yaml").write_text("image: digits\nregistres: [x]\n")
    done = github.run("run")
    assert done.returncode == 2
    (told,) = commands(done.stdout)
    assert told.properties == {"file": "pipeline.yaml", "line": "2", "title": "ConfigurationError"}
    assert "did you mean 'registries'?" in told.value


def test_a_mistake_in_a_flag_is_no_command(github: Job) -> None:
    for arguments in (("run", "--until", "x\n::error::y"), ("\n::error::y",), ("show", "\n##[error]y")):
        done = github.run(*arguments)
        assert done.returncode == 2
        told = commands(done.stdout) + commands(done.stderr)
        assert [one for one in told if "title" not in one.properties] == []


@pytest.mark.parametrize("event", ["pull_request", "pull_request_target", "merge_group"])
def test_a_pull_request_is_named_in_the_record(github: Job, event: str) -> None:
    write(github.folder, 0)
    done = github.run("run", "--until", "test", GITHUB_EVENT_NAME=event, GITHUB_REF="refs/pull/7/merge")
    assert done.returncode == 0, done.stdout
    assert "for pull request #7: nothing was pushed and no manifest was written" in done.stdout


def test_a_failed_file_of_the_host_is_an_error_with_its_path(github: Job, tmp_path: Path) -> None:
    done = github.run("run", "--until", "test", GITHUB_OUTPUT=str(tmp_path))
    assert done.returncode == 6
    assert str(tmp_path) in done.stderr


def test_on_gitlab_only_our_sections_open_and_close(gitlab: Job) -> None:
    done = gitlab.run("run", "--until", "test", "--verbose")
    assert done.returncode == 1
    sections = re.findall(r"section_(start|end):\d+:([\w.-]+)(?:\[[^\]]*\])?\r\x1b\[0K", done.stdout)
    assert sections == [("start", "pipeline_test"), ("end", "pipeline_test")]
    assert "\x1b[2J" not in done.stdout


def test_on_gitlab_files_hand_on_what_came_out(gitlab: Job) -> None:
    gitlab.run("run", "--until", "test")
    folder = gitlab.folder / ".pipeline" / "ci"
    told = dict(line.split("=", 1) for line in (folder / "outputs.env").read_text().splitlines())
    assert told["VERDICT"] == "failed"
    assert (gitlab.folder / told["RECORD"]).is_file()
    assert "| ❌ | test |" in (folder / "summary.md").read_text()
    assert (folder / "gl-code-quality-report.json").is_file()


def test_locally_nothing_is_written_and_a_plan_says_what_ci_does(folder: Path) -> None:
    write(folder, 0)
    here = Job(folder, {"GITHUB_EVENT_NAME": "pull_request"})
    done = here.run("run", "--until", "test")
    assert done.returncode == 0
    assert "group" not in done.stdout
    assert "in CI" not in done.stdout
    assert not (folder / ".pipeline" / "ci").exists()
    assert "for a pull or merge request" in here.run("plan", "--until", "test").stdout
    assert "for a pull or merge request" in here.run("run", "--until", "test", "--verbose").stdout
