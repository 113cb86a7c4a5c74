"""The rule about what a linter says of the Dockerfile."""

from datetime import UTC, datetime
from typing import Literal

import pytest
from pydantic import ValidationError

from pipeline.model import DockerfileReport, LintFinding, ScanReport, Tool, VulnerabilityDatabase
from pipeline.reference import Digest
from policies.dockerfile import DockerfileRule

NOW = datetime(2026, 11, 22, tzinfo=UTC)
Level = Literal["error", "warning", "info", "style"]


def finding(code: str, level: Level, line: int = 1) -> LintFinding:
    return LintFinding(code=code, level=level, line=line, message=f"about {code}")


def report(*findings: LintFinding, read: bool = True, why: str = "") -> ScanReport:
    linted = DockerfileReport(
        linter=Tool(name="hadolint", version="2.15.1"),
        path="app/Dockerfile",
        digest=Digest.of(b""),
        findings=findings,
    )
    return ScanReport(
        digest=Digest.of(b""),
        scanner=Tool(name="trivy", version="1"),
        scanned_at=NOW,
        database=VulnerabilityDatabase(repository="a", schema_version=2, updated_at=NOW),
        packages=1,
        dockerfile=linted if read else None,
        dockerfile_unread=why,
    )


FOUND = (finding("DL3008", "warning", 2), finding("DL3003", "warning", 5), finding("DL4000", "error", 6))


def rule(**options: object) -> DockerfileRule:
    return DockerfileRule.model_validate({"rule": "dockerfile", **options})


def test_errors_alone_count_by_default() -> None:
    verdict = rule().judge(report(*FOUND))
    (reason,) = verdict.reasons
    assert reason.message == (
        "1 error in the Dockerfile; at most 0 allowed: app/Dockerfile:6: DL4000 about DL4000"
    )
    assert "# hadolint ignore=DL4000" in reason.advice
    assert verdict.summary == "hadolint: 2 warnings, 1 error"
    assert rule().judge(report(*FOUND[:2])).passed


def test_each_level_has_its_ceiling() -> None:
    limits = {"error": 1, "warning": 1, "info": 0}
    (reason,) = rule(maximum=limits).judge(report(*FOUND)).reasons
    assert reason.message.startswith("2 warnings in the Dockerfile; at most 1 allowed: app/Dockerfile:2: ")
    many = [finding("DL3009", "info", line) for line in range(7)]
    (reason,) = rule(maximum=limits).judge(report(*many)).reasons
    assert reason.message.startswith("7 info findings in the Dockerfile; at most 0 allowed: ")
    assert reason.message.endswith("; and 2 more")


def test_ignored_codes_do_not_count() -> None:
    verdict = rule(maximum={"warning": 0}, ignored=["DL30*"]).judge(report(*FOUND))
    assert (verdict.passed, verdict.summary) == (True, "hadolint: 1 error")
    assert rule().judge(report()).summary == "hadolint: nothing to say"


def test_a_dockerfile_that_nobody_read() -> None:
    unread = report(read=False, why="hadolint is not installed")
    assert rule().judge(unread).passed
    assert rule().judge(unread).summary == "not read: hadolint is not installed"
    (reason,) = rule(required=True).judge(unread).reasons
    assert reason.message == (
        "no linter has read the Dockerfile: hadolint is not installed; that is required"
    )
    assert "model-image-pipeline[hadolint]" in reason.advice
    assert rule(required=True).judge(report()).passed


def test_there_are_four_levels() -> None:
    with pytest.raises(ValidationError, match="'error', 'warning', 'info' or 'style'"):
        rule(maximum={"fatal": 0})
