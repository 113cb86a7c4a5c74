"""Are the tests good enough?"""

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

from pydantic import Field, NonNegativeInt

from pipeline.model import Artifact, CaseCounts, Reason, SuiteReport, Verdict
from policies.rule import Rule, plural


class SuiteRule(Rule):
    """No test fails, enough of them ran, and they ran enough of the code."""

    rule: Literal["suite"]
    minimum_tests: NonNegativeInt = 1
    """How many tests have to pass at least, where the counts are known."""
    maximum_skipped: NonNegativeInt | None = None
    """How many tests may be skipped at most."""
    counts_required: bool = False
    """Refuse a test command that leaves no JUnit file behind."""
    minimum_line_coverage: Annotated[float, Field(gt=0, le=1)] | None = None
    """Share of the lines that the tests have to run, from 0 to 1; unknown coverage is refused then."""

    judges: ClassVar[type[Artifact]] = SuiteReport
    why: ClassVar[str] = (
        "A test command that finds no tests ends with 0 as well; so does one in which somebody skipped the "
        "tests that failed."
    )
    example: ClassVar[str] = """\
rule: suite
minimum_tests: 20
maximum_skipped: 2
minimum_line_coverage: 0.8
"""
    remedy: ClassVar[str] = (
        "Mend the tests, or add what is missing. Counts come from the JUnit file (`test.junit`; pytest "
        "writes one by itself), coverage from a Cobertura file (`test.coverage`; `pytest --cov "
        "--cov-report=xml` writes one)."
    )
    exception: ClassVar[str] = "a lower minimum_tests or minimum_line_coverage, a higher maximum_skipped"

    def judge(self, artifact: SuiteReport) -> Verdict:
        """Return the verdict on a run of the tests."""
        counts, coverage = artifact.counts, artifact.line_coverage
        covered = "" if coverage is None else f", {coverage:.1%} of the lines ran"
        if counts is None:
            reasons, told = self._uncounted(artifact), f"exit code {artifact.exit_code}, not counted"
        else:
            skipped = f", {counts.skipped} skipped" if counts.skipped else ""
            reasons, told = self._counted(counts), f"{plural(counts.passed, 'test')} passed{skipped}"
        return self.verdict((*reasons, *self._of_coverage(coverage)), told + covered)

    def _uncounted(self, report: SuiteReport) -> Iterator[Reason]:
        if report.exit_code != 0:
            yield Reason(
                message=f"the test command ended with exit code {report.exit_code}; 0 is required",
                advice="Mend the tests.",
            )
        if self.counts_required:
            yield Reason(
                message="the test command left no JUnit file, so nobody knows how many tests ran; one is "
                "required",
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

    def _of_coverage(self, coverage: float | None) -> Iterator[Reason]:
        least = self.minimum_line_coverage
        if least is None:
            return
        if coverage is None:
            yield Reason(
                message=f"nobody reported which lines the tests ran; at least {least:.1%} have to be",
                advice="Let the test command write a Cobertura file, and name it in `test.coverage`.",
            )
        elif coverage < least:
            yield Reason(
                message=f"the tests ran {coverage:.1%} of the lines; at least {least:.1%} have to be",
                advice="Test what is not tested yet.",
            )
