"""Is the Dockerfile one that a linter has little to say about?"""

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Annotated, ClassVar, Literal

from pydantic import Field, NonNegativeInt, StringConstraints

from pipeline.model import Artifact, DockerfileReport, LintFinding, Reason, ScanReport, Verdict
from policies.rule import Rule, plural

SHOWN = 5
LintLevel = Literal["error", "warning", "info", "style"]
Code = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class DockerfileRule(Rule):
    """At most so many findings of each level in the Dockerfile."""

    rule: Literal["dockerfile"]
    maximum: Mapping[LintLevel, NonNegativeInt] = Field(default={"error": 0})
    """How many findings of the levels error, warning, info, style are allowed; other levels do not count."""
    ignored: tuple[Code, ...] = ()
    """Codes that do not count, such as DL3008; `*` stands for any characters."""
    required: bool = False
    """Refuse a Dockerfile that no linter has read."""

    judges: ClassVar[type[Artifact]] = ScanReport
    why: ClassVar[str] = "Many faults of an image are there to be read in its Dockerfile, before it is built."
    example: ClassVar[str] = "rule: dockerfile\nmaximum: {error: 0, warning: 5}\nignored: [DL3008]\n"
    remedy: ClassVar[str] = "Change the line that the finding names: the page of its code shows how."
    exception: ClassVar[str] = "ignored: [DL3008]"

    def judge(self, artifact: ScanReport) -> Verdict:
        """Return the verdict on what a linter said of the Dockerfile."""
        report = artifact.dockerfile
        if report is None:
            why = artifact.dockerfile_unread or "nobody looked"
            return self.verdict(self._unread(why) if self.required else (), f"not read: {why}")
        counted = [found for found in report.findings if not self._ignored(found)]
        return self.verdict(self._too_many(report, counted), _summary(report, counted))

    def _ignored(self, found: LintFinding) -> bool:
        return any(fnmatchcase(found.code, code) for code in self.ignored)

    def _unread(self, why: str) -> Iterator[Reason]:
        yield Reason(
            message=f"no linter has read the Dockerfile: {why}; that is required",
            advice="Install hadolint where the pipeline runs: `pip install 'model-image-pipeline[hadolint]'`,"
            " and set `scan.hadolint: true`.",
        )

    def _too_many(self, report: DockerfileReport, counted: list[LintFinding]) -> Iterator[Reason]:
        for level, ceiling in self.maximum.items():
            found = [one for one in counted if one.level == level]
            if len(found) <= ceiling:
                continue
            told = "; ".join(_told(report, one) for one in found[:SHOWN])
            more = f"; and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
            yield Reason(
                message=f"{plural(len(found), _noun(level))} in the Dockerfile; at most {ceiling} allowed:"
                f" {told}{more}",
                advice=f"{self.remedy} A single line is excused by `# hadolint ignore={found[0].code}`"
                f" above it, a code by `ignored: [{found[0].code}]` in this rule or in .hadolint.yaml.",
            )


def _told(report: DockerfileReport, found: LintFinding) -> str:
    return f"{report.path}:{found.line}: {found.code} {found.message}"


def _noun(level: str) -> str:
    return level if level in {"error", "warning"} else f"{level} finding"


def _summary(report: DockerfileReport, counted: list[LintFinding]) -> str:
    levels = dict.fromkeys(found.level for found in counted)
    parts = [plural(sum(one.level == level for one in counted), _noun(level)) for level in levels]
    return f"{report.linter.name}: {', '.join(parts) or 'nothing to say'}"
