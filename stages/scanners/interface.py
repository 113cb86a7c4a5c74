"""The contract of a scanner of packages; Trivy is one, Grype could be another."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Protocol, runtime_checkable

from pipeline.artifacts import Artifacts
from pipeline.desk import Desk
from pipeline.model import (
    BuiltImage,
    Check,
    DiskNeed,
    License,
    Misconfiguration,
    SbomFormat,
    ScanReport,
    Secret,
    Tool,
    Unjudged,
    Vulnerability,
    VulnerabilityDatabase,
)
from stages.oci.application_view import View
from stages.scanners.merging import Answer


@dataclass(frozen=True, slots=True)
class ListedView:
    """What a scanner listed while it scanned a view: documents of its own, one for each format."""

    view: View
    documents: Mapping[SbomFormat, bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What a scanner found in all platforms together, each thing once."""

    scanner: Tool
    database: VulnerabilityDatabase
    packages: int
    vulnerabilities: tuple[Vulnerability, ...]
    unjudged: tuple[Unjudged, ...] = ()
    secrets: tuple[Secret, ...] | None = None
    """None: it did not look for them; so with the two below."""
    licenses: tuple[License, ...] | None = None
    misconfigurations: tuple[Misconfiguration, ...] | None = None
    lists: tuple[ListedView, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ScannerOptions:
    """What the configuration says to any scanner; another distribution's is made of it."""

    cache: Path
    """A folder of its own between runs."""
    look_for: frozenset[str] = frozenset()
    """What to look for beside vulnerabilities: secrets, licenses, misconfigurations; None in findings says
    that it did not."""
    databases: tuple[str, ...] = ()
    """Where its database is fetched from, if the configuration says it."""
    maximum_age: timedelta = timedelta(days=7)
    """An older database is an error."""
    update: bool = True
    """Whether the database may be fetched."""
    lists: tuple[SbomFormat, ...] = ()
    """Lists of contents that are wanted; a scanner that is no `Listing` makes none."""
    timeout_s: float = 600


class Scanner(Protocol):
    """Looks up installed packages in a database of vulnerabilities; says what it could not look up."""

    @property
    def name(self) -> str:
        """The scanner's name in `pipeline.yaml` and the report."""
        ...

    def check(self, desk: Desk) -> tuple[Check, ...]:
        """Tell whether the program and its database are there."""
        ...

    def disk_needs(self, desk: Desk) -> tuple[DiskNeed, ...]:
        """Return what database and work take of a disk; nothing for what is there."""
        ...

    def identity(self) -> str | None:
        """Return all that the findings depend on beside the image; None where that is not known yet."""
        ...

    def scan(self, views: tuple[View, ...], desk: Desk) -> Findings:
        """Return what is known about the packages in these views.

        Raises:
            ToolMissing: the program is missing, too old, or not what it should be.
            RemoteError: there is no usable database, and it cannot be fetched.
            StageFailed: the database is too old or damaged, or the scan did not come to its end.
        """
        ...


class Addition(Protocol):
    """Something else that is found out about the image, and that the report of the scan tells too."""

    def check(self, desk: Desk) -> tuple[Check, ...]:
        """Tell whether what it needs is there."""
        ...

    def identity(self, have: Artifacts) -> str | None:
        """Return all that it depends on beside the image; None where that is not known yet."""
        ...

    def added(self, report: ScanReport, have: Artifacts, desk: Desk) -> ScanReport:
        """Return the report with what was found out.

        Raises:
            PipelineError: it could not be found out.
        """
        ...


@runtime_checkable
class Listing(Protocol):
    """A scanner that lists what is installed, and takes such a list (`view.sbom`) instead of the layers."""

    @property
    def tool(self) -> Tool:
        """The program and its version: another one may list more.

        Raises:
            ToolMissing: the program is missing, too old, or not what it should be.
        """
        ...

    @property
    def needs_layers(self) -> bool:
        """Tell whether it was asked for something that is in no list: then it gets the layers."""
        ...


class OutsideScanners(Protocol):
    """Scanners that others run, over an image that they hold already; registries have such."""

    def check(self) -> tuple[Check, ...]:
        """Tell of each of them whether it can be asked."""
        ...

    def ask(self, image: BuiltImage, desk: Desk) -> Iterable[Answer]:
        """Yield what each of them says; where it has no findings to read, that it has none, and why.

        Raises:
            PipelineError: one of them does not let us ask, or does not answer; what came before it counts.
        """
        ...
