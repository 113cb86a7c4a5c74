"""What the command line understands: commands, flags and their help."""

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path

import pipeline
from pipeline.passwords import FLAG

Command = Callable[[argparse.Namespace], int]

DESCRIPTION = """\
Deliver a model image: test, build, scan, benchmark, push, update the GitOps manifest.
What is scanned, benchmarked, pushed and deployed is one digest, from the build on."""

EPILOG = """\
exit codes: 0 delivered, 1 a stage failed, 2 configuration, 3 refused by policy, 4 tool missing,
5 registry or git remote, 6 disk, 7 the tag names another digest, 70 defect, 130 interrupted

settings: default < pipeline.yaml < PIPELINE_SECTION__KEY in the environment < --set section.key=value
passwords: REGISTRY_USERNAME with REGISTRY_PASSWORD or --password-stdin, or `docker login`;
GITOPS_USERNAME and GITOPS_PASSWORD, or git's credential helpers"""


def make_parser(commands: Mapping[str, Command]) -> argparse.ArgumentParser:
    """Return the parser; each command's name gets what it does as `do`."""
    parser = argparse.ArgumentParser(
        prog="pipeline",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"pipeline {pipeline.__version__}")
    verbs = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    run = _verb(verbs, "run", commands, "deliver the commit that is checked out")
    _add_config(run)
    _add_password(run)
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
    plan = _verb(verbs, "plan", commands, "check everything that a run needs, and start nothing")
    _add_config(plan)
    _add_password(plan)
    _add_until(plan)
    _add_output(plan)
    doctor = _verb(
        verbs, "doctor", commands, "log in to every registry, and say what a push would meet there"
    )
    _add_config(doctor)
    _add_password(doctor)
    doctor.add_argument(
        "--write", action="store_true", help="upload one kilobyte to each repository, and cancel the upload"
    )
    doctor.add_argument("--json", action="store_true", help="print JSON")
    lock = _verb(verbs, "lock", commands, "pin the model: write the digests of its files to pipeline.lock")
    _add_config(lock)
    show = _verb(verbs, "show", commands, "show the record of a run")
    show.add_argument("run", nargs="?", help="name of the run, or path of a record.json; default: the newest")
    _add_folder(show)
    show.add_argument("--json", action="store_true", help="print the record itself")
    config = _verb(verbs, "config", commands, "print every setting and where it came from")
    _add_config(config)
    config.add_argument("--json", action="store_true", help="print JSON")
    _verb(verbs, "schema", commands, "print the JSON schema of pipeline.yaml, for editors")
    return parser


def _verb(
    verbs: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    commands: Mapping[str, Command],
    summary: str,
) -> argparse.ArgumentParser:
    parser = verbs.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
    parser.set_defaults(do=commands[name])
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


def _add_password(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        FLAG,
        action="store_true",
        help="read the password of the user that REGISTRY_USERNAME names from standard input",
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
