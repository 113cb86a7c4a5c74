"""What becomes of a push to several registries, where not all of them got the image."""

from collections.abc import Iterable, Sequence

from pipeline.errors import (
    ConfigurationError,
    DiskFull,
    PipelineError,
    RemoteError,
    StageFailed,
    TagConflict,
    ToolMissing,
)
from pipeline.model import FailedPush, PushedReference
from stages.registries.delivery import Delivery, Outcome

KINDS: tuple[type[PipelineError], ...] = (
    StageFailed,
    ConfigurationError,
    ToolMissing,
    RemoteError,
    DiskFull,
    TagConflict,
)
"""By exit code: of several the lowest is the run's, for what it stands for is to be mended first."""
AGAIN = "Run again when that is mended: what is there already is not sent again."


def failures(deliveries: Sequence[Delivery], outcomes: Sequence[Outcome]) -> tuple[FailedPush, ...]:
    """Return the repositories that did not get the image."""
    return tuple(
        FailedPush(
            repository=delivery.repository,
            tag=delivery.tags[0].tag,
            kind=type(outcome).__name__,
            message=outcome.message,
            advice=outcome.advice,
            exit_code=outcome.exit_code,
        )
        for delivery, outcome in zip(deliveries, outcomes, strict=True)
        if isinstance(outcome, PipelineError)
    )


def references(outcomes: Iterable[Outcome]) -> tuple[PushedReference, ...]:
    """Return where the image is now."""
    return tuple(outcome for outcome in outcomes if isinstance(outcome, PushedReference))


def together(deliveries: Sequence[Delivery], outcomes: Sequence[Outcome]) -> PipelineError | None:
    """Return the error that ends the stage, with every registry's outcome; None where all got the image."""
    errors = [outcome for outcome in outcomes if isinstance(outcome, PipelineError)]
    if not errors:
        return None
    if len(outcomes) == 1:
        return errors[0]
    kind = next(kind for kind in KINDS if any(isinstance(error, kind) for error in errors))
    lines = [
        f"  - {delivery.repository}: {_told(outcome)}"
        for delivery, outcome in zip(deliveries, outcomes, strict=True)
    ]
    advice = dict.fromkeys(error.advice for error in errors if error.advice)
    return kind(
        f"{len(errors)} of {len(outcomes)} pushes failed\n" + "\n".join(lines),
        advice="\n".join((*advice, AGAIN)),
    )


def _told(outcome: Outcome) -> str:
    if isinstance(outcome, PipelineError):
        return f"failed: {outcome.message}"
    return f"pushed as {outcome.tag}@{outcome.digest}"
