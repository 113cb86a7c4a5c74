"""The command line: dispatch, exit code; no logic of its own."""

import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from pipeline.commands import benching, delivery, files, judging, looking, verifying
from pipeline.errors import InternalError, PipelineError
from pipeline.parser import Command, make_parser
from pipeline.passwords import take_password

if TYPE_CHECKING:
    from pipeline.redaction import Redactor


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return the exit code; on a CI host nothing that it prints is a command."""
    from pipeline.ci import detect, guard

    for name in ("stdout", "stderr"):  # None where whoever started us has closed them
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115 - for as long as we run
    with guard(detect()):
        return _main(arguments)


def _main(arguments: list[str] | None) -> int:
    options = make_parser(COMMANDS).parse_args(arguments)
    for number in (signal.SIGTERM, signal.SIGHUP):  # a cancelled CI job, a closed terminal: a Ctrl-C
        if signal.getsignal(number) is not signal.SIG_IGN:  # as `nohup` has it
            signal.signal(number, _interrupt)
    try:
        if getattr(options, "password_stdin", False):
            take_password(sys.stdin, os.environ)
        return int(options.do(options))
    except PipelineError as error:
        _print_error(error)
        return error.exit_code
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output left; Python would complain on its way out
        return 0
    except KeyboardInterrupt:
        return 130
    except Exception as error:  # a defect of ours: no traceback in the user's face, but none lost
        _print_error(_defect(error))
        return InternalError.exit_code


def _defect(error: Exception) -> InternalError:
    with tempfile.NamedTemporaryFile("w", prefix="pipeline-", suffix=".txt", delete=False) as stream:
        stream.write(_redactor()("".join(traceback.format_exception(error))))
    return InternalError(
        f"a defect of the pipeline: {type(error).__name__}: {error}",
        advice=f"Please report it with {stream.name}; look in it for secrets that are not masked first.",
    )


def _redactor() -> "Redactor":
    """Return what masks the secrets of the environment; those of a configuration are not known here."""
    from pipeline.commands.options import redactor

    redact = redactor()
    redact.add_all_of(os.environ)
    return redact


COMMANDS: Mapping[str, Command] = {
    "run": delivery.run,
    "plan": delivery.plan,
    "bench": benching.bench,
    "doctor": looking.doctor,
    "lock": files.lock,
    "rollback": delivery.rollback,
    "promote": delivery.promote,
    "verify": verifying.verify,
    "diff": delivery.diff,
    "edit": files.edit,
    "matrix": files.matrix,
    "init": files.init,
    "show": looking.show,
    "judge": judging.judge,
    "config": looking.config,
    "schema": looking.schema,
}


def _print_error(error: PipelineError) -> None:
    from pipeline.ci import detect
    from pipeline.ci.streams import tell
    from pipeline.markup import visible
    from pipeline.record import Failure
    from pipeline.report.annotations import Annotation
    from pipeline.report.terminal import make_console, print_failure

    redact = _redactor()
    failure = Failure(
        kind=type(error).__name__,
        message=redact(error.message),
        advice=redact(error.advice),
        exit_code=error.exit_code,
    )
    console = make_console(stderr=True)
    print_failure(console, failure)
    told = visible("\n".join(filter(None, (failure.message, failure.advice))))
    tell(console.file, detect().annotations([Annotation(level="error", title=failure.kind, message=told)]))


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Do what a Ctrl-C does, by whoever handles it now: an event loop ends its tasks before it is left."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # what a script starts with `&` ignores Ctrl-C
        signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.raise_signal(signal.SIGINT)
