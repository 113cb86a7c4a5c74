"""The findings of the registries' own scanners in the scan: the real libraries under the real host names."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest
import requests

from pipeline.artifacts import Artifacts
from pipeline.desk import Desk
from pipeline.errors import PipelineError, RemoteError, TemporaryRemoteError
from pipeline.model import (
    BuiltImage,
    Check,
    DiskNeed,
    Problem,
    ScanReport,
    Severity,
    Tool,
    Vulnerability,
    VulnerabilityDatabase,
)
from pipeline.reference import Repository
from pipeline.report.phrases import describe
from policies.vulnerabilities import VulnerabilitiesRule
from stages.oci.application_view import View
from stages.registries.connections import Registries
from stages.registries.findings import RegistryFindings
from stages.scan import Scan
from stages.scanners.interface import Findings
from tests.support.clouds import artifact_registry, ecr
from tests.support.clouds.artifact_registry import GoogleCloud
from tests.support.clouds.aws import REGIONS, aws_refusal
from tests.support.clouds.container_analysis import LIST
from tests.support.clouds.ecr import Amazon
from tests.support.clouds.front import Asked
from tests.support.clouds.google import IMAGE, WRITER, Refusal
from tests.support.clouds.pushing import push, push_to
from tests.support.loopback import Reply
from tests.support.small_image import make_image

pytestmark = pytest.mark.integration
LogIn = Callable[[frozenset[str]], None]
NOW = datetime(2026, 11, 22, tzinfo=UTC)
LIBSSL = Vulnerability(
    id="CVE-2024-0001",
    package="libssl3",
    source_package="openssl",
    installed_version="3.0.11-1~deb12u2",
    severity=Severity.LOW,
)


@dataclass(frozen=True, slots=True)
class Ours:
    """A scanner that finds what it is told to."""

    found: tuple[Vulnerability, ...] = ()
    name: str = field(default="ours", init=False)

    def check(self, desk: Desk) -> tuple[Check, ...]:
        return ()

    def disk_needs(self, desk: Desk) -> tuple[DiskNeed, ...]:
        return ()

    def identity(self) -> str | None:
        return "1"

    def scan(self, views: tuple[View, ...], desk: Desk) -> Findings:
        return Findings(
            scanner=Tool(name=self.name, version="1"),
            database=VulnerabilityDatabase(repository="none", schema_version=1, updated_at=NOW),
            packages=len(views),
            vulnerabilities=self.found,
        )


def scan_of(*names: str, found: tuple[Vulnerability, ...] = ()) -> Scan:
    registries = Registries(repositories=tuple(map(Repository, names)))
    return Scan(scanner=Ours(found), outside=RegistryFindings(registries=registries), now=lambda: NOW)


def scanned(scan: Scan, image: BuiltImage, desk: Desk) -> ScanReport:
    return scan.run(Artifacts(image), desk)


@pytest.fixture
def amazon_repository(amazon: Amazon, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An empty repository of ECR, and an administrator who is logged in."""
    for name, value in amazon.plane.administrator.environment.items():
        monkeypatch.setenv(name, value)
    path = f"models/{uuid4().hex[:12]}"
    amazon.plane.client("ecr").create_repository(repositoryName=path)
    yield f"{ecr.HOST}/{path}"
    amazon.plane.before = lambda _: None
    amazon.plane.calls.clear()


@pytest.fixture
def google_repository(google_cloud: GoogleCloud, log_in: LogIn) -> Iterator[str]:
    """An empty repository of Artifact Registry, and an account that may push and read findings."""
    google = google_cloud.google
    log_in(WRITER | {LIST})
    google.make_repository("europe-west1", "models")
    yield f"{artifact_registry.HOST}/demo/models/{uuid4().hex[:12]}"
    google.before = lambda _: None
    google.repositories.clear()
    google.images.clear()
    google.analysis.noted.clear()
    google.analysis.page_size = 100
    google.calls.clear()
    assert google_cloud.internet.proxy.refused == []  # nothing was asked of anybody else


@pytest.fixture
def log_in(google_cloud: GoogleCloud, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> LogIn:
    """Be somebody at Google who may do this and nothing else."""

    def log_in(permissions: frozenset[str]) -> None:
        monkeypatch.setenv("NO_GCE_CHECK", "true")
        document = google_cloud.google.make_account(permissions=permissions).document
        (tmp_path / "key.json").write_text(json.dumps(document))
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "key.json"))

    return log_in


