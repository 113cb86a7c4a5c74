"""Which lines of which files a run speaks of: a reading of the record and of nothing else."""

from dataclasses import dataclass
from typing import Literal

Level = Literal["error", "warning", "notice"]
"""The worst first; a notice asks for nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotation:
    """One message for people, beside a line of a file where one is concerned."""

    level: Level
    title: str
    message: str
    file: str | None = None
    """Relative to the folder of pipeline.yaml, or absolute."""
    line: int | None = None
