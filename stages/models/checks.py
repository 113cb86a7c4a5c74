"""What all sources have in common whose files are not on this machine."""

from pathlib import Path

from pipeline.desk import Desk
from pipeline.errors import ConfigurationError, PipelineError, ToolMissing
from pipeline.model import Check, Problem
from stages.models.interface import Files
from stages.oci.progress import in_words

PROBLEMS: dict[type[PipelineError], Problem] = {
    ToolMissing: Problem.TOOL,
    ConfigurationError: Problem.CONFIGURATION,
}


class Remote:
    """A source of files that are elsewhere."""

    __slots__ = ()

    @property
    def local_folder(self) -> Path | None:
        """None: nothing of it is on this machine."""
        return None

    def check(self: Files, desk: Desk) -> tuple[Check, ...]:
        """List the files: that takes the library, the login, the model and the network."""
        return check_list(self, desk)


def check_list(files: Files, desk: Desk) -> tuple[Check, ...]:
    """Return how many files there are, or why that cannot be told."""
    subject = f"model {files.name}"
    try:
        found = files.list(desk)
    except PipelineError as error:
        problem = PROBLEMS.get(type(error), Problem.REMOTE)
        return (Check(subject=subject, found=error.message, problem=problem, advice=error.advice),)
    size_bytes = sum(file.size_bytes for file in found)
    count = f"{len(found)} file{'s' if len(found) != 1 else ''}"
    return (Check(subject=subject, found=f"{count}, {in_words(size_bytes)}"),)
