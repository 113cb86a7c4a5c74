"""Findings that somebody accepts: exceptions with an owner and an end, and statements in VEX documents."""

from collections.abc import Iterable
from datetime import date
from typing import Protocol

from pipeline.model import ScanReport, Vulnerability
from policies.names import same_package
from policies.rule import Options, Word, plural


class VulnerabilityException(Options):
    """A finding that is accepted until a day, for a reason, by somebody."""

    id: Word
    """The vulnerability, such as CVE-2020-14343."""
    package: Word
    """The package that it is accepted in."""
    reason: Word
    """Why it is no danger here."""
    owner: Word
    """Who decided so."""
    expires: date
    """The last day on which it holds."""

    def covers(self, found: Vulnerability) -> bool:
        """Tell whether this is the finding it was written for."""
        return found.id.lower() == self.id.lower() and same_package(found.package, self.package)


def since_when(owner: str, expires: date, today: date) -> str:
    """Say that an exception has expired, and when."""
    return f"its exception by {owner} expired on {expires}, {plural((today - expires).days, 'day')} ago"


class Statement(Protocol):
    """What a VEX document says of a vulnerability: that it does not concern a product."""

    @property
    def origin(self) -> str:
        """Where that is said."""

    def covers(self, found: Vulnerability, report: ScanReport) -> bool:
        """Tell whether it is about this finding in this image."""


def unused(exceptions: Iterable[VulnerabilityException], report: ScanReport) -> tuple[str, ...]:
    """Return a line for each exception that nothing was found for."""
    return tuple(
        f"the exception for {one.id} in {one.package} (by {one.owner}) covers nothing: remove it, or correct "
        "what it names"
        for one in exceptions
        if not any(one.covers(found) for found in report.vulnerabilities)
    )
