"""Trivy's JSON report as findings of our own type.

Source: https://trivy.dev/latest/docs/configuration/reporting/#json (schema version 2).
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field, ValidationError

from pipeline.errors import StageFailed
from pipeline.model import Severity, Unjudged, Vulnerability
from stages.scanners.merging import worst_first

# Trivy's report looks the same for a release that it has no advisories for; only its log tells.
_UNKNOWN_RELEASE = "This OS version is not on the EOL list"
Package = tuple[str, str, str, str]


class _Score(BaseModel):
    v2: float | None = Field(default=None, alias="V2Score")
    v3: float | None = Field(default=None, alias="V3Score")
    v4: float | None = Field(default=None, alias="V40Score")

    @property
    def newest(self) -> float | None:
        return next((score for score in (self.v4, self.v3, self.v2) if score is not None), None)


class _Vulnerability(BaseModel):
    id: str = Field(alias="VulnerabilityID")
    package: str = Field(alias="PkgName")
    path: str = Field(default="", alias="PkgPath")
    installed_version: str = Field(alias="InstalledVersion")
    fixed_version: str | None = Field(default=None, alias="FixedVersion")
    severity: Severity = Field(default=Severity.UNKNOWN, alias="Severity")
    severity_source: str | None = Field(default=None, alias="SeveritySource")
    title: str = Field(default="", alias="Title")
    url: str | None = Field(default=None, alias="PrimaryURL")
    cvss: dict[str, _Score] = Field(default={}, alias="CVSS")

    @property
    def score(self) -> float | None:
        """The score of whoever said how severe it is, or else of the NVD, or else of anybody."""
        vendors = (self.severity_source or "", "nvd", *sorted(self.cvss))
        scores = (self.cvss[vendor].newest for vendor in vendors if vendor in self.cvss)
        return next((score for score in scores if score is not None), None)


class _Package(BaseModel):
    name: str = Field(alias="Name")
    version: str = Field(default="", alias="Version")
    path: str = Field(default="", alias="FilePath")
    source: str = Field(default="", alias="SrcName")


class _Result(BaseModel):
    target: str = Field(alias="Target")
    kind: str = Field(default="", alias="Class")
    type: str = Field(default="", alias="Type")
    packages: tuple[_Package, ...] = Field(default=(), alias="Packages")
    vulnerabilities: tuple[_Vulnerability, ...] = Field(default=(), alias="Vulnerabilities")


class _System(BaseModel):
    family: str = Field(default="", alias="Family")
    name: str = Field(default="", alias="Name")
    out_of_support: bool = Field(default=False, alias="EOSL")

    def __str__(self) -> str:
        return f"{self.family} {self.name}".strip()


class _Metadata(BaseModel):
    system: _System | None = Field(default=None, alias="OS")


class _Report(BaseModel):
    schema_version: Literal[2] = Field(alias="SchemaVersion")
    metadata: _Metadata = Field(default=_Metadata(), alias="Metadata")
    results: tuple[_Result, ...] = Field(default=(), alias="Results")


class Contents:
    """The packages and vulnerabilities of one platform after the other, each once."""

    def __init__(self) -> None:
        self._packages: set[Package] = set()
        self._vulnerabilities: dict[Vulnerability, None] = {}
        self._unjudged: dict[Unjudged, None] = {}

    def add(self, path: Path, log: str = "") -> None:
        """Take in a report, and what Trivy said while it made it.

        Raises:
            StageFailed: it is missing or is no report that we understand.
        """
        try:
            report = _Report.model_validate_json(path.read_bytes())
        except (OSError, ValidationError) as error:
            raise StageFailed(
                f"Trivy's report cannot be read: {error}",
                advice=f"The log beside {path} says what Trivy did; is its version newer than this pipeline?",
            ) from error
        self._unjudged.update(dict.fromkeys(_unjudged(report, log)))
        for result in report.results:
            self._packages.update(_packages(result))
            self._vulnerabilities.update(dict.fromkeys(_vulnerabilities(result)))

    @property
    def unjudged(self) -> tuple[Unjudged, ...]:
        """What could not be looked up."""
        return tuple(self._unjudged)

    @property
    def packages(self) -> int:
        """How many packages are installed."""
        return len(self._packages)

    @property
    def vulnerabilities(self) -> tuple[Vulnerability, ...]:
        """The findings, the worst first."""
        return tuple(sorted(self._vulnerabilities, key=worst_first))


def _unjudged(report: _Report, log: str) -> Iterable[Unjudged]:
    """Tell which packages of the distribution, if not all, nothing could be known of."""
    system = report.metadata.system
    if system is None or system.family in {"", "none"}:
        yield Unjudged(
            subject="unknown distribution",
            reason="has no package list that the scanner can read or look up, so flaws in it go unseen",
        )
        return
    installed = [result for result in report.results if result.kind == "os-pkgs"]
    if not installed:
        reason = "is no distribution that the scanner has advisories for, so flaws in its packages go unseen"
    elif not any(result.packages for result in installed):
        reason = "has lost its list of installed packages, so flaws in them go unseen"
    elif system.out_of_support:
        reason = "gets no security updates any more, so flaws in its packages go unseen"
    elif _UNKNOWN_RELEASE in log:
        reason = "is no release that the scanner knows, so flaws in its packages go unseen"
    else:
        return
    yield Unjudged(subject=str(system), reason=reason)


def _packages(result: _Result) -> Iterable[Package]:
    return ((result.type, found.name, found.version, found.path) for found in result.packages)


def _vulnerabilities(result: _Result) -> Iterable[Vulnerability]:
    sources = {package.name: package.source for package in result.packages}
    for found in result.vulnerabilities:
        yield Vulnerability(
            id=found.id,
            package=found.package,
            installed_version=found.installed_version,
            source_package=sources.get(found.package, ""),
            fixed_version=found.fixed_version or None,
            severity=found.severity,
            severity_source=found.severity_source or None,
            target=found.path or result.target,
            package_type=result.type,
            title=found.title,
            url=found.url or None,
            cvss_score=found.score,
        )
