"""What a CI host tells of its job, and what it can be told of a run.

Everything that a host reads in what a step prints is returned as text; `pipeline.ci.streams.tell` prints it
past the guard that keeps everything else from being read so.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from pipeline.report.annotations import Annotation

Output = Literal["verdict", "digest", "image", "tags", "commit", "pull-request", "record", "sarif"]
OUTPUTS: tuple[Output, ...] = (
    "verdict",
    "digest",
    "image",
    "tags",
    "commit",
    "pull-request",
    "record",
    "sarif",
)
"""What later steps and jobs may want to know of a run; empty where there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A pull or merge request: a change that nobody has accepted yet, so nothing of it is published."""

    noun: str
    """As the host calls it."""
    number: int | None = None
    from_fork: bool = False
    """Its author need not be one of us; no secret is within its reach."""

    def __str__(self) -> str:
        number = f" #{self.number}" if self.number is not None else ""
        return f"{self.noun}{number}{' from a fork' if self.from_fork else ''}"


class Host(Protocol):
    """A CI host, or this machine."""

    @property
    def name(self) -> str:
        """What people call it."""

    @property
    def proposal(self) -> Proposal | None:
        """What the job runs for, where that is a pull or merge request."""

    def mask(self, secret: str) -> None:
        """Have a secret of one line masked in the whole job's log, whoever prints it."""

    def neutral(self, text: str) -> str:
        """Return text in which the host finds no command, however it is split into lines."""

    def begin_group(self, name: str, title: str) -> str:
        """Return what opens a part of the log that people can fold; empty where there is none."""

    def end_group(self, name: str) -> str:
        """Return what closes the part of this name."""

    def annotations(self, found: Sequence[Annotation]) -> str:
        """Return what shows these beside the lines of the files; what is left out is counted."""

    def write_outputs(self, outputs: Mapping[Output, str], folder: Path) -> None:
        """Hand values on to later steps or jobs; where the host names no file, in one below this folder."""

    def write_summary(self, markdown: str, folder: Path) -> None:
        """Show the summary on the job's page; where the host has none, in a file below this folder."""

    def comment(self, markdown: str, key: str) -> str:
        """Write or update the one comment of this key on the pull or merge request; return what was done."""
