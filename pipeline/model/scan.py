"""What scanners found in one digest."""

from collections.abc import Iterable
from datetime import date, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Literal

from pydantic import Field

from pipeline.model.base import Evidence, Tool, Value
from pipeline.reference import Digest, Repository


class Severity(StrEnum):
    """How bad a vulnerability is said to be; UNKNOWN is a class of its own, not a low one."""

    CRITICAL = "CRITICAL"
    HIGH = "HIGH"
    MEDIUM = "MEDIUM"
    LOW = "LOW"
    UNKNOWN = "UNKNOWN"


class FoundBy(Value):
    """One scanner that found a vulnerability, and how bad it says that it is."""

    scanner: str
    severity: Severity
    repository: Repository | None = Field(default=None, description="None: our own scanner, of no registry")


class Vulnerability(Value):
    """A known weakness of an installed package."""

    id: str
    package: str
    installed_version: str
    source_package: str = Field(default="", description="what the package was built from, where it is known")
    fixed_version: str | None = Field(default=None, description="None where no fix is known")
    severity: Severity
    severity_source: str | None = None
    target: str = Field(default="", description="the file or distribution that the package was found in")
    package_type: str = Field(default="", description="debian, python-pkg, …")
    title: str = ""
    url: str | None = None
    cvss_score: float | None = Field(default=None, ge=0, le=10)
    cvss_vector: str | None = None
    references: tuple[str, ...] = Field(default=(), description="addresses of advisories")
    published_at: datetime | None = None
    known_exploited: date | None = Field(
        default=None, description="since when the given list of exploited vulnerabilities names it"
    )
    platforms: tuple[str, ...] = Field(default=(), description="where it is; empty: on every platform")
    found_by: tuple[FoundBy, ...] = Field(
        default=(), description="of several scanners; the severity is their highest. Empty: the report's own"
    )

    @property
    def key(self) -> tuple[str, str, str]:
        """What makes two findings the same, wherever the package lies: id, package, installed version."""
        return (self.id, self.package, self.installed_version)

    @property
    def flaw(self) -> tuple[str, str]:
        """What stays the same from one image to the next: id and package, however the package is written."""
        return (self.id.upper(), self.package.lower().replace("_", "-"))


class Secret(Value):
    """A secret in a layer, named by its rule; the secret itself is nowhere in the evidence."""

    rule: str
    category: str
    severity: Severity
    title: str
    path: str = Field(description="in the image; empty: in its configuration, such as a variable")
    line: int | None = None


class License(Value):
    """The licence that a package, or a file, says it stands under."""

    license: str = Field(
        description="as the package says it, SPDX's word where it is known; empty: it says none"
    )
    package: str = Field(description="empty for a file that belongs to no package")
    installed_version: str = ""
    path: str = ""


class Misconfiguration(Value):
    """A setting of the image that a scanner advises against."""

    id: str
    title: str
    message: str
    severity: Severity
    path: str = Field(default="", description="in the image; empty: of the image's own configuration")
    line: int | None = None
    resolution: str = ""
    url: str | None = None


class LintFinding(Value):
    """A line of the Dockerfile that a linter advises against."""

    code: str = Field(description="such as DL3008")
    level: Literal["error", "warning", "info", "style"]
    line: int
    column: int = 1
    message: str
    url: str | None = None


class DockerfileReport(Value):
    """What a linter says of the Dockerfile."""

    linter: Tool
    path: str = Field(description="relative to the folder of pipeline.yaml")
    digest: Digest
    findings: tuple[LintFinding, ...] = ()


FindingKind = Literal["unsafe", "malformed", "unread"]


class ScannedModelFile(Value):
    """A file of the model that was looked into, and what it is by its content."""

    path: str = Field(description="in the model's folder; absolute for one in the application's layers")
    digest: Digest
    size_bytes: int
    format: str = Field(description="such as safetensors, onnx, pickle; unknown where nothing fits")
    reused: bool = Field(default=False, description="known from an earlier scan of the same content")


class ModelFileFinding(Value):
    """Something in a file of the model that runs code when it is loaded, or that breaks its format's rules.

    unsafe: it can run code or reach other files; malformed: it breaks the rules of its format; unread: it
    could not be looked into whole, so nothing is known of it.
    """

    path: str = Field(description="as in ScannedModelFile")
    member: str = Field(default="", description="inside an archive: its members, joined by `!`")
    format: str
    kind: FindingKind
    code: str = Field(description="one word for the policies, such as pickle-import")
    subject: str = Field(default="", description="what it is about, such as the name that a pickle imports")
    message: str


class ModelFilesReport(Value):
    """What the scanner of model files found."""

    scanners: tuple[Tool, ...]
    files: tuple[ScannedModelFile, ...]
    findings: tuple[ModelFileFinding, ...] = ()


class ModelCard(Value):
    """What the model's README.md says in its YAML front matter, as the Hugging Face Hub reads it."""

    path: str = Field(description="in the model's folder")
    digest: Digest
    name: str = ""
    license: str = Field(default="", description="an SPDX expression, or else the card's own words")
    license_url: str = ""
    datasets: tuple[str, ...] = ()
    base_models: tuple[str, ...] = ()
    task: str = ""
    library: str = ""


