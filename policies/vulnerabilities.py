"""Are the known vulnerabilities few enough?"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import date, timedelta
from fnmatch import fnmatchcase
from typing import Annotated, ClassVar, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    NonNegativeInt,
    PositiveFloat,
    PrivateAttr,
    model_validator,
)

from pipeline.interface import Case
from pipeline.model import Accepted, Artifact, Reason, ScanReport, Severity, Verdict, Vulnerability
from policies.exceptions import Statement, VulnerabilityException, since_when, unused
from policies.names import same_package
from policies.rule import Rule, Word, plural
from policies.vulnerability_words import described, finders, remedy, since, summary

SHOWN = 5
Found = tuple[Vulnerability, ...]


def _upper(value: object) -> object:
    return {str(key).upper(): limit for key, limit in value.items()} if isinstance(value, dict) else value


def _some(ceilings: Mapping[Severity, int]) -> Mapping[Severity, int]:
    if not ceilings:
        raise ValueError("without a ceiling everything is allowed; write one, such as {CRITICAL: 0}")
    return ceilings


Ceilings = Annotated[Mapping[Severity, NonNegativeInt], BeforeValidator(_upper), AfterValidator(_some)]


class VulnerabilitiesRule(Rule):
    """At most so many findings of each severity, and of those that are known to be exploited."""

    rule: Literal["vulnerabilities"]
    maximum: Ceilings | None = None
    """How many findings of CRITICAL, HIGH, MEDIUM, LOW, UNKNOWN are allowed; others do not count."""
    maximum_known_exploited: NonNegativeInt | None = None
    """How many findings of any severity may be known to be exploited; the scan needs a list of those."""
    fixable_only: bool = False
    """Count only findings that a newer version of the package mends."""
    unfixable_only: bool = False
    """Count only findings that no newer version mends: the others are told by a rule of their own."""
    new_only: bool = False
    """Count only findings that the deployed image lacks (`scan.baseline`); all where that is unknown."""
    fix_older_than_days: PositiveFloat | None = None
    """Count only findings with a fix that became known longer ago: time to take it in. The day on which the
    vulnerability was published stands for the fix's; where it is unknown, the finding counts."""
    packages: tuple[Word, ...] = ()
    """Count only findings in these packages (`*` stands for any characters); default: in all."""
    paths: tuple[Word, ...] = ()
    """Count only findings in these files or distributions, such as `usr/local/lib/*`; default: in all."""
    exceptions: tuple[VulnerabilityException, ...] = ()
    """Findings that are accepted for a while."""
    vex: tuple[Word, ...] = ()
    """VEX documents (OpenVEX or CycloneDX), relative to the file of the rule: what they say does not concern
    the image does not count."""
    _statements: tuple[Statement, ...] = PrivateAttr(default=())
    _untold: tuple[VulnerabilityException, ...] = PrivateAttr(default=())

    judges: ClassVar[type[Artifact]] = ScanReport
    why: ClassVar[str] = (
        "Attackers read the same databases. A ceiling that nobody can keep is switched off by everybody: "
        "count what can be fixed, give time for the fix, and accept the rest by name, with an owner and an "
        "end."
    )
    example: ClassVar[str] = """\
rule: vulnerabilities
fixable_only: true
maximum: {CRITICAL: 0, HIGH: 0, UNKNOWN: 0}
maximum_known_exploited: 0
exceptions:
  - id: CVE-2020-14343
    package: PyYAML
    reason: only our own files are loaded
    owner: anna@example.com
    expires: 2027-01-31
"""
    remedy: ClassVar[str] = (
        "Upgrade the packages that the refusal names and build again; a newer base image mends most of "
        "them. Where a finding is no danger, write an exception, or name a VEX document that says so."
    )
    exception: ClassVar[str] = "exceptions: [{id: …, package: …, reason: …, owner: …, expires: …}]"

    @model_validator(mode="after")
    def _some_ceiling(self) -> Self:
        if self.maximum is None and self.maximum_known_exploited is None:
            raise ValueError(
                "without a ceiling everything is allowed; write one, as `maximum: {CRITICAL: 0}`"
            )
        if self.unfixable_only and (self.fixable_only or self.fix_older_than_days is not None):
            raise ValueError(
                "nothing is left to count: `unfixable_only` goes with neither `fixable_only` nor "
                "`fix_older_than_days`"
            )
        return self

    def accepting(
        self,
        exceptions: tuple[VulnerabilityException, ...],
        statements: Iterable[Statement],
        *,
        tells: bool = True,
    ) -> Self:
        """Return the rule with further exceptions, and with what VEX documents say.

        `tells`: it says which of these exceptions nothing needs; one rule of a pack is enough for that.
        """
        copy = self.model_copy(update={"exceptions": (*self.exceptions, *exceptions)})
        copy._untold = () if tells else exceptions
        copy._statements = (*self._statements, *statements)
        return copy

    def judge_in(self, artifact: ScanReport, case: Case) -> Verdict:
        """Return the verdict on a scan; exceptions hold as of now, ages are those on the day of the scan."""
        today = case.now.date()
        live = tuple(one for one in self.exceptions if one.expires >= today)
        counted = tuple(self._counted(artifact, live))
        accepted = [
            one for found in artifact.vulnerabilities if (one := self._accepted(found, artifact, live))
        ]
        reasons = (
            *self._of_severities(counted, artifact, today),
            *self._of_exploited(counted, artifact, today),
        )
        told = ", ".join((summary(artifact, len(accepted)), *([since(artifact)] if self.new_only else [])))
        told_of = [one for one in self.exceptions if one not in self._untold]
        verdict = self.verdict(reasons, told, unused(told_of, artifact))
        return verdict.model_copy(update={"accepted": tuple(dict.fromkeys(accepted))})

    def _accepted(
        self, found: Vulnerability, report: ScanReport, live: Iterable[VulnerabilityException]
    ) -> Accepted | None:
        """Return who accepts a finding, and why; None where nobody does."""
        for one in live:
            if one.covers(found):
                who = {"reason": one.reason, "owner": one.owner, "expires": one.expires}
                return Accepted.model_validate({"id": found.id, "package": found.package, **who})
        for said in self._statements:
            if said.covers(found, report):
                return Accepted(id=found.id, package=found.package, reason=f"VEX of {said.origin}")
        return None

    def _counted(
        self, report: ScanReport, live: tuple[VulnerabilityException, ...]
    ) -> Iterator[Vulnerability]:
        """Yield the findings that this rule is about, each once wherever the package lies in the image.

        Of two packages of one name and version (a wheel, one of the distribution) one may be accepted alone.
        """
        seen: set[tuple[str, str, str]] = set()
        new = report.new_vulnerabilities if self.new_only else None
        for found in report.vulnerabilities if new is None else new:
            concerns = found.key not in seen and self._concerns(found, report)
            if concerns and self._accepted(found, report, live) is None:
                seen.add(found.key)
                yield found

    def _concerns(self, found: Vulnerability, report: ScanReport) -> bool:
        if found.fixed_version is None and (self.fixable_only or self.fix_older_than_days is not None):
            return False
        if found.fixed_version is not None and self.unfixable_only:
            return False
        if self.packages and not any(same_package(found.package, name) for name in self.packages):
            return False
        if self.paths and not any(fnmatchcase(found.target, one) for one in self.paths):
            return False
        if self.fix_older_than_days is None or found.published_at is None:
            return True
        return report.scanned_at - found.published_at > timedelta(days=self.fix_older_than_days)

    def _of_severities(self, counted: Found, report: ScanReport, today: date) -> Iterator[Reason]:
        for severity, ceiling in (self.maximum or {}).items():
            found = tuple(one for one in counted if one.severity is severity)
            if len(found) > ceiling:
                yield self._reason(found, ceiling, f"{severity} vulnerability", (report, today))

    def _of_exploited(self, counted: Found, report: ScanReport, today: date) -> Iterator[Reason]:
        ceiling = self.maximum_known_exploited
        if ceiling is None:
            return
        if not report.known_exploited_list:
            yield Reason(
                message="the scan was given no list of vulnerabilities that are known to be exploited;"
                f" at most {ceiling} may be in it",
                advice="Give it one: `scan.known_exploited` of pipeline.yaml.",
            )
        found = tuple(one for one in counted if one.known_exploited is not None)
        if len(found) > ceiling:
            exploited = " that is known to be exploited" if len(found) == 1 else " known to be exploited"
            yield self._reason(found, ceiling, "vulnerability", (report, today), exploited)

    def _reason(
        self, found: Found, ceiling: int, what: str, seen: tuple[ScanReport, date], more: str = ""
    ) -> Reason:
        report, today = seen
        told = "; ".join(self._describe(one, today) for one in found[:SHOWN])
        rest = f"; and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
        fixable = " that can be fixed" if self.fixable_only else ""
        fixable += " without a fix" if self.unfixable_only else ""
        fixable += f", {since(report)}" if self.new_only else ""
        return Reason(
            message=f"{plural(len(found), what)}{more}{fixable}; at most {ceiling} allowed: {told}{rest}",
            advice=f"{remedy(found)} {self._how_to_except(found[0], today)}",
        )

    def _describe(self, found: Vulnerability, today: date) -> str:
        expired = [one for one in self.exceptions if one.covers(found)]  # a live one has taken it out
        told = "".join(f" ({since_when(one.owner, one.expires, today)})" for one in expired)
        return f"{described(found)}{finders(found)}{told}"

    def _how_to_except(self, found: Vulnerability, today: date) -> str:
        entry = (
            f"{{id: {found.id}, package: {found.package}, reason: …, owner: …,"
            f" expires: {today + timedelta(days=30)}}}"
        )
        pack = self.origin.removeprefix("pack ").partition(":")[0]
        where = (
            f"`policies: {{extends: {pack}, exceptions: [{entry}]}}`"
            if self.origin.startswith("pack ")
            else f"`{entry}` under `exceptions:` of the rule at {self.origin or 'its place'}"
        )
        return f"Exception: where it is no danger, accept it for a while: {where}."
