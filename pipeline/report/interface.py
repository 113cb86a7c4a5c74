"""Who watches a run."""

from pathlib import Path
from typing import Protocol

from pipeline.record import Record, StageRecord


class Reporter(Protocol):
    """Shows a run while it goes on; it decides nothing."""

    def checked(self, record: Record) -> None:
        """The plan was made and checked."""

    def begins(self, stage: StageRecord) -> None:
        """A stage starts."""

    def say(self, line: str) -> None:
        """A stage tells how far it is; the next line may replace this one."""

    def ended(self, stage: StageRecord) -> None:
        """A stage came to an end, good or bad."""

    def finished(self, record: Record, folder: Path) -> None:
        """The run came to its end, good or bad."""
