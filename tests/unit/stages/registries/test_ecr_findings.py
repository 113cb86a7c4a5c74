from __future__ import annotations

from datetime import UTC, datetime

from pipeline.model import Severity
from pipeline.reference import Digest
from stages.registries.ecr_findings import read_scan

DIGEST = Digest.of(b"image")
DONE = {"status": "COMPLETE"}
BASIC = {
    "name": "CVE-2024-0001",
    "description": "A hole.",
    "uri": "https://example.com/CVE-2024-0001",
    "severity": "INFORMATIONAL",
    "attributes": [
        {"key": "package_name", "value": "openssl"},
        {"key": "package_version", "value": "3.0.1"},
        {"key": "CVSS3_SCORE", "value": "7.5"},
    ],
}
ENHANCED = {
    "severity": "CRITICAL",
    "title": "CVE-2024-0002 - urllib3",
    "packageVulnerabilityDetails": {
        "vulnerabilityId": "CVE-2024-0002",
        "sourceUrl": "https://example.com/2",
        "cvss": [{"baseScore": 9.8}],
        "vulnerablePackages": [
            {
                "name": "urllib3",
                "version": "1.0",
                "fixedInVersion": "1.1",
                "packageManager": "PYTHON",
                "filePath": "a",
            },
            {"name": "urllib3", "version": "0.9", "fixedInVersion": "NotAvailable", "filePath": "b"},
        ],
    },
}


def test_pages_of_basic_findings_are_read_as_one_scan() -> None:
    when = datetime(2026, 11, 1, tzinfo=UTC)
    pages = [
        {
            "imageScanStatus": DONE,
            "imageScanFindings": {
                "imageScanCompletedAt": when,
                "vulnerabilitySourceUpdatedAt": when,
                "findings": [BASIC],
            },
        },
        {"imageScanStatus": DONE, "imageScanFindings": {"findings": [{"name": "CVE-2024-0003"}]}},
    ]
    scan = read_scan(pages, DIGEST)
    assert scan is not None
    assert (scan.digest, scan.completed_at, scan.database_updated_at) == (DIGEST, when, when)
    assert scan.scanner.name == "Amazon ECR basic scanning"
    first, second = scan.vulnerabilities
    assert (first.id, first.package, first.installed_version) == ("CVE-2024-0001", "openssl", "3.0.1")
    assert (first.severity, first.cvss_score, first.fixed_version) == (Severity.LOW, 7.5, None)
    assert (second.id, second.severity, second.cvss_score) == ("CVE-2024-0003", Severity.UNKNOWN, None)


def test_an_enhanced_finding_is_one_for_each_package() -> None:
    pages = [{"imageScanStatus": {"status": "ACTIVE"}, "imageScanFindings": {"enhancedFindings": [ENHANCED]}}]
    scan = read_scan(pages, DIGEST)
    assert scan is not None
    assert scan.scanner.name == "Amazon Inspector"
    assert [(each.target, each.fixed_version) for each in scan.vulnerabilities] == [("a", "1.1"), ("b", None)]
    assert {(each.id, each.severity, each.cvss_score) for each in scan.vulnerabilities} == {
        ("CVE-2024-0002", Severity.CRITICAL, 9.8)
    }
    assert scan.vulnerabilities[0].package_type == "python"


def test_a_scan_that_found_nothing_is_not_one_that_was_not_made() -> None:
    nothing = read_scan([{"imageScanStatus": DONE, "imageScanFindings": {"findings": []}}], DIGEST)
    assert nothing is not None
    assert nothing.vulnerabilities == ()
    assert read_scan([], DIGEST) is None
    assert read_scan([{"imageScanStatus": {"status": "IN_PROGRESS"}}], DIGEST) is None


def test_a_finding_that_inspector_took_back_does_not_count_and_a_suppressed_one_does() -> None:
    found = [{**ENHANCED, "status": status} for status in ("CLOSED", "SUPPRESSED")]
    pages = [{"imageScanStatus": {"status": "ACTIVE"}, "imageScanFindings": {"enhancedFindings": found}}]
    scan = read_scan(pages, DIGEST)
    assert scan is not None
    assert len(scan.vulnerabilities) == 2  # the packages of one


def test_a_version_has_its_epoch_and_release() -> None:
    package = {"name": "openssl", "epoch": 1, "version": "3.0.11", "release": "1~deb12u2"}
    details = {"vulnerabilityId": "CVE-1", "vulnerablePackages": [package, {**package, "epoch": 0}]}
    findings = {"enhancedFindings": [{"packageVulnerabilityDetails": details}]}
    scan = read_scan([{"imageScanStatus": {"status": "ACTIVE"}, "imageScanFindings": findings}], DIGEST)
    assert scan is not None
    versions = [each.installed_version for each in scan.vulnerabilities]
    assert versions == ["1:3.0.11-1~deb12u2", "3.0.11-1~deb12u2"]
