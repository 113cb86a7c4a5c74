"""The check that every remote source makes: its list of files needs all that reading them will need."""

from pipeline.desk import Desk
from pipeline.errors import ConfigurationError, PipelineError, ToolMissing
from pipeline.model import Check, Problem
from stages.models.interface import Files

PROBLEMS: dict[type[PipelineError], Problem] = {
    ToolMissing: Problem.TOOL,
    ConfigurationError: Problem.CONFIGURATION,
}


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
    return (Check(subject=subject, found=f"{count}, {size_bytes / 1e6:.1f} MB"),)
