"""Was the scan a good one: a young database, nothing left unseen, the registries' scanners asked?"""

from collections.abc import Iterator
from datetime import timedelta
from fnmatch import fnmatchcase
from typing import ClassVar, Literal

from pydantic import PositiveFloat

from pipeline.model import Artifact, Reason, RegistryAnswer, ScanReport, Verdict
from policies.evidence import CLOCKS_DIFFER
from policies.rule import Rule, Word


class VulnerabilityDatabaseRule(Rule):
    """The database that the scanner looked into was young enough when the scan ran."""

    rule: Literal["vulnerability_database"]
    maximum_age_days: PositiveFloat
    """Days between the last update of the database and the scan."""

    judges: ClassVar[type[Artifact]] = ScanReport
    why: ClassVar[str] = (
        "A scanner finds what its database knows: with an old one, yesterday's vulnerability is none."
    )
    example: ClassVar[str] = "rule: vulnerability_database\nmaximum_age_days: 3\n"
    remedy: ClassVar[str] = (
        "Bring the mirror of the database up to date, or name another one in `scan.database.repositories`; "
        "`scan.database.update: false` keeps an old one in use."
    )
    exception: ClassVar[str] = "a higher maximum_age_days"

    def judge(self, artifact: ScanReport) -> Verdict:
        """Return the verdict on the age of the database when the scan ran."""
        days = artifact.database_age / timedelta(days=1)
        summary = f"database of {artifact.database.updated_at:%Y-%m-%d}"
        if days < -CLOCKS_DIFFER / timedelta(days=1):
            return self.verdict((self._of_the_future(artifact),), summary)
        if days <= self.maximum_age_days:
            return self.verdict((), summary)
        reason = Reason(
            message=f"the vulnerability database was {days:.1f} days old;"
            f" at most {self.maximum_age_days:g} are allowed",
            advice=f"Bring {artifact.database.repository} up to date, or scan with another database.",
        )
        return self.verdict((reason,), summary)

    def _of_the_future(self, report: ScanReport) -> Reason:
        at = f"{report.database.updated_at:%Y-%m-%d %H:%M}"
        return Reason(
            message=f"the vulnerability database is of {at} UTC, which was still to come when it was used;"
            f" at most {self.maximum_age_days:g} days of age are allowed",
            advice=f"Is the clock right? If so, take another database than {report.database.repository}.",
        )


class UnjudgedRule(Rule):
    """The scanner could look up all that it found; where it could not, no finding means nothing."""

    rule: Literal["unjudged"]
    allowed: tuple[Word, ...] = ()
    """What need not be looked up, such as `debian 13*` or `unknown distribution`."""

    judges: ClassVar[type[Artifact]] = ScanReport
    why: ClassVar[str] = (
        "A release that the database does not know has no findings, and looks better than any other."
    )
    example: ClassVar[str] = 'rule: unjudged\nallowed: ["wolfi *"]\n'
    remedy: ClassVar[str] = "Use a base image of a supported release, and a current scanner."
    exception: ClassVar[str] = "allowed: [debian 99.0]"

    def judge(self, artifact: ScanReport) -> Verdict:
        """Return the verdict on what a scan could not look up."""
        unjudged = artifact.unjudged
        refused = [
            each for each in unjudged if not any(fnmatchcase(each.subject, one) for one in self.allowed)
        ]
        reasons = (
            Reason(
                message=f"{each.subject} {each.reason}; all that is found has to be looked up",
                advice=f"{self.remedy} {self.exception_text(f'`allowed: [{each.subject}]`')}",
            )
            for each in refused
        )
        subjects = ", ".join(each.subject for each in unjudged)
        return self.verdict(reasons, f"allowed unseen: {subjects}" if unjudged else "all could be looked up")


class RegistryScanRule(Rule):
    """The registry's own scanner has looked into the image, and its findings were read."""

    rule: Literal["registry_scan"]
    repositories: tuple[Word, ...] = ("*",)
    """Patterns of the repositories whose scanner has to have been read."""
    maximum_age_days: PositiveFloat | None = None
    """Days between the end of the registry's scan and ours."""

    judges: ClassVar[type[Artifact]] = ScanReport
    why: ClassVar[str] = (
        "Where the security team looks at the registry's findings, an image that the registry has not "
        "scanned yet looks clean there, and to us as well."
    )
    example: ClassVar[str] = 'rule: registry_scan\nrepositories: ["*.dkr.ecr.*.amazonaws.com/*"]\n'
    remedy: ClassVar[str] = (
        "Set `scan.registry_findings: true` and switch the registry's scanner on; a digest that it has "
        "never held cannot be scanned there, so the first delivery of it goes to a repository whose scan is "
        "read later."
    )
    exception: ClassVar[str] = "repositories: patterns that leave this one out"

    def judge(self, artifact: ScanReport) -> Verdict:
        """Return the verdict on what the registries were asked for."""
        asked = [one for one in artifact.registries if self._concerned(one.repository)]
        read = [one for one in asked if one.status == "read"]
        return self.verdict(
            self._reasons(artifact, asked), f"read from {', '.join(one.repository for one in read) or 'none'}"
        )

    def _concerned(self, repository: str) -> bool:
        return any(fnmatchcase(repository, one) for one in self.repositories)

    def _reasons(self, report: ScanReport, asked: list[RegistryAnswer]) -> Iterator[Reason]:
        if not asked:
            yield Reason(
                message=f"no registry of {', '.join(self.repositories)} was asked for its own findings; one "
                "is required",
                advice="Set `scan.registry_findings: true`; ECR and Artifact Registry have a scanner of "
                "their own.",
            )
        for one in asked:
            if one.status != "read":
                yield Reason(
                    message=f"the findings of {one.repository} were not read: {one.status}; they are "
                    "required",
                    advice=" ".join(one.notes)
                    or "Switch the registry's scanner on, and wait until it is done.",
                )
            elif self.maximum_age_days is not None:
                yield from self._of_age(report, one, self.maximum_age_days)

    def _of_age(self, report: ScanReport, answer: RegistryAnswer, limit: float) -> Iterator[Reason]:
        if answer.completed_at is None:
            age = "of unknown age"
        else:
            days = (report.scanned_at - answer.completed_at) / timedelta(days=1)
            if days <= limit:
                return
            age = f"{days:.1f} days old"
        yield Reason(
            message=f"the findings of {answer.repository} are {age}; at most {limit:g} days are allowed",
            advice="Let the registry scan the image again (continuous scanning does so by itself).",
        )
