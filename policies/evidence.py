"""Is all the evidence there, and is it young enough?"""

from datetime import datetime, timedelta
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, PositiveFloat, model_validator

from pipeline.interface import Case
from pipeline.model import Artifact, BenchmarkReport, Reason, ScanReport, Skipped, SuiteReport, Verdict
from policies.rule import Rule

CLOCKS_DIFFER = timedelta(days=1)
"""How far ahead the clock of another machine may be."""
STAGES = ("test", "build", "scan", "benchmark", "push", "update")


def _stage(name: str) -> str:
    if name not in STAGES:
        raise ValueError(f"no stage goes by this name; they are {', '.join(STAGES)}")
    return name


class SkippedRule(Rule):
    """Only some stages may be left out, and only for a stated reason."""

    rule: Literal["skipped"]
    allowed: tuple[Annotated[str, AfterValidator(_stage)], ...] = ()
    """Names of the stages that may be left out."""

    judges: ClassVar[type[Artifact]] = Skipped
    why: ClassVar[str] = "`skip:` leaves a stage out, and with it every rule about what it would have found."
    example: ClassVar[str] = "rule: skipped\nallowed: [benchmark]\n"
    remedy: ClassVar[str] = "Remove the stage from `skip:` in pipeline.yaml, so that it runs."
    exception: ClassVar[str] = "allowed: [benchmark]"

    def judge(self, artifact: Skipped) -> Verdict:
        """Return the verdict on a stage that was left out."""
        stated = f"{artifact.stage} was left out: {artifact.reason.strip() or 'no reason given'}"
        if artifact.stage in self.allowed and artifact.reason.strip():
            return self.verdict((), stated)
        may = (
            f"only {', '.join(self.allowed)} may be left out" if self.allowed else "no stage may be left out"
        )
        reason = Reason(
            message=f"{stated}; {may}",
            advice=f"Remove `skip.{artifact.stage}` from pipeline.yaml so that the stage runs. "
            + self.exception_text(f"`allowed: [{artifact.stage}]`"),
        )
        return self.verdict((reason,), stated)


class FreshnessRule(Rule):
    """Evidence is not older than some days at the moment at which it is judged."""

    rule: Literal["freshness"]
    maximum_suite_age_days: PositiveFloat | None = None
    """Days since the tests ran."""
    maximum_scan_age_days: PositiveFloat | None = None
    """Days since the image was scanned."""
    maximum_benchmark_age_days: PositiveFloat | None = None
    """Days since the benchmark ran."""

    judges: ClassVar[tuple[type[Artifact], ...]] = (SuiteReport, ScanReport, BenchmarkReport)
    why: ClassVar[str] = (
        "Results are taken again while nothing that they depend on has changed, a promotion takes over what "
        "was measured weeks ago, and since then vulnerabilities have become known."
    )
    example: ClassVar[str] = "rule: freshness\nmaximum_scan_age_days: 2\nmaximum_benchmark_age_days: 30\n"
    remedy: ClassVar[str] = "Deliver again: `pipeline run --no-reuse` runs every stage anew."
    exception: ClassVar[str] = "a higher maximum_suite_age_days, maximum_scan_age_days, …"

    @model_validator(mode="after")
    def _some(self) -> "FreshnessRule":
        limits = (self.maximum_suite_age_days, self.maximum_scan_age_days, self.maximum_benchmark_age_days)
        if limits == (None, None, None):
            raise ValueError("without a limit everything is fresh; write one, as maximum_scan_age_days: 2")
        return self

    def judge_in(self, artifact: SuiteReport | ScanReport | BenchmarkReport, case: Case) -> Verdict:
        """Return the verdict on the age of evidence, now."""
        what, made_at, limit = self._of(artifact)
        if limit is None:
            return self.verdict((), f"the {what} may be of any age")
        if made_at is None:
            reason = f"nobody noted when the {what} ended; at most {limit:g} days ago is allowed"
            return self.verdict((self._reason(reason),), f"{what} of unknown age")
        days = (case.now - made_at) / timedelta(days=1)
        summary = f"{what} of {made_at:%Y-%m-%d}"
        if days < -CLOCKS_DIFFER / timedelta(days=1):
            reason = f"the {what} is of {made_at:%Y-%m-%d %H:%M} UTC, which is still to come;"
            return self.verdict(
                (self._reason(f"{reason} at most {limit:g} days of age are allowed"),), summary
            )
        if days <= limit:
            return self.verdict((), summary)
        reason = f"the {what} is {days:.1f} days old; at most {limit:g} are allowed"
        return self.verdict((self._reason(reason),), summary)

    def _of(
        self, artifact: SuiteReport | ScanReport | BenchmarkReport
    ) -> tuple[str, datetime | None, float | None]:
        if isinstance(artifact, ScanReport):
            return "scan", artifact.scanned_at, self.maximum_scan_age_days
        if isinstance(artifact, SuiteReport):
            return "test run", artifact.finished_at, self.maximum_suite_age_days
        return "benchmark", artifact.finished_at, self.maximum_benchmark_age_days

    def _reason(self, message: str) -> Reason:
        return Reason(message=message, advice="Run it again: `pipeline run --no-reuse`.")
