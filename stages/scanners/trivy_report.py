"""Trivy's JSON report as findings of our own type.

Source: https://trivy.dev/latest/docs/configuration/reporting/#json (schema version 2).
"""

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field, ValidationError

from pipeline.errors import StageFailed
from pipeline.model import License, Misconfiguration, Secret, Severity, Unjudged, Vulnerability
from stages.scanners.merging import RANK, worst_first

# Trivy's report looks the same for a release that it has no advisories for; only its log tells.
_UNKNOWN_RELEASE = "This OS version is not on the EOL list"
Package = tuple[str, str, str, str]


class _Score(BaseModel):
    v2: float | None = Field(default=None, alias="V2Score")
    v2_vector: str | None = Field(default=None, alias="V2Vector")
    v3: float | None = Field(default=None, alias="V3Score")
    v3_vector: str | None = Field(default=None, alias="V3Vector")
    v4: float | None = Field(default=None, alias="V40Score")
    v4_vector: str | None = Field(default=None, alias="V40Vector")

    @property
    def newest(self) -> "_Given | None":
        """The score of the newest version of CVSS, and how it came about."""
        given = ((self.v4, self.v4_vector), (self.v3, self.v3_vector), (self.v2, self.v2_vector))
        return next(((score, vector or None) for score, vector in given if score is not None), None)


_Given = tuple[float, str | None]


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
    references: tuple[str, ...] = Field(default=(), alias="References")
    published_at: datetime | None = Field(default=None, alias="PublishedDate")

    @property
    def score(self) -> _Given | tuple[None, None]:
        """The score of whoever said how severe it is, or else of the NVD, or else of anybody."""
        vendors = (self.severity_source or "", "nvd", *sorted(self.cvss))
        scores = (self.cvss[vendor].newest for vendor in vendors if vendor in self.cvss)
        return next((score for score in scores if score is not None), (None, None))


class _Package(BaseModel):
    name: str = Field(alias="Name")
    version: str = Field(default="", alias="Version")
    path: str = Field(default="", alias="FilePath")
    source: str = Field(default="", alias="SrcName")
    licenses: tuple[str, ...] = Field(default=(), alias="Licenses")


class _Secret(BaseModel):
    """Neither the match nor the lines around it are read: they need not reach us to be kept secret."""

    rule: str = Field(alias="RuleID")
    category: str = Field(default="", alias="Category")
    severity: Severity = Field(default=Severity.UNKNOWN, alias="Severity")
    title: str = Field(default="", alias="Title")
    line: int = Field(default=0, alias="StartLine")


class _Cause(BaseModel):
    line: int = Field(default=0, alias="StartLine")


class _Misconfiguration(BaseModel):
    id: str = Field(alias="ID")
    title: str = Field(default="", alias="Title")
    message: str = Field(default="", alias="Message")
    severity: Severity = Field(default=Severity.UNKNOWN, alias="Severity")
    status: str = Field(default="FAIL", alias="Status")
    resolution: str = Field(default="", alias="Resolution")
    url: str | None = Field(default=None, alias="PrimaryURL")
    cause: _Cause = Field(default=_Cause(), alias="CauseMetadata")


class _Result(BaseModel):
    target: str = Field(alias="Target")
    kind: str = Field(default="", alias="Class")
    type: str = Field(default="", alias="Type")
    packages: tuple[_Package, ...] = Field(default=(), alias="Packages")
    vulnerabilities: tuple[_Vulnerability, ...] = Field(default=(), alias="Vulnerabilities")
    secrets: tuple[_Secret, ...] = Field(default=(), alias="Secrets")
    misconfigurations: tuple[_Misconfiguration, ...] = Field(default=(), alias="Misconfigurations")


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
    name: str = Field(default="", alias="ArtifactName")
    metadata: _Metadata = Field(default=_Metadata(), alias="Metadata")
    results: tuple[_Result, ...] = Field(default=(), alias="Results")


