"""The command line: parse, dispatch, exit code; no logic of its own."""

import argparse
import json
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import pipeline
from pipeline.errors import ConfigurationError, InternalError, PipelineError

if TYPE_CHECKING:
    from pipeline import runner
    from pipeline.model import Source
    from pipeline.plan import Plan
    from pipeline.record import Record, Runs

DESCRIPTION = """\
Deliver a model image: test, build, scan, benchmark, push, update the GitOps manifest.
What is scanned, benchmarked, pushed and deployed is one digest, from the build on."""

EPILOG = """\
exit codes: 0 delivered, 1 a stage failed, 2 configuration, 3 refused by policy, 4 tool missing,
5 registry or git remote, 6 disk, 7 the tag names another digest, 70 defect, 130 interrupted

settings: default < pipeline.yaml < PIPELINE_SECTION__KEY in the environment < --set section.key=value
passwords: REGISTRY_USERNAME and REGISTRY_PASSWORD, or `docker login`;
GITOPS_USERNAME and GITOPS_PASSWORD, or git's credential helpers"""


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    options = _parser().parse_args(arguments)
    for number in (signal.SIGTERM, signal.SIGHUP):  # a cancelled CI job, a closed terminal: a Ctrl-C
        signal.signal(number, _interrupt)
    try:
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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pipeline",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"pipeline {pipeline.__version__}")
    verbs = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    run = _verb(verbs, "run", _run, "deliver the commit that is checked out")
    _add_config(run)
    _add_until(run)
    run.add_argument(
        "--dry-run",
        action="store_true",
        help="do everything that stays on this machine; push and commit nothing",
    )
    run.add_argument(
        "--no-reuse", action="store_true", help="run every stage, also where an earlier run has the result"
    )
    _add_output(run)
    plan = _verb(verbs, "plan", _plan, "check everything that a run needs, and start nothing")
    _add_config(plan)
    _add_until(plan)
    _add_output(plan)
    lock = _verb(verbs, "lock", _lock, "pin the model: write the digests of its files to pipeline.lock")
    _add_config(lock)
    show = _verb(verbs, "show", _show, "show the record of a run")
    show.add_argument("run", nargs="?", help="name of the run, or path of a record.json; default: the newest")
    _add_folder(show)
    show.add_argument("--json", action="store_true", help="print the record itself")
    config = _verb(verbs, "config", _config, "print every setting and where it came from")
    _add_config(config)
    config.add_argument("--json", action="store_true", help="print JSON")
    _verb(verbs, "schema", _schema, "print the JSON schema of pipeline.yaml, for editors")
    return parser


def _verb(
    verbs: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    do: Callable[[argparse.Namespace], int],
    summary: str,
) -> argparse.ArgumentParser:
    parser = verbs.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
    parser.set_defaults(do=do)
    return parser


def _add_folder(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-c",
        "--config",
        type=Path,
        default=Path("pipeline.yaml"),
        metavar="FILE",
        help="default: pipeline.yaml",
    )


def _add_config(parser: argparse.ArgumentParser) -> None:
    _add_folder(parser)
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        dest="assignments",
        metavar="KEY=VALUE",
        help="a setting, such as benchmark.port=9000",
    )


def _add_until(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--until", metavar="STAGE", help="stop after this stage: test, build, scan, benchmark, push, update"
    )


def _add_output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--json", action="store_true", help="print the record on standard output, progress on standard error"
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="print errors alone")
    parser.add_argument(
        "-v", "--verbose", action="store_true", help="print all checks, verdicts and progress"
    )


def _run(options: argparse.Namespace) -> int:
    from pipeline import runner
    from pipeline.record import Runs

    how = runner.Options(dry_run=options.dry_run, reuse=not options.no_reuse, until=options.until)
    record = _deliver(options, how, Runs(_root(options)))
    return record.exit_code


def _plan(options: argparse.Namespace) -> int:
    from pipeline import runner
    from pipeline.record import Runs

    how = runner.Options(until=options.until, only_check=True)
    with tempfile.TemporaryDirectory(prefix="pipeline-plan-") as folder:
        record = _deliver(options, how, Runs(_root(options), Path(folder)))
    return record.exit_code


def _deliver(options: argparse.Namespace, how: "runner.Options", runs: "Runs") -> "Record":
    from pipeline import runner
    from pipeline.report.terminal import PlanReporter, TerminalReporter, make_console
    from pipeline.source import read_source

    verbosity = -1 if options.quiet else int(options.verbose)
    kind = PlanReporter if how.only_check else TerminalReporter
    reporter = kind(verbosity=verbosity, console=make_console(stderr=options.json))
    record = runner.deliver(
        runs, lambda: read_source(_root(options)), lambda source: _compose(options, source), reporter, how
    )
    if options.json:
        print(json.dumps(record.model_dump(mode="json"), indent=2))  # noqa: T201 - what was asked for
    return record


def _compose(options: argparse.Namespace, source: "Source") -> "Plan":
    from pipeline.cascade import read_config
    from pipeline.plugins import compose

    configuration = read_config(_config_file(options), options.assignments)
    return compose(configuration, source, until=options.until)


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
        lock = make_lock(configuration, Desk(folder=Path(folder), cache=runs.cache, say=status.update))
    path = lock_path(configuration)
    unchanged = path.is_file() and path.read_text(encoding="utf-8") == lock.text()
    changes = lock_changes(path, lock)
    if not unchanged:
        write_text(path, lock.text())
    print(f"{path.name} {'is up to date' if unchanged else 'written'}: {lock}", *changes, sep="\n  ")  # noqa: T201
    return 0


def _show(options: argparse.Namespace) -> int:
    from pipeline.record import Runs, read_record
    from pipeline.report.terminal import make_console, print_record

    runs = Runs(_root(options))
    path = (
        Path(options.run) if options.run and Path(options.run).is_file() else _record_path(runs, options.run)
    )
    record = read_record(path)
    if options.json:
        print(json.dumps(record.model_dump(mode="json"), indent=2))  # noqa: T201
    else:
        print_record(make_console(), record)
    return 0


def _record_path(runs: "Runs", name: str | None) -> Path:
    names = runs.names()
    if not names:
        raise ConfigurationError(f"there is no run below {runs.runs}", advice="Run `pipeline run` first.")
    found = [known for known in names if name is None or known.startswith(name)]
    if not found:
        raise ConfigurationError(
            f"there is no run called {name!r}", advice=f"The newest are {', '.join(names[:5])}."
        )
    return runs.path(found[0])


def _config(options: argparse.Namespace) -> int:
    from pipeline.cascade import read_config
    from pipeline.report.terminal import make_console, settings_table

    settings = read_config(_config_file(options), options.assignments).settings()
    if options.json:
        print(json.dumps([setting.model_dump(mode="json") for setting in settings], indent=2))  # noqa: T201
    else:
        make_console().print(settings_table(settings))
    return 0


def _schema(_: argparse.Namespace) -> int:
    from pipeline.config import schema

    print(json.dumps(schema(), indent=2))  # noqa: T201
    return 0


def _print_error(error: PipelineError) -> None:
    from pipeline.record import Failure
    from pipeline.report.terminal import make_console, print_failure

    failure = Failure(
        kind=type(error).__name__, message=error.message, advice=error.advice, exit_code=error.exit_code
    )
    print_failure(make_console(stderr=True), failure)


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Do what a Ctrl-C does, by whoever handles it now: an event loop ends its tasks before it is left."""
    signal.raise_signal(signal.SIGINT)
