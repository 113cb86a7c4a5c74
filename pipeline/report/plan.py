"""A plan as a person reads it."""

from pathlib import Path

from pipeline.record import Record
from pipeline.report.terminal import TerminalReporter, print_checks, print_failure


class PlanReporter(TerminalReporter):
    """Shows a plan: what was checked, which stages would run, and what is missing."""

    def checked(self, record: Record) -> None:
        """Show the plan."""
        if self._verbosity < 0:
            return
        if record.source is not None:
            dirty = f" [yellow]+ {len(record.source.changes)} uncommitted[/]" if record.source.dirty else ""
            self._console.print(f"commit [bold]{record.source.commit}[/]{dirty}")
        self._console.print(f"stages {' → '.join(stage.name for stage in record.stages)}")
        print_checks(self._console, record.checks)

    def finished(self, record: Record, folder: Path) -> None:
        """Show what is missing, or that nothing is."""
        if record.failure is not None:
            print_failure(self._console, record.failure)
        elif self._verbosity >= 0:
            self._console.print("everything that the run needs is there", style="green")
