"""Findings of several scanners in one list."""

from datetime import UTC, datetime

import pytest

from pipeline.model import (
    FoundBy,
    RegistryAnswer,
    ScanReport,
    Severity,
    Tool,
    Vulnerability,
    VulnerabilityDatabase,
)
from pipeline.reference import Digest, Repository
from stages.scanners.merging import Answer, merged

DIGEST = Digest.of(b"image")
NOW = datetime(2026, 1, 1, tzinfo=UTC)
HERE, THERE = Repository("registry.example.com/digits"), Repository("other.example.com/digits")


def finding(  # noqa: PLR0913 - each of them is plain at the call
    name: str = "CVE-1",
    package: str = "openssl",
    severity: Severity = Severity.MEDIUM,
    *,
    version: str = "1",
    source: str = "",
    fixed: str | None = None,
) -> Vulnerability:
    return Vulnerability(
        id=name,
        package=package,
        installed_version=version,
        source_package=source,
        severity=severity,
        fixed_version=fixed,
        severity_source=f"{name} {severity}",
    )


def report(*found: Vulnerability) -> ScanReport:
    return ScanReport(
        digest=DIGEST,
        scanner=Tool(name="trivy", version="1"),
        scanned_at=NOW,
        database=VulnerabilityDatabase(repository="here", schema_version=2, updated_at=NOW),
        packages=2,
        vulnerabilities=found,
    )


def answer(*found: Vulnerability, repository: Repository = HERE, scanner: str = "theirs") -> Answer:
    about = RegistryAnswer(
        repository=repository, digest=DIGEST, status="read", scanner=scanner, findings=len(found)
    )
    return about, found


@pytest.mark.parametrize(
    ("ours", "theirs", "highest"),
    [
        (Severity.LOW, Severity.HIGH, Severity.HIGH),
        (Severity.CRITICAL, Severity.HIGH, Severity.CRITICAL),
        (Severity.UNKNOWN, Severity.LOW, Severity.LOW),
        (Severity.LOW, Severity.UNKNOWN, Severity.LOW),
    ],
)
def test_the_highest_severity_counts_and_each_is_kept(
    ours: Severity, theirs: Severity, highest: Severity
) -> None:
    made = merged(report(finding(severity=ours)), [answer(finding(severity=theirs))])
    (one,) = made.vulnerabilities
    assert (one.severity, one.severity_source) == (highest, f"CVE-1 {highest}")
    assert one.found_by == (
        FoundBy(scanner="trivy", severity=ours),
        FoundBy(scanner="theirs", severity=theirs, repository=HERE),
    )


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (finding(package="PyYAML"), finding(package="pyyaml")),
        (finding(package="typing_extensions"), finding(package="typing-extensions")),
        (finding(package="libssl3", source="openssl"), finding(package="openssl", version="1:1-2")),
        (finding("cve-1"), finding("CVE-1")),
    ],
)
def test_names_that_differ_only_in_spelling_or_by_the_source_are_one(
    ours: Vulnerability, theirs: Vulnerability
) -> None:
    (one,) = merged(report(ours), [answer(theirs)]).vulnerabilities
    assert (one.id, one.package, one.installed_version) == (ours.id, ours.package, ours.installed_version)


def test_what_differs_is_two_findings_and_the_worst_comes_first() -> None:
    made = merged(
        report(finding(), finding("CVE-3")),
        [answer(finding("CVE-2", severity=Severity.HIGH), finding(package="zlib"))],
    )
    assert [(one.id, one.package) for one in made.vulnerabilities] == [
        ("CVE-2", "openssl"),
        ("CVE-1", "openssl"),
        ("CVE-3", "openssl"),
        ("CVE-1", "zlib"),
    ]
    assert [len(one.found_by) for one in made.vulnerabilities] == [1, 0, 0, 1]


def test_all_packages_of_one_source_are_found_by_both() -> None:
    ours = [finding(package=name, source="openssl") for name in ("libssl3", "openssl")]
    made = merged(report(*ours), [answer(finding(severity=Severity.HIGH))])
    assert [(one.package, one.severity) for one in made.vulnerabilities] == [
        ("libssl3", Severity.HIGH),
        ("openssl", Severity.HIGH),
    ]


def test_a_fix_that_anybody_knows_is_a_fix() -> None:
    made = merged(
        report(finding(), finding("CVE-2", fixed="2")), [answer(finding(fixed="3"), finding("CVE-2"))]
    )
    assert [one.fixed_version for one in made.vulnerabilities] == ["3", "2"]


def test_one_scanner_is_named_once_however_often_it_found_it() -> None:
    twice = (finding(severity=Severity.LOW), finding(severity=Severity.HIGH, version="2"))
    (one,) = merged(report(finding()), [answer(*twice)]).vulnerabilities
    assert [(by.scanner, by.severity) for by in one.found_by] == [
        ("trivy", Severity.MEDIUM),
        ("theirs", Severity.HIGH),
    ]


def test_two_versions_that_only_a_registry_found_are_two() -> None:
    made = merged(
        report(), [answer(finding(version="1"), finding(version="2")), answer(finding(version="1"))]
    )
    assert [one.installed_version for one in made.vulnerabilities] == ["1", "2"]


def test_two_registries_that_found_the_same_are_both_named() -> None:
    made = merged(report(), [answer(finding()), answer(finding(), repository=THERE)])
    (one,) = made.vulnerabilities
    assert [by.repository for by in one.found_by] == [HERE, THERE]


def test_answers_without_findings_change_nothing_but_are_kept() -> None:
    none = RegistryAnswer(repository=HERE, digest=DIGEST, status="no image")
    made = merged(report(finding()), [(none, ())])
    assert made.vulnerabilities == (finding(),)
    assert made.registries == (none,)
