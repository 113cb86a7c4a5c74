"""The run in the log of a CI host, where each stage's progress can be folded away."""

from pathlib import Path

from rich.console import Console

from pipeline.ci.interface import Host
from pipeline.ci.local import Local
from pipeline.ci.streams import tell
from pipeline.record import Record, StageRecord
from pipeline.report.plan import PlanReporter
from pipeline.report.terminal import TerminalReporter


class FoldedReporter(TerminalReporter):
    """Shows what a stage says in a group of its name, and what became of it below."""

    def __init__(self, host: Host, console: Console, *, verbosity: int) -> None:
        super().__init__(verbosity=verbosity, console=console, log=not isinstance(host, Local))
        self._host = host
        self._open = ""

    def begins(self, stage: StageRecord) -> None:
        """Open the stage's group."""
        if self._verbosity >= 0:
            tell(self._console.file, self._host.begin_group(stage.name, stage.name))
            self._open = stage.name
        super().begins(stage)

    def ended(self, stage: StageRecord) -> None:
        """Close the stage's group, and show the result where nobody has to unfold it."""
        self._close()
        super().ended(stage)

    def finished(self, record: Record, folder: Path) -> None:
        """Close what is still open, and show the end."""
        self._close()
        super().finished(record, folder)

    def _close(self) -> None:
        if self._open:
            tell(self._console.file, self._host.end_group(self._open))
            self._open = ""


def reporter_of(host: Host, console: Console, *, verbosity: int, only_check: bool) -> TerminalReporter:
    """Return who shows a run, or a plan, on this host."""
    if only_check:
        return PlanReporter(verbosity=verbosity, console=console)
    return FoldedReporter(host, console, verbosity=verbosity)
