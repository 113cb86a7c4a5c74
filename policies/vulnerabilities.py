"""Are the known vulnerabilities few enough, and was the scan a fresh one?"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import date, timedelta
from fnmatch import fnmatchcase
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, NonNegativeInt, PositiveFloat, StringConstraints

from pipeline.model import Artifact, Reason, ScanReport, Severity, Verdict, Vulnerability
from policies.rule import Options, Rule, plural

SHOWN = 5
Word = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


def _upper(value: object) -> object:
    return {str(key).upper(): limit for key, limit in value.items()} if isinstance(value, dict) else value


def _some(ceilings: Mapping[Severity, int]) -> Mapping[Severity, int]:
    if not ceilings:
        raise ValueError("without a ceiling everything is allowed; write one, such as {CRITICAL: 0}")
    return ceilings


Ceilings = Annotated[Mapping[Severity, NonNegativeInt], BeforeValidator(_upper), AfterValidator(_some)]


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
        return found.id.lower() == self.id.lower() and _same_package(found.package, self.package)


class VulnerabilitiesRule(Rule):
    """At most so many findings of each severity."""

    rule: Literal["vulnerabilities"]
    maximum: Ceilings
    """How many findings of CRITICAL, HIGH, MEDIUM, LOW, UNKNOWN are allowed; others do not count."""
    fixable_only: bool = False
    """Count only findings that a newer version of the package mends."""
    new_only: bool = False
    """Count only findings that the deployed image lacks (`scan.baseline`); all where that is unknown."""
    packages: tuple[Word, ...] = ()
    """Count only findings in these packages (`*` stands for any characters); default: in all."""
    exceptions: tuple[VulnerabilityException, ...] = ()
    """Findings that are accepted for a while."""

    judges: ClassVar[type[Artifact]] = ScanReport

    def judge(self, artifact: ScanReport) -> Verdict:
        """Return the verdict on a scan, as of the day on which it was made."""
        today = artifact.scanned_at.date()
        live = tuple(one for one in self.exceptions if one.expires >= today)
        counted = [found for found in self._looked_at(artifact) if not any(one.covers(found) for one in live)]
        reasons = (
            self._reason([found for found in counted if found.severity is severity], ceiling, artifact)
            for severity, ceiling in self.maximum.items()
        )
        return self.verdict((reason for reason in reasons if reason), self._summary(artifact, live))

    def _looked_at(self, report: ScanReport) -> Iterator[Vulnerability]:
        """Yield the findings that this rule is about, each once wherever the package lies in the image."""
        seen: set[tuple[str, str, str]] = set()
        new = report.new_vulnerabilities if self.new_only else None
        for found in report.vulnerabilities if new is None else new:
            key = (found.id, found.package, found.installed_version)
            if key in seen or (self.fixable_only and found.fixed_version is None):
                continue
            if self.packages and not any(_same_package(found.package, name) for name in self.packages):
                continue
            seen.add(key)
            yield found

    def _reason(self, found: list[Vulnerability], ceiling: int, report: ScanReport) -> Reason | None:
        if len(found) <= ceiling:
            return None
        today = report.scanned_at.date()
        shown = "; ".join(self._describe(one, today) for one in found[:SHOWN])
        more = f"; and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
        fixable = " that can be fixed" if self.fixable_only else ""
        fixable += f", {_since(report)}" if self.new_only else ""
        count = plural(len(found), f"{found[0].severity} vulnerability")
        return Reason(
            message=f"{count}{fixable}; at most {ceiling} allowed: {shown}{more}",
            advice=_remedy(found) + self._how_to_except(found[0], today),
        )

    def _describe(self, found: Vulnerability, today: date) -> str:
        fix = f", fixed in {found.fixed_version}" if found.fixed_version else ", no fix known"
        text = f"{found.id} in {found.package} {found.installed_version}{fix}{_finders(found)}"
        for one in self.exceptions:
            if one.covers(found):  # a live one would have taken it out
                days = plural((today - one.expires).days, "day")
                text += f" (its exception by {one.owner} expired on {one.expires}, {days} before the scan)"
        return text

    def _how_to_except(self, found: Vulnerability, today: date) -> str:
        where = f" of the rule at {self.origin}" if self.origin else " of this rule"
        return (
            f" Where it is no danger, accept it for a while under `exceptions:`{where}:"
            f" {{id: {found.id}, package: {found.package}, reason: …, owner: …,"
            f" expires: {today + timedelta(days=30)}}}."
        )

    def _summary(self, report: ScanReport, live: Iterable[VulnerabilityException]) -> str:
        found = tuple(
            {(one.id, one.package, one.installed_version): one for one in report.vulnerabilities}.values()
        )
        counts = {severity: sum(one.severity is severity for one in found) for severity in Severity}
        always = {Severity.CRITICAL, Severity.HIGH}
        parts = [
            f"{count} {severity.lower()}" for severity, count in counts.items() if count or severity in always
        ]
        if found:
            fixable = sum(one.fixed_version is not None for one in found)
            parts.append(f"{fixable or 'none'} with a fix")
        excepted = sum(any(one.covers(vulnerability) for one in live) for vulnerability in found)
        if excepted:
            parts.append(f"{excepted} accepted by exception")
        if self.new_only:
            parts.append(_since(report))
        unused = [one.id for one in self.exceptions if not any(one.covers(each) for each in found)]
        if unused:
            parts.append(f"no longer needed: exception for {', '.join(unused)}")
        return ", ".join(parts)


class VulnerabilityDatabaseRule(Rule):
    """The database that the scanner looked into was young enough."""

    rule: Literal["vulnerability_database"]
    maximum_age_days: PositiveFloat
    """Days between the last update of the database and the scan."""

    judges: ClassVar[type[Artifact]] = ScanReport

    def judge(self, artifact: ScanReport) -> Verdict:
        """Return the verdict on the age of the database when the scan ran."""
        days = artifact.database_age / timedelta(days=1)
        summary = f"database of {artifact.database.updated_at:%Y-%m-%d}"
        if days <= self.maximum_age_days:
            return self.verdict((), summary)
        reason = Reason(
            message=f"the vulnerability database was {days:.1f} days old;"
            f" at most {self.maximum_age_days:g} are allowed",
            advice=f"Bring {artifact.database.repository} up to date, or scan with another database.",
        )
        return self.verdict((reason,), summary)


class UnjudgedRule(Rule):
    """The scanner could look up all that it found; where it could not, no finding means nothing."""

    rule: Literal["unjudged"]
    allowed: tuple[Word, ...] = ()
    """What need not be looked up, such as `debian 13*` or `unknown distribution`."""

    judges: ClassVar[type[Artifact]] = ScanReport

    def judge(self, artifact: ScanReport) -> Verdict:
        """Return the verdict on what a scan could not look up."""
        unjudged = artifact.unjudged
        refused = [
            each for each in unjudged if not any(fnmatchcase(each.subject, one) for one in self.allowed)
        ]
        where = f" at {self.origin}" if self.origin else ""
        reasons = (
            Reason(
                message=f"{each.subject} {each.reason}",
                advice="Use a base image of a supported release, and a current scanner. To accept it unseen,"
                f" name it in the rule{where}: `{{rule: unjudged, allowed: [{each.subject}]}}`.",
            )
            for each in refused
        )
        subjects = ", ".join(each.subject for each in unjudged)
        return self.verdict(reasons, f"allowed unseen: {subjects}" if unjudged else "all could be looked up")


def _since(report: ScanReport) -> str:
    """Return how many findings are new, or why nobody knows and all of them count."""
    if report.baseline is None or report.new_vulnerabilities is None:
        why = report.baseline_missing or "`scan.baseline` is not set"
        return f"all of them counted since nothing is known of what is deployed ({why})"
    new = len({found.key for found in report.new_vulnerabilities})
    known = len({found.key for found in report.vulnerabilities}) - new
    return f"{new or 'none'} new since {report.baseline.name}, which has {known or 'none'} of them already"


def _finders(found: Vulnerability) -> str:
    """Return who found it and how severe each says it is, where another scanner than our own did."""
    told = ", ".join(f"{by.scanner}: {by.severity}" for by in found.found_by)
    return f" ({told})" if told else ""


def _remedy(found: Iterable[Vulnerability]) -> str:
    upgrades = {f"{one.package} to {one.fixed_version}": None for one in found if one.fixed_version}
    if not upgrades:
        return "No newer version mends it: leave the package out, or use another base image."
    more = "" if len(upgrades) <= SHOWN else ", …"
    return f"Upgrade {', '.join(list(upgrades)[:SHOWN])}{more}, and build again."


def _same_package(name: str, pattern: str) -> bool:
    """Tell whether a package goes by this name; case, `-` and `_` make no difference (PEP 503)."""
    return fnmatchcase(_normalised(name), _normalised(pattern))


def _normalised(name: str) -> str:
    return name.lower().replace("_", "-")
