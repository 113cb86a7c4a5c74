"""Which lines a record speaks of."""

from datetime import UTC, datetime
from pathlib import Path

from pipeline.ci.github import GitHub
from pipeline.model import DockerfileReport, LintFinding, ScanReport, Source, Tool, VulnerabilityDatabase
from pipeline.record import Record, StageRecord, Status
from pipeline.reference import Digest
from pipeline.report.annotate import annotations

WHEN = datetime(2026, 11, 22, tzinfo=UTC)


def linted(root: Path, path: str, *findings: LintFinding) -> Record:
    report = ScanReport(
        digest=Digest.of(b""),
        scanner=Tool(name="trivy", version="1"),
        scanned_at=WHEN,
        database=VulnerabilityDatabase(repository="a", schema_version=2, updated_at=WHEN),
        packages=1,
        dockerfile=DockerfileReport(
            linter=Tool(name="hadolint", version="2.15.1"),
            path=path,
            digest=Digest.of(b""),
            findings=findings,
        ),
    )
    stage = StageRecord(
        name="scan", gives="ScanReport", status=Status.PASSED, artifact=report.model_dump(mode="json")
    )
    source = Source(root=root, commit="a" * 40, committed_at=WHEN)
    return Record(run="1", started_at=WHEN, stages=(stage,), source=source)


STYLE = LintFinding(code="DL3015", level="info", line=2, message="Avoid additional packages")
SUDO = LintFinding(
    code="DL3004", level="error", line=5, message="Do not use sudo", url="https://example.com/DL3004"
)


def test_advice_on_the_dockerfile_stands_beside_its_lines_and_is_no_error(tmp_path: Path) -> None:
    root = tmp_path / "models" / "digits"
    found = annotations(linted(root, "../shared/Dockerfile", STYLE, SUDO))
    place = str(tmp_path / "models" / "shared" / "Dockerfile")
    assert [(one.level, one.title, one.file, one.line) for one in found] == [
        ("warning", "DL3004", place, 5),
        ("notice", "DL3015", place, 2),
    ]
    assert found[0].message == "Do not use sudo\nhttps://example.com/DL3004"
    github = GitHub(environment={"GITHUB_WORKSPACE": str(tmp_path)})
    assert github.annotations(found).splitlines() == [
        (
            "::warning file=models/shared/Dockerfile,line=5,title=DL3004::"
            "Do not use sudo%0Ahttps://example.com/DL3004"
        ),
        "::notice file=models/shared/Dockerfile,line=2,title=DL3015::Avoid additional packages",
    ]
