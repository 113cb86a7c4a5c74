"""The command line: dispatch, exit code; no logic of its own."""

import argparse
import dataclasses
import json
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from pipeline.errors import ConfigurationError, InternalError, PipelineError
from pipeline.parser import Command, make_parser
from pipeline.passwords import take_password

if TYPE_CHECKING:
    from pipeline import runner
    from pipeline.cascade import Configuration
    from pipeline.model import Source
    from pipeline.plan import Plan
    from pipeline.record import Record, Runs
    from pipeline.redaction import Redactor


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return the exit code; on a CI host nothing that it prints is a command."""
    from pipeline.ci import detect, guard

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
        stream.writelines(traceback.format_exception(error))
    return InternalError(
        f"a defect of the pipeline: {type(error).__name__}: {error}",
        advice=f"Please report it with {stream.name}; look for secrets in it first.",
    )


def _redactor() -> "Redactor":
    """Return what masks secrets, and tells the CI host of each of them."""
    from pipeline.ci import announcer
    from pipeline.redaction import Redactor

    return Redactor(learnt=announcer())


def _run(options: argparse.Namespace) -> int:
    from pipeline import handover, runner
    from pipeline.compose_resume import finish
    from pipeline.record import Runs

    options.key = handover.take_key(os.environ)
    how = runner.Options(dry_run=options.dry_run, reuse=not options.no_reuse, until=options.until)
    runs = Runs(_root(options))
    record = _deliver(options, how, runs, _compose)
    finish(runs, record, options.key)
    return record.exit_code


def _plan(options: argparse.Namespace) -> int:
    from pipeline import runner
    from pipeline.record import Runs

    how = runner.Options(until=options.until, only_check=True)
    with tempfile.TemporaryDirectory(prefix="pipeline-plan-") as folder:
        return _deliver(options, how, Runs(_root(options), Path(folder)), _compose).exit_code


def _rollback(options: argparse.Namespace) -> int:
    from pipeline import runner
    from pipeline.compose_gitops import compose_rollback
    from pipeline.record import Runs

    def compose(options: argparse.Namespace, source: "Source") -> "Plan":
        return compose_rollback(_configuration(options), source, to=options.to, forced=options.force)

    how = runner.Options(dry_run=options.dry_run, reuse=False)
    return _deliver(options, how, Runs(_root(options)), compose).exit_code


def _promote(options: argparse.Namespace) -> int:
    from pipeline import runner
    from pipeline.compose_gitops import compose_promotion, compose_shift
    from pipeline.record import Runs

    _require_one_promotion(options)

    def compose(options: argparse.Namespace, source: "Source") -> "Plan":
        if options.percent is not None:
            return compose_shift(
                _configuration(options), source, percent=options.percent, paths=options.targets
            )
        return compose_promotion(
            _config_file(options),
            options.assignments,
            source,
            here=options.here,
            there=options.there,
            redact=_redactor(),
            record=options.record,
            forced=options.force,
        )

    how = runner.Options(dry_run=options.dry_run, reuse=False)
    return _deliver(options, how, Runs(_root(options)), compose).exit_code


def _require_one_promotion(options: argparse.Namespace) -> None:
    """Refuse flags that do not fit together: either two environments, or another part of the requests."""
    between = (options.here, options.there)
    if options.percent is None:
        fits = None not in between and options.environment is None and not options.targets
    else:
        fits = {*between, options.record} == {None} and not options.force
    if not fits:
        raise ConfigurationError(
            "promote takes either --from and --to, or --percent",
            advice="`pipeline promote --from dev --to prod` deploys to prod what dev runs; "
            "`pipeline promote --percent 50 -e prod` gives the canary in prod half of the requests.",
        )


def _diff(options: argparse.Namespace) -> int:
    from pipeline.compose_gitops import preview

    made = preview(_configuration(options), _redactor(), root=options.root, run=options.run)
    sys.stdout.write("".join(file.diff for file in made.files))
    if made.note or not made.files:
        print(made.note or "nothing would change", file=sys.stderr)  # noqa: T201
    return 0


def _deliver(
    options: argparse.Namespace,
    how: "runner.Options",
    runs: "Runs",
    compose: "Callable[[argparse.Namespace, Source], Plan]",
) -> "Record":
    from pipeline import runner
    from pipeline.ci import detect
    from pipeline.ci.publish import publish, say_what_ci_does
    from pipeline.report.folded import reporter_of
    from pipeline.report.terminal import make_console
    from pipeline.source import read_source

    host, console, redact = detect(), make_console(stderr=options.json), _redactor()
    if host.proposal is not None:  # whoever asks, and whatever the configuration says
        how = dataclasses.replace(how, proposal=str(host.proposal))
    verbosity = -1 if options.quiet else int(options.verbose)
    record = runner.deliver(
        runs,
        lambda: read_source(_root(options)),
        lambda source: compose(options, source),
        reporter_of(host, console, verbosity=verbosity, only_check=how.only_check),
        how,
        redact=redact,
    )
    if verbosity > 0 or (how.only_check and verbosity == 0):
        say_what_ci_does(host, console)
    if not how.only_check:
        publish(
            host, record, runs, console, redact, key=f"{_config_file(options)} {options.environment or ''}"
        )
    if options.json:
        _print_json(record.model_dump(mode="json"))
    return record


def _print_json(document: object) -> None:
    """Print what was asked for; no string in it holds what a CI host takes for a command."""
    print(json.dumps(document, indent=2).replace("##[", "#\\u0023["))  # noqa: T201


def _compose(options: argparse.Namespace, source: "Source") -> "Plan":
    from pipeline.ci import detect
    from pipeline.compose_resume import resumed
    from pipeline.plugins import compose

    configuration, forced = _configuration(options), getattr(options, "force", False)
    plan = compose(configuration, source, until=options.until, forced=forced)
    dry_run = getattr(options, "dry_run", False) or detect().proposal is not None
    return resumed(plan, configuration, options.resume, begin=options.begin, key=options.key, dry_run=dry_run)


def _configuration(options: argparse.Namespace) -> "Configuration":
    from pipeline.cascade import read_config

    return read_config(_config_file(options), options.assignments, deployed_to=options.environment)


def _root(options: argparse.Namespace) -> Path:
    """Return the folder of pipeline.yaml, which is where the runs are kept."""
    return _config_file(options).parent


def _config_file(options: argparse.Namespace) -> Path:
    """Return the path of pipeline.yaml; a link stays where it stands, a folder means the file in it.

    Raises:
        ConfigurationError: there is none, so there is no place for a record either.
    """
    from pipeline.cascade import FILE_NAME, no_file

    given: Path = options.config / FILE_NAME if options.config.is_dir() else options.config
    path = given.parent.resolve() / given.name
    if not path.is_file():
        raise no_file(path)
    return path


def _doctor(options: argparse.Namespace) -> int:
    from pipeline.doctor import borrowed_desk, report
    from pipeline.plugins import diagnose

    configuration = _configuration(options)
    with borrowed_desk(configuration.root, configuration.secrets(), _redactor()) as desk:
        checks = diagnose(configuration, desk, write=options.write)
        return report(checks, desk.redact, as_json=options.json)


def _lock(options: argparse.Namespace) -> int:
    from pipeline.cascade import read_config
    from pipeline.desk import Desk
    from pipeline.plugins import lock_changes, lock_path, make_lock
    from pipeline.record import Runs, write_text
    from pipeline.report.terminal import make_console

    configuration = read_config(options.config.resolve(), options.assignments)
    runs = Runs(configuration.root)
    runs.prepare()
    with (
        tempfile.TemporaryDirectory(prefix="pipeline-lock-") as folder,
        make_console(stderr=True).status("reading the model") as status,
    ):
        desk = Desk(folder=Path(folder), cache=runs.cache, redact=_redactor(), say=status.update)
        lock = make_lock(configuration, desk)
    path = lock_path(configuration)
    unchanged = path.is_file() and path.read_text(encoding="utf-8") == lock.text()
    changes = lock_changes(path, lock)
    if not unchanged:
        write_text(path, lock.text())
    print(f"{path.name} {'is up to date' if unchanged else 'written'}: {lock}", *changes, sep="\n  ")  # noqa: T201
    return 0


def _edit(options: argparse.Namespace) -> int:
    from pipeline.edit import Wish, report
    from pipeline.plugins import edit_folder

    wish = Wish.of(options)
    return report(wish, edit_folder(wish), dry_run=options.dry_run)


def _matrix(options: argparse.Namespace) -> int:
    from pipeline.matrix import report

    return report(options)


def _init(options: argparse.Namespace) -> int:
    from pipeline.init import report
    from pipeline.plugins import registries

    configuration = _configuration(options)
    return report(options, configuration, registries(configuration))


def _show(options: argparse.Namespace) -> int:
    from pipeline.record import Runs
    from pipeline.report.terminal import make_console, print_record
    from pipeline.stored import by_name

    record = by_name(Runs(_root(options)), options.run)
    if options.json:
        _print_json(record.model_dump(mode="json"))
    else:
        print_record(make_console(), record)
    return 0


def _config(options: argparse.Namespace) -> int:
    from pipeline.report.terminal import make_console, settings_table

    settings = _configuration(options).settings()
    if options.json:
        _print_json([setting.model_dump(mode="json") for setting in settings])
    else:
        make_console().print(settings_table(settings))
    return 0


def _schema(_: argparse.Namespace) -> int:
    from pipeline.config import schema

    print(json.dumps(schema(), indent=2))  # noqa: T201
    return 0


COMMANDS: Mapping[str, Command] = {
    "run": _run,
    "plan": _plan,
    "doctor": _doctor,
    "lock": _lock,
    "rollback": _rollback,
    "promote": _promote,
    "diff": _diff,
    "edit": _edit,
    "matrix": _matrix,
    "init": _init,
    "show": _show,
    "config": _config,
    "schema": _schema,
}


def _print_error(error: PipelineError) -> None:
    from pipeline.record import Failure
    from pipeline.report.terminal import make_console, print_failure

    failure = Failure(
        kind=type(error).__name__, message=error.message, advice=error.advice, exit_code=error.exit_code
    )
    print_failure(make_console(stderr=True), failure)


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Do what a Ctrl-C does, by whoever handles it now: an event loop ends its tasks before it is left."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # what a script starts with `&` ignores Ctrl-C
        signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.raise_signal(signal.SIGINT)
