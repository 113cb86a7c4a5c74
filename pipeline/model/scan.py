"""What scanners found in one digest."""

from datetime import datetime, timedelta
from enum import StrEnum
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
    found_by: tuple[FoundBy, ...] = Field(
        default=(), description="of several scanners; the severity is their highest. Empty: the report's own"
    )


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

    @property
    def database_age(self) -> timedelta:
        """How old the database was when the scan ran."""
        return self.scanned_at - self.database.updated_at