def answer_of_amazon(
    cloud: Amazon, repository: str, digest: str, findings: dict[str, object], status: str = "COMPLETE"
) -> None:
    """Let ECR answer this once it is asked about a digest."""
    name = repository.partition("/")[2]
    cloud.plane.client("ecr").start_image_scan(repositoryName=name, imageId={"imageDigest": digest})
    result = {
        "repositoryName": name,
        "imageId": {"imageDigest": digest},
        "imageScanStatus": {"status": status, "description": "As AWS puts it."},
        "imageScanFindings": findings,
    }
    address = f"http://127.0.0.1:{cloud.plane.port}/moto-api/static/ecr/scan-finding-results"
    document = {"region": REGIONS[0], "results": [result]}
    requests.post(address, json=document, timeout=10).raise_for_status()


def basic(name: str, package: str, severity: str) -> dict[str, object]:
    attributes = [{"key": "package_name", "value": package}, {"key": "package_version", "value": "3.0.11"}]
    return {"name": name, "severity": severity, "attributes": attributes}


def inspector(name: str, package: str, severity: str) -> dict[str, object]:
    found = {"name": package, "version": "1.0", "fixedInVersion": "1.1", "packageManager": "PYTHON"}
    details = {"vulnerabilityId": name, "vulnerablePackages": [found]}
    return {"severity": severity, "status": "ACTIVE", "packageVulnerabilityDetails": details}


def test_a_finding_of_two_scanners_is_one_with_the_higher_severity_and_both_names(
    amazon: Amazon, amazon_repository: str, image: BuiltImage, desk: Desk
) -> None:
    push(push_to(amazon_repository), image, desk)
    found = [basic("CVE-2024-0001", "openssl", "HIGH"), basic("CVE-2024-0002", "zlib", "MEDIUM")]
    answer_of_amazon(amazon, amazon_repository, image.digest, {"findings": found})
    report = scanned(scan_of(amazon_repository, found=(LIBSSL,)), image, desk)
    both, theirs = report.vulnerabilities
    assert (both.package, both.severity, both.installed_version) == (
        "libssl3",
        Severity.HIGH,
        "3.0.11-1~deb12u2",
    )
    assert [(by.scanner, by.severity) for by in both.found_by] == [
        ("ours", Severity.LOW),
        ("Amazon ECR basic scanning", Severity.HIGH),
    ]
    assert (theirs.id, [by.repository for by in theirs.found_by]) == ("CVE-2024-0002", [amazon_repository])
    (answer,) = report.registries
    assert (answer.status, answer.findings, answer.digest) == ("read", 2, image.digest)
    assert f"Amazon ECR basic scanning of {amazon_repository}: 2 findings, 1 of its own" in describe(report)
    rule = VulnerabilitiesRule.model_validate(
        {"rule": "vulnerabilities", "maximum": {"HIGH": 0, "MEDIUM": 0}}
    )
    reasons = [reason.message for reason in rule.judge(report).reasons]
    assert len(reasons) == 2
    assert "(ours: LOW, Amazon ECR basic scanning: HIGH)" in reasons[0]


def test_all_pages_of_inspector_are_read(
    amazon: Amazon, amazon_repository: str, image: BuiltImage, desk: Desk
) -> None:
    push(push_to(amazon_repository), image, desk)
    answer_of_amazon(amazon, amazon_repository, image.digest, {"enhancedFindings": []}, "ACTIVE")
    pages = {
        None: ([inspector("CVE-2024-0001", "urllib3", "CRITICAL")], "1"),
        "1": ([inspector("CVE-2024-0002", "urllib3", "UNTRIAGED")], None),
    }

    def paged(asked: Asked) -> Reply | None:
        if amazon.plane.calls[-1] != "DescribeImageScanFindings":
            return None
        found, following = pages[json.loads(asked.read()).get("nextToken")]
        reply = asked.forward()
        document = json.loads(reply.body)
        document["imageScanFindings"] = {"enhancedFindings": found}
        document |= {"nextToken": following} if following else {}
        return Reply(200, {"Content-Type": "application/x-amz-json-1.1"}, json.dumps(document).encode())

    amazon.plane.before = paged
    report = scanned(scan_of(amazon_repository), image, desk)
    assert [(one.id, one.severity, one.fixed_version) for one in report.vulnerabilities] == [
        ("CVE-2024-0001", Severity.CRITICAL, "1.1"),
        ("CVE-2024-0002", Severity.UNKNOWN, "1.1"),
    ]
    assert report.registries[0].scanner == "Amazon Inspector"