class Contents:
    """What one platform after the other holds, each thing once."""

    def __init__(self) -> None:
        self._platforms: set[str] = set()
        self._packages: dict[Package, None] = {}
        self._vulnerabilities: dict[Vulnerability, set[str]] = {}
        self._secrets: dict[Secret, None] = {}
        self._licenses: dict[License, None] = {}
        self._misconfigurations: dict[Misconfiguration, None] = {}
        self._unjudged: dict[Unjudged, None] = {}

    def add(self, path: Path, log: str = "", platform: str = "") -> None:
        """Take in a report, and what Trivy said while it made it.

        Raises:
            StageFailed: it is missing or is no report that we understand.
        """
        try:
            report = _Report.model_validate_json(path.read_bytes())
        except (OSError, ValidationError) as error:
            raise StageFailed(
                f"Trivy's report cannot be read: {_in_short(error)}",
                advice=f"The log beside {path} says what Trivy did; is its version newer than this pipeline?",
            ) from error
        self._platforms.add(platform)
        self._unjudged.update(dict.fromkeys(_unjudged(report, log)))
        for result in report.results:
            self._packages.update(dict.fromkeys(_packages(result)))
            self._licenses.update(dict.fromkeys(_licenses(result)))
            self._secrets.update(dict.fromkeys(_secrets(result, report.name)))
            self._misconfigurations.update(dict.fromkeys(_misconfigurations(result, report.name)))
            for found in _vulnerabilities(result, report.name):
                self._vulnerabilities.setdefault(found, set()).add(platform)

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
        """The findings, the worst first; one that is not on every platform names its platforms."""
        told = (
            found
            if platforms == self._platforms
            else found.model_copy(update={"platforms": tuple(sorted(platforms))})
            for found, platforms in self._vulnerabilities.items()
        )
        return tuple(sorted(told, key=worst_first))

    @property
    def secrets(self) -> tuple[Secret, ...]:
        """The places of secrets, the worst first."""
        return tuple(
            sorted(self._secrets, key=lambda one: (RANK[one.severity], one.path, one.line or 0, one.rule))
        )

    @property
    def licenses(self) -> tuple[License, ...]:
        """The licences of every package, by its name."""
        return tuple(
            sorted(
                self._licenses, key=lambda one: (one.package, one.installed_version, one.path, one.license)
            )
        )

    @property
    def misconfigurations(self) -> tuple[Misconfiguration, ...]:
        """What is advised against in the image's configuration, the worst first."""
        return tuple(sorted(self._misconfigurations, key=lambda one: (RANK[one.severity], one.id)))


def _in_short(error: OSError | ValidationError) -> str:
    """Return what is wrong without the report's own text, which may hold what is nobody's business."""
    if isinstance(error, OSError):
        return str(error)
    first = error.errors(include_input=False, include_url=False)[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}".removeprefix(": ")


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


def _licenses(result: _Result) -> Iterable[License]:
    """Yield the licences of each package; one of none that names what says nothing of itself."""
    for found in result.packages:
        for name in found.licenses or ("",):
            yield License(license=name, package=found.name, installed_version=found.version, path=found.path)


def _secrets(result: _Result, image: str) -> Iterable[Secret]:
    path = "" if result.target == image else result.target  # its configuration: the lines are of no file
    for found in result.secrets:
        yield Secret(
            rule=found.rule,
            category=found.category,
            severity=found.severity,
            title=found.title,
            path=path,
            line=found.line or None if path else None,
        )


def _misconfigurations(result: _Result, image: str) -> Iterable[Misconfiguration]:
    path = "" if result.target == image else result.target
    for found in result.misconfigurations:
        if found.status == "FAIL":
            yield Misconfiguration(
                id=found.id,
                title=found.title,
                message=found.message,
                severity=found.severity,
                path=path,
                line=found.cause.line or None if path else None,
                resolution=found.resolution,
                url=found.url or None,
            )


def _place(target: str, image: str) -> str:
    """Return what Trivy calls a part of the image, without the path at which this scan read the image."""
    return f"image{target.removeprefix(image)}" if image and target.startswith(image) else target


def _vulnerabilities(result: _Result, image: str) -> Iterable[Vulnerability]:
    sources = {package.name: package.source for package in result.packages}
    for found in result.vulnerabilities:
        score, vector = found.score
        yield Vulnerability(
            id=found.id,
            package=found.package,
            installed_version=found.installed_version,
            source_package=sources.get(found.package, ""),
            fixed_version=found.fixed_version or None,
            severity=found.severity,
            severity_source=found.severity_source or None,
            target=found.path or _place(result.target, image),
            package_type=result.type,
            title=found.title,
            url=found.url or None,
            cvss_score=score,
            cvss_vector=vector,
            references=found.references,
            published_at=found.published_at,
        )
