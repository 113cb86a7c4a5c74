"""Turns the end of a failed build's output into one message: where in the Dockerfile, what, and what next."""

import re
from collections.abc import Sequence
from pathlib import Path

from pipeline.errors import DiskFull, PipelineError, StageFailed

NO_SPACE = re.compile(r"no space left on device|ENOSPC|disk quota exceeded", re.IGNORECASE)
OWN = re.compile(r"did not complete successfully|parse error|unknown instruction|target stage|build target")
TAIL_LINES = 40
_ADVICE = (
    (
        r"error from sender: .*permission denied",
        "Make it readable for you, or list it in .dockerignore.",
    ),
    (
        r"failed to resolve source metadata|pull access denied|failed to do request",
        "Check the name in FROM; log in to its registry, or pull or make the image on this machine first.",
    ),
    (
        r"failed to calculate checksum|failed to compute cache key",
        (
            "The file is not in the build context: see `build.context` and .dockerignore. The model folder "
            "is left out on purpose; it becomes a layer of its own, at `model.path`."
        ),
    ),
    (r"parse error|unknown instruction|dockerfile parse", "Mend the Dockerfile at this line."),
    (
        r"failed to reach build target|target stage .* could not be found",
        "Set `build.target` to a stage of the Dockerfile.",
    ),
    (
        r"did not complete successfully",
        "The command's own output is above; run it by hand in the base image.",
    ),
)
_UNKNOWN = "These are BuildKit's own words; its whole output is in the log of this stage."


def explain(lines: Sequence[str], dockerfile: Path) -> PipelineError:
    """Return the error that these last lines of BuildKit's plain output amount to."""
    text = "\n".join(lines)
    reason = _reason(lines)
    if NO_SPACE.search(text):
        return DiskFull(
            f"the build ran out of disk: {reason}",
            advice="Free some (`docker buildx prune`, `docker image prune`), then run again.",
        )
    line = _line(lines, dockerfile.name)
    place = f"{dockerfile}:{line}" if line else str(dockerfile)
    advice = next((advice for pattern, advice in _ADVICE if re.search(pattern, reason)), _UNKNOWN)
    return StageFailed(f"{place}: {reason}", advice=advice, tail="\n".join(_tail(lines)))


def may_be_the_caches(error: StageFailed) -> bool:
    """Tell whether a build that failed with an external cache may succeed without it.

    One whose command failed, or whose Dockerfile is wrong, will not; nor one of which not BuildKit complains.
    """
    return bool(error.tail) and OWN.search(error.message) is None


def _reason(lines: Sequence[str]) -> str:
    said = [line for line in lines if line.startswith("ERROR:")] or list(lines[-1:]) or ["the build failed"]
    return re.sub(r"^ERROR: (failed to build: )?(failed to solve: )?", "", said[-1]).strip()


def _line(lines: Sequence[str], name: str) -> int | None:
    """BuildKit names the place on a line of its own above its excerpt: `Dockerfile:3`."""
    found = [re.fullmatch(rf"{re.escape(name)}:(\d+)", line.strip()) for line in lines]
    return next((int(match[1]) for match in reversed(found) if match), None)


def _tail(lines: Sequence[str]) -> Sequence[str]:
    """Return BuildKit's own summary, which begins with a ruler, or else the last lines."""
    begin = next((number for number, line in enumerate(lines) if re.fullmatch(r"-{6}", line.strip())), 0)
    return lines[begin:][-TAIL_LINES:]