def test_every_platform_is_asked_for(
    amazon: Amazon, amazon_repository: str, tmp_path: Path, desk: Desk
) -> None:
    image = make_image(tmp_path / "image", {"app.py": b"1"}, platforms=("linux/amd64", "linux/arm64"))
    push(push_to(amazon_repository), image, desk)
    one, other = (platform.manifest.digest for platform in image.platforms)
    answer_of_amazon(amazon, amazon_repository, one, {"findings": [basic("CVE-1", "a", "LOW")]})
    report = scanned(scan_of(amazon_repository), image, desk)
    assert [(each.digest, each.status) for each in report.registries] == [(one, "read"), (other, "no scan")]
    told = describe(report)
    assert f"Amazon ECR basic scanning of {amazon_repository}: 1 finding, 1 of its own" in told
    assert f"{amazon_repository} has not scanned it (is scanning switched on for this repository?)" in told


def test_what_amazon_does_not_know_is_told_and_is_no_clean_scan(
    amazon: Amazon, amazon_repository: str, image: BuiltImage, desk: Desk
) -> None:
    scan = scan_of(amazon_repository)
    first = scanned(scan, image, desk)
    nowhere = scanned(scan_of(f"{ecr.HOST}/models/{uuid4().hex}"), image, desk)
    push(push_to(amazon_repository), image, desk)
    unscanned = scanned(scan, image, desk)
    answer_of_amazon(amazon, amazon_repository, image.digest, {}, "IN_PROGRESS")
    unfinished = scanned(scan, image, desk)
    assert [each.registries[0].status for each in (first, nowhere, unscanned, unfinished)] == [
        "no image",
        "no image",
        "no scan",
        "unfinished",
    ]
    assert f"{amazon_repository} does not have this image yet" in describe(first)
    assert "has not finished its scan (IN_PROGRESS: As AWS puts it.)" in describe(unfinished)


def test_an_image_that_amazon_cannot_scan_has_no_scan(
    amazon: Amazon, amazon_repository: str, image: BuiltImage, desk: Desk
) -> None:
    push(push_to(amazon_repository), image, desk)
    answer_of_amazon(amazon, amazon_repository, image.digest, {}, "UNSUPPORTED_IMAGE")
    (answer,) = scanned(scan_of(amazon_repository), image, desk).registries
    assert (answer.status, answer.notes) == ("no scan", ("UNSUPPORTED_IMAGE: As AWS puts it.",))