SbomFormat = Literal["cyclonedx", "spdx"]


class Sbom(Value):
    """A list of what an image is made of on one platform, kept in a file."""

    format: SbomFormat
    platform: str
    subject: Digest = Field(description="of the manifest of the platform that it is about")
    path: Path = Field(description="relative to the folder of the runs' cache")
    digest: Digest = Field(description="of the file")
    components: int = Field(description="of the application and of the model, the model's files among them")
    reused: bool = False


class Baseline(Value):
    """The findings of the image that is deployed now: what is in them is not new."""

    reference: str = Field(description="of the deployed image, with digest")
    how: Literal["sbom", "scan", "same digest"] = Field(description="what was looked up in the database")
    database: str = Field(default="", description="empty: the same as the report's own")
    vulnerabilities: tuple[Vulnerability, ...] = ()
    size_bytes: int | None = Field(default=None, description="of the deployed image, compressed")

    @property
    def name(self) -> str:
        """The deployed image as people tell it from others: the beginning of its digest."""
        _, _, digest = self.reference.rpartition("@")
        return digest[: len("sha256:") + 12]


class VulnerabilityDatabase(Value):
    """The database that the scanner looked into; its age is part of the evidence."""

    repository: str
    schema_version: int
    updated_at: datetime
    downloaded_at: datetime | None = None


class Unjudged(Value):
    """A part of the image that could not be looked up: that nothing is known of it says nothing."""

    subject: str = Field(description="such as `debian 99.0`; policies allow it by this name")
    reason: str


class RegistryScan(Value):
    """What the registry's own scanner found in an image."""

    digest: Digest
    scanner: Tool
    completed_at: datetime | None = None
    database_updated_at: datetime | None = None
    vulnerabilities: tuple[Vulnerability, ...] = ()
    notes: tuple[str, ...] = Field(default=(), description="what the registry says beside its findings")


class RegistryAnswer(Value):
    """What a registry said when it was asked for its scanner's findings in one digest.

    Unless they were read, nothing is known from it: no finding then means nothing.
    """

    repository: Repository
    digest: Digest
    status: Literal["read", "no image", "no scan", "unfinished"]
    scanner: str = ""
    completed_at: datetime | None = None
    database_updated_at: datetime | None = None
    findings: int = Field(default=0, ge=0)
    notes: tuple[str, ...] = Field(default=(), description="what the registry says beside it")


class ScanReport(Evidence):
    """What the scanner found in the application layers of one digest, and in the base of its model image.

    With `scan.registry_findings`, what the scanners of registries found stands among the vulnerabilities too.
    """

    digest: Digest
    scanner: Tool
    scanned_at: datetime
    database: VulnerabilityDatabase
    packages: int = Field(ge=0, description="how many installed packages were compared with the database")
    vulnerabilities: tuple[Vulnerability, ...] = ()
    unjudged: tuple[Unjudged, ...] = Field(default=(), description="what could not be looked up, and why")
    registries: tuple[RegistryAnswer, ...] = Field(default=(), description="asked for their own findings")
    secrets: tuple[Secret, ...] | None = Field(default=None, description="None: nobody looked for them")
    licenses: tuple[License, ...] | None = Field(default=None, description="None: nobody looked for them")
    misconfigurations: tuple[Misconfiguration, ...] | None = Field(
        default=None, description="None: nobody looked for them"
    )
    known_exploited_list: str = Field(default="", description="the list that was given, and its date")
    dockerfile: DockerfileReport | None = None
    dockerfile_unread: str = Field(
        default="", description="why no linter read the Dockerfile, where none did"
    )
    model_files: ModelFilesReport | None = None
    model_card: ModelCard | None = Field(default=None, description="None: there is none, or nobody looked")
    sboms: tuple[Sbom, ...] = ()
    baseline: Baseline | None = Field(default=None, description="None: nobody asked what is new")
    baseline_missing: str = Field(default="", description="why there is no baseline, where one was wanted")

    @property
    def database_age(self) -> timedelta:
        """How old the database was when the scan ran."""
        return self.scanned_at - self.database.updated_at

    @property
    def new_vulnerabilities(self) -> tuple[Vulnerability, ...] | None:
        """The findings that the deployed image does not have; None where there is no baseline.

        A package that was upgraded and still has the flaw brought none: its version does not count.
        """
        if self.baseline is None:
            return None
        return _without(self.vulnerabilities, self.baseline.vulnerabilities)

    @property
    def gone_vulnerabilities(self) -> tuple[Vulnerability, ...] | None:
        """The findings that the deployed image alone has; None where there is no baseline."""
        if self.baseline is None:
            return None
        return _without(self.baseline.vulnerabilities, self.vulnerabilities)


def _without(found: Iterable[Vulnerability], others: Iterable[Vulnerability]) -> tuple[Vulnerability, ...]:
    known = {each.flaw for each in others}
    return tuple(each for each in found if each.flaw not in known)
