"""What `pipeline doctor` shows: whether each registry would take a push, and what is in its way."""

import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pipeline.desk import Desk
from pipeline.errors import ConfigurationError
from pipeline.model import Check
from pipeline.plan import missing
from pipeline.record import Failure, Runs
from pipeline.redaction import Redactor
from pipeline.report.terminal import make_console, print_checks, print_failure


def require_accepted(proposal: object | None) -> None:
    """Refuse to upload anything for a change that nobody has accepted.

    Raises:
        ConfigurationError: the job runs for a pull or merge request.
    """
    if proposal is not None:
        raise ConfigurationError(
            f"doctor --write uploads to the registries, and this job runs for {proposal}",
            advice="Nobody has accepted it yet: leave --write out, or run it for a branch.",
        )


@contextmanager
def borrowed_desk(root: Path, secrets: Sequence[str], redact: Redactor) -> Iterator[Desk]:
    """Lend a desk outside of a run: nothing of it stays, and no secret is shown."""
    redact.add_all_of(os.environ)
    for secret in secrets:
        redact.add(secret)
    with tempfile.TemporaryDirectory(prefix="pipeline-doctor-") as folder:
        desk = Desk(folder=Path(folder), cache=Runs(root).cache, redact=redact)
        try:
            yield desk
        finally:
            desk.clear()


def report(checks: Sequence[Check], redact: Redactor, *, as_json: bool) -> int:
    """Show the checks and what to do about those that failed; return the exit code."""
    documents = [redact.words(check.model_dump(mode="json")) for check in checks]
    shown = tuple(map(Check.model_validate, documents))
    error = missing(shown)
    if as_json:
        print(json.dumps(documents, indent=2))  # noqa: T201 - what was asked for
        return error.exit_code if error is not None else 0
    print_checks(make_console(), shown)
    if error is None:
        return 0
    failed = sum(not check.passed for check in shown)
    failure = Failure(
        kind=type(error).__name__,
        message=f"{failed} of {len(shown)} registries would not take a push",
        advice=error.advice,
        exit_code=error.exit_code,
    )
    print_failure(make_console(stderr=True), failure)
    return error.exit_code
