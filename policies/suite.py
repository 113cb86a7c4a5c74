"""Are the tests good enough?"""

from collections.abc import Iterator
from typing import ClassVar, Literal

from pydantic import NonNegativeInt

from pipeline.model import Artifact, CaseCounts, Reason, SuiteReport, Verdict
from policies.rule import Rule, plural


class SuiteRule(Rule):
    """No test fails, and enough of them ran."""

    rule: Literal["suite"]
    minimum_tests: NonNegativeInt = 1
    """How many tests have to pass at least, where the counts are known."""
    maximum_skipped: NonNegativeInt | None = None
    """How many tests may be skipped at most."""
    counts_required: bool = False
    """Refuse a test command that leaves no JUnit file behind."""

    judges: ClassVar[type[Artifact]] = SuiteReport

    def judge(self, artifact: SuiteReport) -> Verdict:
        """Return the verdict on a run of the tests."""
        counts = artifact.counts
        if counts is None:
            return self.verdict(self._uncounted(artifact), f"exit code {artifact.exit_code}, not counted")
        skipped = f", {counts.skipped} skipped" if counts.skipped else ""
        return self.verdict(self._counted(counts), f"{plural(counts.passed, 'test')} passed{skipped}")

    def _uncounted(self, report: SuiteReport) -> Iterator[Reason]:
        if report.exit_code != 0:
            yield Reason(
                message=f"the test command ended with exit code {report.exit_code}; 0 is required",
                advice="Mend the tests.",
            )
        if self.counts_required:
            yield Reason(
                message="the test command left no JUnit file, so nobody knows how many tests ran",
                advice="Let it write one and name it in `test.junit`; pytest is asked for one by itself.",
            )

    def _counted(self, counts: CaseCounts) -> Iterator[Reason]:
        if bad := counts.failed + counts.errors:
            yield Reason(message=f"{bad} of {counts.total} tests failed; 0 are allowed", advice="Mend them.")
        if counts.passed < self.minimum_tests:
            yield Reason(
                message=f"{plural(counts.passed, 'test')} passed; at least {self.minimum_tests} have to",
                advice="Add tests, or check that the test command finds them.",
            )
        if self.maximum_skipped is not None and counts.skipped > self.maximum_skipped:
            yield Reason(
                message=f"{plural(counts.skipped, 'test')} skipped; at most {self.maximum_skipped} may be",
                advice="Let the skipped tests run, or remove them.",
            )
