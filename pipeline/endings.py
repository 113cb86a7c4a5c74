"""How a run ends, in its record."""

import traceback
from pathlib import Path

from pipeline.errors import InternalError, Interrupted, PipelineError, PolicyRefused
from pipeline.record import Failure, Record, Status, write_text
from pipeline.redaction import Redactor


def passed(record: Record) -> Record:
    """Return the record of a run that came to its end; evidence may have been out of its reach."""
    status = Status.INCOMPLETE if record.out_of_reach else Status.PASSED
    return record.model_copy(update={"status": status})


def failed(record: Record, error: PipelineError) -> Record:
    """Return the record of a run that an error ended."""
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


def internal(error: BaseException, folder: Path, redact: Redactor) -> InternalError:
    """Return the error that stands for a defect of ours; its traceback is kept in a folder."""
    path = folder / "traceback.txt"
    text = "".join(traceback.format_exception(error))
    write_text(path, redact(text))
    return InternalError(
        f"a defect of the pipeline: {type(error).__name__}: {error}",
        advice=f"Please report it with {path} (secrets are masked) and the record of the run.",
    )
