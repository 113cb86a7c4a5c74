"""What the project's own tests said."""

from datetime import datetime

from pydantic import Field

from pipeline.model.base import Evidence, Value


class CaseFailure(Value):
    """A test that failed or could not run, with the end of what it said."""

    name: str
    message: str
    file: str | None = None
    line: int | None = None


class SlowTest(Value):
    """One of the tests that took longest."""

    name: str
    duration_s: float


class CaseCounts(Value):
    """How many tests there were, from the JUnit file that the command wrote."""

    total: int
    passed: int
    failed: int
    errors: int
    skipped: int


class SuiteReport(Evidence):
    """What the user's test command said."""

    command: tuple[str, ...]
    exit_code: int
    duration_s: float
    counts: CaseCounts | None = Field(default=None, description="None where the command wrote no JUnit file")
    failures: tuple[CaseFailure, ...] = ()
    slowest: tuple[SlowTest, ...] = ()
    line_coverage: float | None = Field(
        default=None, ge=0, le=1, description="share of the lines that ran; None where nobody reported it"
    )
    finished_at: datetime | None = Field(default=None, description="None in older records")
