"""What ECR's own scanners found: basic scanning, and Amazon Inspector's enhanced scanning."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pipeline.model import RegistryScan, Severity, Tool, Vulnerability
from pipeline.reference import Digest

FINISHED = frozenset({"COMPLETE", "ACTIVE"})
SEVERITIES = {"CRITICAL": Severity.CRITICAL, "HIGH": Severity.HIGH, "MEDIUM": Severity.MEDIUM}
SEVERITIES |= {"LOW": Severity.LOW, "INFORMATIONAL": Severity.LOW}
NO_FIX = frozenset({"", "NotAvailable"})


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
            installed_version=str(package.get("version", "")),
            fixed_version=None if fixed in NO_FIX else fixed,
            severity=_severity(finding),
            severity_source="Amazon Inspector",
            target=str(package.get("filePath", "")),
            package_type=str(package.get("packageManager", "")).lower(),
            title=str(finding.get("title", "")),
            url=details.get("sourceUrl"),
            cvss_score=next((score for score in scores if score is not None), None),
        )


def _severity(finding: Mapping[str, Any]) -> Severity:
    return SEVERITIES.get(str(finding.get("severity", "")), Severity.UNKNOWN)


def _score(text: object) -> float | None:
    try:
        score = float(str(text))
    except ValueError:
        return None
    return score if 0 <= score <= 10 else None
