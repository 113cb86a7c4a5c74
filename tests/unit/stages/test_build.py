from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipeline.artifacts import Artifacts
from pipeline.desk import Desk
from pipeline.errors import ToolMissing
from pipeline.interface import Stage
from pipeline.model import BaseImage, Check, Problem, Source
from pipeline.reference import Digest, Tag
from stages.build import Build
from stages.models.file import FolderFiles
from stages.models.model import Model
from stages.oci.annotations import annotations

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    folder = tmp_path / "desk"
    folder.mkdir()
    return Desk(folder=folder, cache=tmp_path / "not/yet/made")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    (folder / "model").mkdir(parents=True)
    (folder / "model/weights.bin").write_bytes(b"weights")
    (folder / "Dockerfile").write_text("FROM scratch\n")
    return folder


def build(project: Path) -> Build:
    model = Model(files=FolderFiles(folder=project / "model"), path="/models/digits")
    return Build(image="digits", context=project, dockerfile=project / "Dockerfile", model=model)


def source(root: Path) -> Source:
    return Source(
        root=root,
        commit=COMMIT,
        committed_at=datetime(2026, 1, 2, tzinfo=UTC),
        repository_url="https://example.com/models.git",
    )


def by_subject(checks: tuple[Check, ...], word: str) -> Check:
    return next(check for check in checks if word in check.subject)


def test_it_is_a_stage(project: Path) -> None:
    stage: Stage = build(project)
    assert stage.name == "build"


def test_without_docker_the_check_says_what_to_install(
    project: Path, desk: Desk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    checks = build(project).check(desk)
    buildx = by_subject(checks, "buildx")
    assert buildx.problem is Problem.TOOL
    assert "docker" in buildx.found
    assert buildx.advice
    assert build(project).identity(Artifacts(source(project))) is None
    with pytest.raises(ToolMissing):
        build(project).run(Artifacts(source(project)), desk)


def test_missing_files_are_listed_together(
    project: Path, desk: Desk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (project / "Dockerfile").unlink()
    (project / "model/weights.bin").unlink()
    checks = build(project).check(desk)
    assert by_subject(checks, "Dockerfile").problem is Problem.CONFIGURATION
    assert str(project / "Dockerfile") in by_subject(checks, "Dockerfile").found
    assert by_subject(checks, "model").problem is Problem.CONFIGURATION
    assert by_subject(checks, "context").passed
    assert build(project).disk_needs(Artifacts(source(project)), desk) == ()


def test_annotations_are_those_of_the_specification(project: Path) -> None:
    base = BaseImage(name="python:3.11-slim", digest=Digest.of(b"base"))
    assert annotations("digits", Tag("v1"), source(project), base) == {
        "org.opencontainers.image.title": "digits",
        "org.opencontainers.image.version": "v1",
        "org.opencontainers.image.revision": COMMIT,
        "org.opencontainers.image.source": "https://example.com/models.git",
        "org.opencontainers.image.created": "2026-01-02T00:00:00Z",
        "org.opencontainers.image.base.name": "docker.io/library/python:3.11-slim",
        "org.opencontainers.image.base.digest": str(Digest.of(b"base")),
        "io.model-image-pipeline.order": f"2026-01-02T00:00:00Z {COMMIT}",
    }


@pytest.mark.parametrize(
    ("name", "full"),
    [
        ("python", "docker.io/library/python:latest"),
        ("ghcr.io/team/base:1", "ghcr.io/team/base:1"),
        (f"team/base@{Digest.of(b'x')}", "docker.io/team/base"),
    ],
)
def test_the_base_is_named_in_full(project: Path, name: str, full: str) -> None:
    said = annotations("digits", Tag("v1"), source(project), BaseImage(name=name))
    assert said["org.opencontainers.image.base.name"] == full
    assert "org.opencontainers.image.base.digest" not in said
