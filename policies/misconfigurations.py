"""Is the image set up as it is advised to be?"""

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field, NonNegativeInt

from pipeline.model import Artifact, Misconfiguration, Reason, ScanReport, Severity, Verdict
from policies.rule import Rule, Word, listed, plural
from policies.secrets import LOOK, NOBODY_LOOKED


def _upper(value: object) -> object:
    return {str(key).upper(): limit for key, limit in value.items()} if isinstance(value, dict) else value


class MisconfigurationsRule(Rule):
    """At most so many settings of each severity that the scanner advises against."""

    rule: Literal["misconfigurations"]
    maximum: Annotated[Mapping[Severity, NonNegativeInt], BeforeValidator(_upper)] = Field(
        default={Severity.CRITICAL: 0, Severity.HIGH: 0}
    )
    """How many of CRITICAL, HIGH, MEDIUM, LOW, UNKNOWN are allowed; others do not count."""
    allowed: tuple[Word, ...] = ()
    """Identifiers that do not count, such as DS-0002; `*` stands for any characters."""

    judges: ClassVar[type[Artifact]] = ScanReport
    why: ClassVar[str] = "A setting that opens a door needs no vulnerability."
    example: ClassVar[str] = "rule: misconfigurations\nmaximum: {CRITICAL: 0, HIGH: 0}\nallowed: [DS-0026]\n"
    remedy: ClassVar[str] = "Change what the finding names: its own text says how."
    exception: ClassVar[str] = "allowed: [DS-0002]"

    def judge(self, artifact: ScanReport) -> Verdict:
        """Return the verdict on the settings that a scan looked at."""
        if artifact.misconfigurations is None:
            message, advice = (
                NOBODY_LOOKED.format(what="misconfigurations"),
                LOOK.format(key="misconfigurations"),
            )
            return self.verdict((Reason(message=message, advice=advice),), "nobody looked")
        found = [one for one in artifact.misconfigurations if not self._allowed(one)]
        return self.verdict(self._reasons(found), plural(len(found), "misconfiguration"))

    def _allowed(self, found: Misconfiguration) -> bool:
        return any(fnmatchcase(found.id, one) for one in self.allowed)

    def _reasons(self, counted: list[Misconfiguration]) -> Iterator[Reason]:
        for severity, ceiling in self.maximum.items():
            found = [one for one in counted if one.severity is severity]
            if len(found) > ceiling:
                told = listed(f"{one.id} {one.title}" for one in found)
                advice = (
                    " ".join(dict.fromkeys(one.resolution for one in found if one.resolution)) or self.remedy
                )
                yield Reason(
                    message=f"{plural(len(found), f'{severity} misconfiguration')};"
                    f" at most {ceiling} allowed: {told}",
                    advice=f"{advice} {self.exception_text(f'`allowed: [{found[0].id}]`')}",
                )
