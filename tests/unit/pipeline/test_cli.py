"""The command itself, as a user starts it."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from pipeline import cli
from pipeline.cascade import FILE_NAME
from tests.support.workflow_commands import commands

ROOT = Path(__file__).parents[3]
HEAVY = {
    "pydantic",
    "rich",
    "yaml",
    "requests",
    "aiohttp",
    "python_on_whales",
    "psutil",
    "junitparser",
    "policies",
}


def pipeline(*arguments: str, cwd: Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "pipeline", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.com", "-c", "commit.gpgsign=false"]
    subprocess.run(
        ["git", *identity, "commit", "--quiet", "--allow-empty", "-m", "x"], cwd=tmp_path, check=True
    )
    (tmp_path / FILE_NAME).write_text("image: digits\n")
    return tmp_path


def test_help_needs_no_heavy_library(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from pipeline.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: print('LOADED', *sorted(sys.modules))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.partition("LOADED")[2].split())
    assert "pipeline.cli" in loaded
    assert not loaded & HEAVY


def test_config_prints_values_and_origins(project: Path) -> None:
    done = pipeline("config", "--set", "benchmark.port=9000", "--json", cwd=project)
    settings = {setting["key"]: setting for setting in json.loads(done.stdout)}
    assert settings["benchmark.port"] == {
        "key": "benchmark.port",
        "value": 9000,
        "origin": "--set benchmark.port",
    }
    assert settings["image"]["origin"] == "pipeline.yaml:1"
    assert "default" in pipeline("config", cwd=project).stdout


def test_lock_writes_what_the_model_is_and_changes_nothing_the_second_time(project: Path) -> None:
    (project / FILE_NAME).write_text("image: digits\nmodel:\n  source: weights\n  exclude: [notes.md]\n")
    (project / "weights").mkdir()
    (project / "weights/model.bin").write_bytes(b"weights")
    (project / "weights/notes.md").write_text("notes")
    first = pipeline("lock", cwd=project)
    assert first.stdout == "pipeline.lock written: 1 file, 7 B, 1 layer\n"
    text = (project / "pipeline.lock").read_text()
    assert "path: model.bin" in text
    assert "notes.md" not in text
    assert pipeline("lock", cwd=project).stdout.startswith("pipeline.lock is up to date")
    assert (project / "pipeline.lock").read_text() == text
    status = subprocess.run(
        ["git", "status", "--porcelain"], cwd=project, capture_output=True, text=True, check=True
    )
    assert ".pipeline" not in status.stdout


def test_lock_without_a_model_says_what_is_missing(project: Path) -> None:
    done = pipeline("lock", cwd=project)
    assert done.returncode == 2
    assert "nothing to lock" in done.stderr


def test_a_mistake_ends_with_its_line_its_code_and_a_record(project: Path) -> None:
    (project / FILE_NAME).write_text("image: digits\nregistres: [x]\n")
    done = pipeline("run", cwd=project)
    assert done.returncode == 2
    assert "pipeline.yaml:2: registres: ['x'] - unknown key; did you mean 'registries'?" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    shown = pipeline("show", "--json", cwd=project)
    assert json.loads(shown.stdout)["failure"]["exit_code"] == 2


def test_an_unknown_stage_is_a_mistake(project: Path) -> None:
    done = pipeline("plan", "--until", "scann", cwd=project)
    assert done.returncode == 2
    assert "Did you mean 'scan'?" in done.stdout


def test_show_without_a_run_says_what_to_do(project: Path) -> None:
    done = pipeline("show", cwd=project)
    assert done.returncode == 2
    assert "Run `pipeline run` first." in done.stderr


def test_a_diff_against_a_folder_that_is_not_there(project: Path) -> None:
    done = pipeline("diff", "--root", "nowhere", cwd=project)
    assert done.returncode == 2
    assert "--root nowhere is not a folder" in done.stderr


def test_outside_a_repository(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_text("image: digits\n")
    done = pipeline("run", cwd=tmp_path)
    assert done.returncode == 2
    assert "is in no git repository" in done.stdout


def test_the_committed_schema_is_the_one_we_print(tmp_path: Path) -> None:
    assert pipeline("schema", cwd=tmp_path).stdout == (ROOT / "docs" / "pipeline.schema.json").read_text()


def test_the_schema_knows_the_example(tmp_path: Path) -> None:
    import yaml
    from jsonschema import Draft202012Validator

    schema = json.loads(pipeline("schema", cwd=tmp_path).stdout)
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    example = yaml.safe_load((ROOT / "examples" / "digits" / FILE_NAME).read_text())
    assert not list(validator.iter_errors(example))
    assert list(validator.iter_errors({**example, "registres": []}))


def test_outside_of_a_project_nothing_is_written(tmp_path: Path) -> None:
    for verb in ("run", "plan", "show", "config"):
        done = pipeline(verb, cwd=tmp_path)
        assert done.returncode == 2
        assert "image: my-model" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_folder_stands_for_the_file_in_it(project: Path, tmp_path: Path) -> None:
    done = pipeline("config", "--config", str(project), "--json", cwd=ROOT)
    assert json.loads(done.stdout)[0]["value"] == "digits"


def test_a_link_is_the_place_where_it_stands(project: Path) -> None:
    (project / "service").mkdir()
    (project / "service" / FILE_NAME).symlink_to(project / FILE_NAME)
    pipeline("run", "--until", "nothing", "--config", f"service/{FILE_NAME}", cwd=project)
    assert (project / "service" / ".pipeline").is_dir()
    assert not (project / ".pipeline").exists()


@pytest.mark.parametrize(
    "flags",
    [
        [],
        ["--from", "dev"],
        ["--percent", "50", "--to", "prod"],
        ["--percent", "50", "--force"],
        ["--from", "dev", "--to", "prod", "--target", "apps"],
    ],
)
def test_a_promotion_is_between_environments_or_of_requests(flags: list[str], project: Path) -> None:
    done = pipeline("promote", *flags, cwd=project)
    assert done.returncode == 2
    assert "promote takes either --from and --to, or --percent" in done.stderr


@pytest.mark.parametrize("percent", ["100", "-1", "true", "much"])
def test_a_canary_gets_a_part_of_the_requests(percent: str, project: Path) -> None:
    strategy = f"update.targets=[{{path: a.yaml, strategy: {{canary_percent: {percent}}}}}]"
    done = pipeline("config", "--set", strategy, cwd=project)
    assert done.returncode == 2
    assert "canary_percent" in done.stderr
    assert pipeline("config", "--set", strategy.replace(percent, "0"), cwd=project).returncode == 0


@pytest.mark.parametrize("closed", [False, True])
def test_a_run_whose_output_nobody_reads_is_finished(project: Path, closed: bool) -> None:
    (project / FILE_NAME).write_text("image: digits\ntest: {command: 'true'}\n")
    reader, writer = os.pipe()
    os.close(reader)  # as `| head -1` does, sooner or later
    out = ">&- 2>&-" if closed else ""
    command = ["sh", "-c", f'exec "$0" -m pipeline run --until test {out}', sys.executable]
    done = subprocess.run(command, cwd=project, stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, b"")
    assert json.loads(pipeline("show", "--json", cwd=project).stdout)["status"] == "passed"


def _started(project: Path, ignored: str) -> "subprocess.Popen[str]":
    """Start a run that ignores a signal, and whose tests last until a file says that they are over."""
    (project / "tests.py").write_text(
        "import pathlib, time\n"
        "pathlib.Path('began').touch()\n"
        "while not pathlib.Path('over').exists(): time.sleep(0.05)\n"
    )
    (project / FILE_NAME).write_text(f"image: digits\ntest: {{command: {sys.executable} tests.py}}\n")
    command = f'trap "" {ignored}; exec "$0" -m pipeline run --until test'
    run = subprocess.Popen(
        ["sh", "-c", command, sys.executable],
        cwd=project,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not (project / "began").exists():
        assert run.poll() is None, run.stderr.read() if run.stderr else ""
        time.sleep(0.05)
    return run


def test_a_run_in_the_background_of_a_script_can_be_ended(project: Path) -> None:
    with _started(project, "INT") as run:
        try:
            run.send_signal(signal.SIGTERM)
            assert run.wait(60) == 130
        finally:
            run.kill()


def test_a_run_under_nohup_outlives_its_terminal(project: Path) -> None:
    with _started(project, "HUP") as run:
        try:
            run.send_signal(signal.SIGHUP)
            (project / "over").touch()
            assert run.wait(60) == 0
        finally:
            run.kill()


def told(project: Path, *arguments: str, **job: str) -> str:
    """Return what a command that ends before any run says of it, on a CI host."""
    command = [sys.executable, "-I", "-m", "pipeline", *arguments]
    environment = {"PATH": os.environ["PATH"], "HOME": str(project), **job}
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    return done.stderr


def test_a_mistake_outside_of_a_run_shows_no_secret(project: Path) -> None:
    said = told(project, "config", "--set", "benchmark.port=not-for-you", NEXUS_PASSWORD="not-for-you")
    assert "benchmark.port: '***'" in said
    assert "not-for-you" not in said


def test_a_mistake_outside_of_a_run_is_an_annotation(project: Path) -> None:
    said = told(project, "run", "-c", "nowhere/::error::%0A", GITHUB_ACTIONS="true")
    (annotation,) = commands(said)
    assert annotation.name == "error"
    assert annotation.properties == {"title": "ConfigurationError"}
    assert annotation.value.startswith(f"there is no {project}/nowhere/::error::%0A")
    assert "::error" not in told(project, "run", "-c", "nowhere")


def test_a_record_is_shown_where_no_configuration_is(
    project: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    assert pipeline("run", "--until", "test", "--set", "test.command=true", cwd=project).returncode == 0
    (record,) = project.glob(".pipeline/runs/*/record.json")
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    done = pipeline("show", str(record), cwd=elsewhere)
    assert (done.returncode, "passed" in done.stdout) == (0, True)
    assert pipeline("show", "latest", cwd=project).returncode == 0


def test_the_traceback_of_a_defect_shows_no_secret(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NEXUS_PASSWORD", "not-for-you")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    told = cli._defect(ValueError("login with not-for-you"))
    (kept,) = tmp_path.iterdir()
    assert "ValueError: login with ***" in kept.read_text()
    assert kept.name in told.advice
