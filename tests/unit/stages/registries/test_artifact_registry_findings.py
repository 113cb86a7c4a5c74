"""What is read of Container Analysis' occurrences."""

import pytest

from pipeline.model import RegistryScan, Severity
from pipeline.reference import Digest
from stages.registries.artifact_registry_findings import read_discovery, read_scan
from stages.registries.interface import NoScan

DIGEST = Digest.of(b"image")
PACKAGES, MALWARE = "projects/goog-analysis/notes/PACKAGE_VULNERABILITY", "projects/other/notes/MALWARE"


def discovery(status: str | None = "FINISHED_SUCCESS", note: str = PACKAGES) -> dict[str, object]:
    state = {"analysisStatus": status} if status else {}
    return {"noteName": note, "updateTime": "2026-11-21T10:00:00Z", "discovery": state}


@pytest.mark.parametrize(
    ("found", "status"),
    [
        ([discovery("PENDING")], "unfinished"),
        ([discovery(), discovery("SCANNING")], "unfinished"),
        ([discovery("SCANNING"), discovery(note=MALWARE)], "unfinished"),
        ([discovery("FINISHED_FAILED"), discovery(note=MALWARE)], "no scan"),
        ([discovery("FINISHED_FAILED", MALWARE), discovery(note=MALWARE)], "no scan"),
        ([discovery("A_WORD_OF_TOMORROW")], "no scan"),
    ],
)
def test_what_is_not_finished_well_is_no_clean_scan(found: list[dict[str, object]], status: str) -> None:
    answer = read_discovery(found)
    assert isinstance(answer, NoScan)
    assert answer.status == status
    assert answer.note


@pytest.mark.parametrize("found", [[], [discovery(None)], [discovery("ANALYSIS_STATUS_UNSPECIFIED")], [{}]])
def test_without_an_analysis_there_is_no_answer(found: list[dict[str, object]]) -> None:
    assert read_discovery(found) is None


@pytest.mark.parametrize(
    "found",
    [
        [discovery()],
        [discovery("COMPLETE")],
        [discovery(), discovery("SCANNING", MALWARE)],
        [discovery(note="projects/x/notes/ANOTHER")],
    ],
)
def test_a_finished_analysis_of_packages_can_be_read(found: list[dict[str, object]]) -> None:
    assert not isinstance(read_discovery(found), NoScan | None)


def read(issue: dict[str, object], **details: object) -> RegistryScan:
    analysis = read_discovery([discovery()])
    assert not isinstance(analysis, NoScan | None)
    vulnerability = {"packageIssue": [issue], **details}
    note = "projects/goog-vulnz/notes/CVE-2024-0001"
    return read_scan(analysis, [{"noteName": note, "vulnerability": vulnerability}], DIGEST)


@pytest.mark.parametrize(
    ("issue", "details", "severity"),
    [
        ({"effectiveSeverity": "LOW"}, {"effectiveSeverity": "HIGH", "severity": "CRITICAL"}, Severity.LOW),
        ({"effectiveSeverity": "SEVERITY_UNSPECIFIED"}, {"severity": "CRITICAL"}, Severity.CRITICAL),
        ({}, {"effectiveSeverity": "MINIMAL"}, Severity.LOW),
        ({}, {}, Severity.UNKNOWN),
    ],
)
def test_the_distributions_severity_goes_before_the_general_one(
    issue: dict[str, object], details: dict[str, object], severity: Severity
) -> None:
    (found,) = read(issue, **details).vulnerabilities
    assert (found.id, found.severity) == ("CVE-2024-0001", severity)


@pytest.mark.parametrize(
    ("version", "fix"),
    [
        ({"kind": "NORMAL", "fullName": "1.2-3", "name": "1.2"}, "1.2-3"),
        ({"kind": "NORMAL", "name": "1.2"}, "1.2"),
        ({"kind": "MAXIMUM"}, None),
        ({}, None),
    ],
)
def test_a_fix_is_a_version_and_nothing_else(version: dict[str, str], fix: str | None) -> None:
    (found,) = read({"fixedVersion": version}).vulnerabilities
    assert found.fixed_version == fix


def test_where_and_what_a_package_is() -> None:
    issue: dict[str, object] = {
        "affectedPackage": "urllib3",
        "affectedVersion": {"kind": "NORMAL", "fullName": "1.0"},
        "packageType": "PYPI",
        "fileLocation": [{"filePath": "app/METADATA"}],
    }
    links = [{"url": "https://example.com/1", "label": "More Info"}]
    (found,) = read(issue, relatedUrls=links, shortDescription="A hole", cvssScore=7.5).vulnerabilities
    assert (found.package, found.installed_version, found.package_type) == ("urllib3", "1.0", "pypi")
    assert (found.target, found.url, found.title, found.cvss_score) == (
        "app/METADATA",
        "https://example.com/1",
        "A hole",
        7.5,
    )
