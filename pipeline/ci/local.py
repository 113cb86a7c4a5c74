"""This machine: nobody reads commands in what we print."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.ci.interface import Output, Proposal
from pipeline.report.annotations import Annotation


@dataclass(frozen=True, slots=True)
class Local:
    """No CI host that we know: everything is in the log, the record and the exit code."""

    name: str = "this machine"
    proposal: Proposal | None = None

    def mask(self, secret: str) -> None:
        """Tell nobody."""

    def neutral(self, text: str) -> str:
        """Return the text as it is."""
        return text

    def begin_group(self, name: str, title: str) -> str:
        """Return nothing."""
        del name, title
        return ""

    def end_group(self, name: str) -> str:
        """Return nothing."""
        del name
        return ""

    def annotations(self, found: Sequence[Annotation]) -> str:
        """Return nothing: the terminal has said it."""
        del found
        return ""

    def write_outputs(self, outputs: Mapping[Output, str], folder: Path) -> None:
        """Write nothing: the record has it."""

    def write_summary(self, markdown: str, folder: Path) -> None:
        """Write nothing."""

    def comment(self, markdown: str, key: str) -> str:
        """Write nothing."""
        del markdown, key
        return ""
