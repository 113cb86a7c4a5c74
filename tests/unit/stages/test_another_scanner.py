"""Another scanner needs the interface and nothing else: Grype, by the report that it prints.

The program is a script that prints such a report; stage and report are the real ones.
"""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar

from pydantic import BaseModel, Field

from pipeline.artifacts import Artifacts
from pipeline.desk import Desk
from pipeline.errors import StageFailed
from pipeline.model import (
    BuiltImage,
    Check,
    DiskNeed,
    ScanReport,
    Severity,
    Tool,
    Vulnerability,
    VulnerabilityDatabase,
)
from pipeline.process import Command
from stages.oci.application_view import View
from stages.scan import Scan
from stages.scanners.interface import Findings, Scanner
from tests.unit.stages.test_scan import build, built

NOW = datetime(2026, 11, 22, tzinfo=UTC)
REPORT = {
    "matches": [
        {
            "vulnerability": {
                "id": "GHSA-8q59-q68h-6hv4",
                "severity": "Critical",
                "fix": {"versions": ["5.4"], "state": "fixed"},
            },
            "artifact": {"name": "PyYAML", "version": "5.3", "type": "python"},
        },
        {
            "vulnerability": {"id": "CVE-2011-3374", "severity": "Negligible", "fix": {"versions": []}},
            "artifact": {"name": "apt", "version": "2.6.1", "type": "deb"},
        },
    ],
    "descriptor": {
        "name": "grype",
        "version": "0.100.0",
        "db": {"built": "2026-11-21T06:00:00Z", "schema": 6},
    },
}


class _Fix(BaseModel):
    versions: tuple[str, ...]


class _Vulnerability(BaseModel):
    id: str
    severity: str
    fix: _Fix


class _Artifact(BaseModel):
    name: str
    version: str
    type: str


class _Match(BaseModel):
    vulnerability: _Vulnerability
    artifact: _Artifact


class _Database(BaseModel):
    built: datetime
    version: int = Field(alias="schema")


class _Descriptor(BaseModel):
    version: str
    db: _Database


class _Report(BaseModel):
    matches: tuple[_Match, ...]
    descriptor: _Descriptor


SEVERITIES = {"Critical": Severity.CRITICAL, "High": Severity.HIGH, "Negligible": Severity.LOW}


@dataclass(frozen=True, slots=True, kw_only=True)
class Grype:
    """Another scanner: no base class, no registration, nothing of Trivy."""

    program: Path

    name: ClassVar[str] = "grype"

    def check(self, desk: Desk) -> tuple[Check, ...]:
        del desk
        return (Check(subject="scanner Grype", found="0.100.0"),)

    def disk_needs(self, desk: Desk) -> tuple[DiskNeed, ...]:
        del desk
        return ()

    def identity(self) -> str | None:
        return "grype 0.100.0"

    def scan(self, views: tuple[View, ...], desk: Desk) -> Findings:
        found: dict[Vulnerability, None] = {}
        for view in views:
            arguments = (str(self.program), f"oci-dir:{view.layout}", "--output", "json")
            outcome = desk.run(Command(arguments=arguments), log="grype")
            if not outcome.succeeded:
                raise StageFailed("Grype failed", tail=outcome.stderr)
            report = _Report.model_validate_json(outcome.stdout)
            found.update(dict.fromkeys(map(_typed, report.matches)))
        return Findings(
            scanner=Tool(name=self.name, version=report.descriptor.version),
            database=VulnerabilityDatabase(
                repository="grype.anchore.io",
                schema_version=report.descriptor.db.version,
                updated_at=report.descriptor.db.built,
            ),
            packages=len({match.artifact.name for match in report.matches}),
            vulnerabilities=tuple(found),
        )


def _typed(match: _Match) -> Vulnerability:
    return Vulnerability(
        id=match.vulnerability.id,
        package=match.artifact.name,
        installed_version=match.artifact.version,
        fixed_version=next(iter(match.vulnerability.fix.versions), None),
        severity=SEVERITIES.get(match.vulnerability.severity, Severity.UNKNOWN),
        package_type=match.artifact.type,
    )


def grype(folder: Path) -> Scanner:
    """Return the scanner as the stage takes it; that this is typed is half of the test."""
    program = folder / "grype"
    program.write_text(
        f"#!/bin/sh\ntest -f ${{1#oci-dir:}}/index.json && cat <<'E'\n{json.dumps(REPORT)}\nE\n"
    )
    program.chmod(0o755)
    return Grype(program=program)


def test_the_stage_takes_a_scanner_that_it_does_not_know(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    have = Artifacts(built(*build(tmp_path)))
    stage = Scan(scanner=grype(tmp_path), now=lambda: NOW)
    report = stage.run(have, Desk(folder=folder, cache=tmp_path))
    assert (report.scanner, report.digest) == (Tool(name="grype", version="0.100.0"), have[BuiltImage].digest)
    assert [(one.id, one.severity, one.fixed_version) for one in report.vulnerabilities] == [
        ("GHSA-8q59-q68h-6hv4", Severity.CRITICAL, "5.4"),
        ("CVE-2011-3374", Severity.LOW, None),
    ]
    assert (report.secrets, report.licenses, report.misconfigurations) == (None, None, None)
    assert report.database_age.days == 0
    assert ScanReport.model_validate_json(report.model_dump_json()) == report
    assert stage.identity(have) is not None
