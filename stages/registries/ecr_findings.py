"""What ECR's own scanners found: basic scanning, and Amazon Inspector's enhanced scanning."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pipeline.model import RegistryScan, Severity, Tool, Vulnerability
from pipeline.reference import Digest
from stages.registries.ecr_api import EcrApi
from stages.registries.interface import NoScan

FINISHED = frozenset({"COMPLETE", "ACTIVE"})
UNFINISHED = frozenset({"IN_PROGRESS", "PENDING"})
SEVERITIES = {"CRITICAL": Severity.CRITICAL, "HIGH": Severity.HIGH, "MEDIUM": Severity.MEDIUM}
SEVERITIES |= {"LOW": Severity.LOW, "INFORMATIONAL": Severity.LOW}
CLOSED = (
    "CLOSED"  # Inspector has taken the finding back; one that somebody suppressed there counts all the same
)
NO_FIX = frozenset({"", "NotAvailable"})


def find_scan(api: EcrApi, name: str, digest: Digest) -> RegistryScan | NoScan:
    """Return the findings in a manifest, or why there are none to read.

    Raises:
        PipelineError: AWS does not let us ask, or does not answer.
    """
    pages = tuple(api.scan_pages(name, digest))
    if (scan := read_scan(pages, digest)) is not None:
        return scan
    for page in pages:
        status = page.get("imageScanStatus") or {}
        if status.get("status") not in FINISHED:
            return _unread(str(status.get("status", "")), str(status.get("description", "")))
    image = api.find_image(name, digest)
    if image is None:
        return NoScan(status="no image")
    if image.scan_status:
        return _unread(image.scan_status)
    return NoScan(status="no scan", note="is scanning switched on for this repository?")


def _unread(status: str, description: str = "") -> NoScan:
    note = f"{status}: {description}" if description else status
    return NoScan(status="unfinished" if status in UNFINISHED else "no scan", note=note)


def read_scan(pages: Iterable[Mapping[str, Any]], digest: Digest) -> RegistryScan | None:
    """Return the findings of a finished scan; None where there is none."""
    found: list[Vulnerability] = []
    first: Mapping[str, Any] | None = None
    enhanced = False
    for page in pages:
        if (page.get("imageScanStatus") or {}).get("status") not in FINISHED:
            return None
        findings = page.get("imageScanFindings") or {}
        first = first or findings
        enhanced = enhanced or "enhancedFindings" in findings
        found += (_basic(each) for each in findings.get("findings") or ())
        for each in findings.get("enhancedFindings") or ():
            if each.get("status") != CLOSED:
                found += _enhanced(each)
    if first is None:
        return None
    return RegistryScan(
        digest=digest,
        scanner=Tool(name="Amazon Inspector" if enhanced else "Amazon ECR basic scanning", version=""),
        completed_at=first.get("imageScanCompletedAt"),
        database_updated_at=first.get("vulnerabilitySourceUpdatedAt"),
        vulnerabilities=tuple(found),
    )


def _basic(finding: Mapping[str, Any]) -> Vulnerability:
    attributes = {each["key"]: str(each.get("value", "")) for each in finding.get("attributes") or ()}
    return Vulnerability(
        id=str(finding["name"]),
        package=attributes.get("package_name", ""),
        installed_version=attributes.get("package_version", ""),
        severity=_severity(finding),
        severity_source="Amazon ECR",
        title=str(finding.get("description", "")),
        url=finding.get("uri"),
        cvss_score=_score(attributes.get("CVSS3_SCORE") or attributes.get("CVSS2_SCORE")),
    )


def _enhanced(finding: Mapping[str, Any]) -> Iterator[Vulnerability]:
    details = finding.get("packageVulnerabilityDetails") or {}
    scores = [_score(each.get("baseScore")) for each in details.get("cvss") or ()]
    for package in details.get("vulnerablePackages") or ():
        fixed = str(package.get("fixedInVersion", ""))
        yield Vulnerability(
            id=str(details.get("vulnerabilityId", "")),
            package=str(package.get("name", "")),
            installed_version=_version(package),
            fixed_version=None if fixed in NO_FIX else fixed,
            severity=_severity(finding),
            severity_source="Amazon Inspector",
            target=str(package.get("filePath", "")),
            package_type=str(package.get("packageManager", "")).lower(),
            title=str(finding.get("title", "")),
            url=details.get("sourceUrl"),
            cvss_score=next((score for score in scores if score is not None), None),
        )


def _version(package: Mapping[str, Any]) -> str:
    """Return a version as the package's own tools write it: [epoch:]version[-release]."""
    epoch, release = package.get("epoch"), package.get("release")
    version = f"{epoch}:" if epoch else ""
    return f"{version}{package.get('version', '')}" + (f"-{release}" if release else "")


def _severity(finding: Mapping[str, Any]) -> Severity:
    return SEVERITIES.get(str(finding.get("severity", "")), Severity.UNKNOWN)


def _score(text: object) -> float | None:
    try:
        score = float(str(text))
    except ValueError:
        return None
    return score if 0 <= score <= 10 else None