def test_amazons_missing_permission_is_named_by_the_plan_and_by_the_run(
    amazon: Amazon, amazon_repository: str, image: BuiltImage, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    with amazon.plane.enforcing():
        user = amazon.plane.make_user("ecr:DescribeImages", "ecr:DescribeRepositories")
        for name, value in user.environment.items():
            monkeypatch.setenv(name, value)
        scan = scan_of(amazon_repository, found=(LIBSSL,))
        (found,) = scan.check(desk)
        with pytest.raises(RemoteError, match="AWS does not allow ecr:DescribeImageScanFindings") as caught:
            scanned(scan, image, desk)
    assert found.problem is Problem.REMOTE
    assert "AWS does not allow ecr:DescribeImageScanFindings" in found.found
    assert "`scan.registry_findings`" in found.advice
    assert isinstance(caught.value.made, ScanReport)  # what our own scanner found is kept
    assert caught.value.made.vulnerabilities == (LIBSSL,)


def test_a_throttled_amazon_is_an_error(
    amazon: Amazon, amazon_repository: str, image: BuiltImage, desk: Desk
) -> None:
    amazon.plane.before = lambda _: aws_refusal("ThrottlingException", "Rate exceeded")
    with pytest.raises(TemporaryRemoteError, match="cannot read the scan's findings: AWS is busy"):
        scanned(scan_of(amazon_repository), image, desk)


def test_the_plan_says_that_findings_can_be_read(
    amazon_repository: str, google_repository: str, desk: Desk
) -> None:
    checks = scan_of(amazon_repository, google_repository, "ghcr.io/team/digits").check(desk)
    assert [(each.subject, each.found, each.passed) for each in checks] == [
        (f"findings of {amazon_repository}", "can be read", True),
        (f"findings of {google_repository}", "can be read", True),
    ]


def test_without_a_registry_that_scans_the_setting_is_a_mistake(desk: Desk) -> None:
    (found,) = scan_of("ghcr.io/team/digits").check(desk)
    assert found.problem is Problem.CONFIGURATION


def test_what_google_found_counts(
    google_cloud: GoogleCloud, google_repository: str, image: BuiltImage, desk: Desk
) -> None:
    push(push_to(google_repository), image, desk)
    analysis, there = google_cloud.google.analysis, f"{google_repository}@{image.digest}"
    analysis.page_size = 2
    analysis.analysed(there, lastScanTime="2026-11-21T09:00:00Z")
    analysis.found(
        there, "CVE-2024-0001", "openssl", "3.0.11-1", "CRITICAL", fixed="3.0.12-1", cvssv3={"baseScore": 9.1}
    )
    analysis.found(there, "CVE-2024-0002", "zlib", "1.2.13", "MINIMAL")
    analysis.found(there, "CVE-2024-0003", "perl", "5.36", "SEVERITY_UNSPECIFIED")
    analysis.found(f"{google_repository}@sha256:{'0' * 64}", "CVE-2024-0004", "bash", "5", "HIGH")
    report = scanned(scan_of(google_repository, found=(LIBSSL,)), image, desk)
    assert [(one.id, one.package, one.severity, one.fixed_version) for one in report.vulnerabilities] == [
        ("CVE-2024-0001", "libssl3", Severity.CRITICAL, "3.0.12-1"),
        ("CVE-2024-0003", "perl", Severity.MEDIUM, None),
        ("CVE-2024-0002", "zlib", Severity.LOW, None),
    ]
    (answer,) = report.registries
    assert (answer.status, answer.scanner, answer.findings, answer.notes) == (
        "read",
        "Google Artifact Analysis",
        3,
        (),
    )
    assert answer.completed_at == datetime(2026, 11, 21, 9, tzinfo=UTC)
    assert f"Google Artifact Analysis of {google_repository}: 3 findings, 2 of its own" in describe(report)


def test_what_google_does_not_know_is_told_and_is_no_clean_scan(
    google_cloud: GoogleCloud, google_repository: str, image: BuiltImage, desk: Desk
) -> None:
    scan, analysis = scan_of(google_repository), google_cloud.google.analysis
    there = f"{google_repository}@{image.digest}"
    answers = [scanned(scan, image, desk).registries[0]]
    push(push_to(google_repository), image, desk)
    answers += scanned(scan, image, desk).registries
    analysis.analysed(there, "SCANNING")
    answers += scanned(scan, image, desk).registries
    analysis.noted.clear()
    analysis.analysed(
        there, "FINISHED_UNSUPPORTED", analysisStatusError={"message": "No known distribution."}
    )
    answers += scanned(scan, image, desk).registries
    assert [(each.status, each.notes) for each in answers] == [
        ("no image", ()),
        ("no scan", ("is scanning switched on for this repository?",)),
        ("unfinished", ("SCANNING",)),
        ("no scan", ("FINISHED_UNSUPPORTED: No known distribution.",)),
    ]


def test_an_old_analysis_says_how_old_it_is(
    google_cloud: GoogleCloud, google_repository: str, image: BuiltImage, desk: Desk
) -> None:
    there = f"{google_repository}@{image.digest}"
    google_cloud.google.analysis.analysed(there, continuousAnalysis="INACTIVE")
    (answer,) = scanned(scan_of(google_repository), image, desk).registries
    assert answer.status == "read"
    assert "no longer looked at anew; its findings are of 2026-11-21" in answer.notes[0]


def test_googles_missing_permission_is_named(
    google_repository: str, image: BuiltImage, desk: Desk, log_in: LogIn
) -> None:
    log_in(WRITER)
    scan = scan_of(google_repository)
    (found,) = scan.check(desk)
    with pytest.raises(RemoteError, match=f"Google does not allow {LIST} in project demo") as caught:
        scanned(scan, image, desk)
    assert f"Google does not allow {LIST} in project demo" in found.found
    assert (
        "add-iam-policy-binding demo --role=roles/containeranalysis.occurrences.viewer" in caught.value.advice
    )
    assert "`scan.registry_findings`" in caught.value.advice
    log_in((WRITER | {LIST}) - {IMAGE})
    with pytest.raises(RemoteError, match=f"Google does not allow {IMAGE}"):
        scanned(scan, image, desk)


def test_googles_disabled_api_is_told_with_the_command(
    google_cloud: GoogleCloud, google_repository: str, image: BuiltImage, desk: Desk
) -> None:
    def disabled(asked: Asked) -> Reply | None:
        if asked.host != "containeranalysis.googleapis.com":
            return None
        said = "Container Analysis API has not been used in project 1 before or it is disabled."
        return Refusal(403, "PERMISSION_DENIED", said, "SERVICE_DISABLED").reply

    google_cloud.google.before = disabled
    with pytest.raises(RemoteError, match="Container Analysis API is disabled in project demo") as caught:
        scanned(scan_of(google_repository), image, desk)
    assert "gcloud services enable containeranalysis.googleapis.com" in caught.value.advice


def test_a_busy_google_is_asked_again(
    google_cloud: GoogleCloud, google_repository: str, image: BuiltImage, desk: Desk
) -> None:
    left = [2]

    def busy(asked: Asked) -> Reply | None:
        if asked.host != "containeranalysis.googleapis.com" or not left[0]:
            return None
        left[0] -= 1
        return Refusal(429, "RESOURCE_EXHAUSTED", "Quota exceeded").reply

    google_cloud.google.before = busy
    (answer,) = scanned(scan_of(google_repository), image, desk).registries
    assert (answer.status, left) == ("no image", [0])


def test_an_answer_that_nobody_can_read_is_an_error(
    google_cloud: GoogleCloud, google_repository: str, image: BuiltImage, desk: Desk
) -> None:
    there = f"{google_repository}@{image.digest}"
    google_cloud.google.analysis.analysed(there, lastScanTime="yesterday")
    with pytest.raises(PipelineError, match=r"what Container Analysis says of sha256:\w+ cannot be read"):
        scanned(scan_of(google_repository), image, desk)


def test_without_a_login_nothing_is_known(
    google_repository: str, image: BuiltImage, desk: Desk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS")
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    with pytest.raises(RemoteError, match="there are no Google credentials") as caught:
        scanned(scan_of(google_repository), image, desk)
    assert "A `docker login` is not enough for this" in caught.value.advice


@dataclass(frozen=True, slots=True)
class Both:
    """Two clouds, each with a repository."""

    amazon: Amazon
    google: GoogleCloud
    repositories: tuple[str, str]


@pytest.fixture
def both(amazon: Amazon, amazon_repository: str, google_cloud: GoogleCloud, google_repository: str) -> Both:
    return Both(amazon, google_cloud, (amazon_repository, google_repository))


def test_two_registries_that_found_the_same_are_one_finding(
    both: Both, image: BuiltImage, desk: Desk
) -> None:
    for repository in both.repositories:
        push(push_to(repository), image, desk)
    ours, theirs = both.repositories
    found = [basic("CVE-2024-0002", "zlib", "HIGH")]
    answer_of_amazon(both.amazon, ours, image.digest, {"findings": found})
    there, analysis = f"{theirs}@{image.digest}", both.google.google.analysis
    analysis.analysed(there)
    analysis.found(there, "CVE-2024-0002", "zlib", "1.2.13", "LOW", fixed="1.3")
    report = scanned(scan_of(*both.repositories), image, desk)
    (one,) = report.vulnerabilities
    assert (one.severity, one.fixed_version) == (Severity.HIGH, "1.3")
    assert [by.repository for by in one.found_by] == list(both.repositories)


def test_one_registry_that_fails_takes_nothing_away(both: Both, image: BuiltImage, desk: Desk) -> None:
    repository, _ = both.repositories
    push(push_to(repository), image, desk)
    found = [basic("CVE-2024-0002", "zlib", "HIGH")]
    answer_of_amazon(both.amazon, repository, image.digest, {"findings": found})
    both.google.google.before = lambda _: Refusal(400, "INVALID_ARGUMENT", "Not today").reply
    with pytest.raises(PipelineError) as caught:
        scanned(scan_of(*both.repositories, found=(LIBSSL,)), image, desk)
    report = caught.value.made
    assert isinstance(report, ScanReport)
    assert [one.id for one in report.vulnerabilities] == ["CVE-2024-0002", "CVE-2024-0001"]
    assert [each.repository for each in report.registries] == [repository]
