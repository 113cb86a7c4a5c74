"""How a run that does not pass ends: what its record says of the error."""

import traceback
from pathlib import Path

from pipeline.errors import InternalError, Interrupted, PipelineError, PolicyRefused
from pipeline.record import Failure, Record, Status, write_text
from pipeline.redaction import Redactor


def failed(record: Record, error: PipelineError) -> Record:
    """Return the record of a run that this error ended."""
    failure = Failure(
        kind=type(error).__name__,
        message=error.message,
        advice=error.advice,
        tail=getattr(error, "tail", ""),
        exit_code=error.exit_code,
    )
    statuses = {PolicyRefused: Status.REFUSED, Interrupted: Status.INTERRUPTED}
    status = statuses.get(type(error), Status.FAILED)
    return record.model_copy(update={"status": status, "failure": failure})


def defect(error: BaseException, folder: Path, redact: Redactor) -> InternalError:
    """Return the error of a defect of ours; its traceback is kept in the folder."""
    path = folder / "traceback.txt"  # not in the run, which a plan throws away
    text = "".join(traceback.format_exception(error))
    write_text(path, redact(text))
    return InternalError(
        f"a defect of the pipeline: {type(error).__name__}: {error}",
        advice=f"Please report it with {path} (secrets are masked) and the record of the run.",
    )
