"""What the command line understands: commands, flags and their help."""

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path

import pipeline
from pipeline.bench_flags import add_bench
from pipeline.parser_edit import add_edit
from pipeline.parser_judging import add_judge, add_policy
from pipeline.passwords import FLAG

Command = Callable[[argparse.Namespace], int]

DESCRIPTION = """\
Deliver a model image: test, build, scan, benchmark, push, update the GitOps manifest.
What is scanned, benchmarked, pushed and deployed is one digest, from the build on."""

EPILOG = """\
exit codes: 0 delivered, 1 a stage failed, 2 configuration, 3 refused by policy, 4 tool missing,
5 registry or git remote, 6 disk, 7 the tag names another digest, 8 a manifest cannot be edited safely,
9 not signed or not verifiable, 70 defect, 130 interrupted

settings: default < pipeline.yaml < PIPELINE_SECTION__KEY in the environment < --set section.key=value
passwords: REGISTRY_USERNAME with REGISTRY_PASSWORD or --password-stdin, or `docker login`;
GITOPS_USERNAME and GITOPS_PASSWORD, GITOPS_SSH_KEY, or git's credential helpers"""


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
    _add_resume(run)
    run.add_argument(
        "--dry-run",
        action="store_true",
        help="do everything that stays on this machine; push and commit nothing",
    )
    run.add_argument(
        "--no-reuse", action="store_true", help="run every stage, also where an earlier run has the result"
    )
    run.add_argument(
        "--force",
        action="store_true",
        help="write the manifests whatever stands there, a newer build too; the record and the commit say so",
    )
    _add_output(run)
    plan = _verb(verbs, "plan", commands, "check everything that a run needs, and start nothing")
    _add_config(plan)
    _add_password(plan)
    _add_until(plan)
    _add_resume(plan)
    _add_output(plan)
    bench = _verb(verbs, "bench", commands, "measure an image's server, maybe beside another image's")
    add_bench(bench)
    _add_config(bench)
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
    _add_rollback(_verb(verbs, "rollback", commands, "deploy again what was deployed before"))
    _add_promote(
        _verb(verbs, "promote", commands, "deploy to another environment, or give a canary more requests")
    )
    _add_verify(_verb(verbs, "verify", commands, "judge an image anywhere, by what was signed and attested"))
    _add_diff(_verb(verbs, "diff", commands, "print what the newest image would change in the manifests"))
    add_edit(_verb(verbs, "edit", commands, "make manifests on this machine name an image"))
    _add_init(_verb(verbs, "init", commands, "write the workflow for a CI host: github or gitlab"))
    _add_matrix(_verb(verbs, "matrix", commands, "print the models that a change concerns, for a CI host"))
    show = _verb(verbs, "show", commands, "show the record of a run")
    show.add_argument("run", nargs="?", help="name of the run, or path of a record.json; default: the newest")
    _add_folder(show)
    show.add_argument("--json", action="store_true", help="print the record itself")
    judge = _verb(verbs, "judge", commands, "judge a recorded run again, by other policies or as of now")
    _add_config(judge)
    add_judge(judge)
    add_policy(verbs)
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


def _add_config(parser: argparse.ArgumentParser, *, environments: bool = True) -> None:
    _add_folder(parser)
    parser.set_defaults(environment=None)
    if environments:
        parser.add_argument(
            "-e",
            "--environment",
            metavar="NAME",
            help="one of `environments:` of the file",
        )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        dest="assignments",
        metavar="KEY=VALUE",
        help="a setting, such as benchmark.port=9000",
    )


def _add_rollback(parser: argparse.ArgumentParser) -> None:
    _add_config(parser)
    parser.add_argument(
        "--to",
        metavar="RUN|DIGEST",
        help="a recorded run, its record.json, or the application's digest; default: what stood there before",
    )
    _add_act(parser)


def _add_promote(parser: argparse.ArgumentParser) -> None:
    _add_config(parser)
    parser.add_argument("--from", dest="here", metavar="NAME", help="environment that runs it")
    parser.add_argument("--to", dest="there", metavar="NAME", help="environment that gets it")
    parser.add_argument(
        "--percent",
        type=int,
        metavar="N",
        help="part of the requests that a canary gets from now on; 100: all",
    )
    parser.add_argument(
        "--target",
        action="append",
        default=[],
        dest="targets",
        metavar="PATH",
        help="with --percent, a target's path; default: all with a `strategy:`",
    )
    parser.add_argument(
        "--record",
        metavar="RUN|FILE",
        help="run that delivered it; default: found by the digest",
    )
    _add_act(parser)


def _add_act(parser: argparse.ArgumentParser) -> None:
    """Add what a rollback and a promotion have in common: both are recorded like runs."""
    parser.add_argument("--dry-run", action="store_true", help="show the edit, and push and commit nothing")
    parser.add_argument(
        "--force", action="store_true", help="write whatever stands there; the record and the commit say so"
    )
    _add_output(parser)


def _add_verify(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("reference", metavar="REF", help="repository with @digest or :tag")
    _add_config(parser)
    parser.set_defaults(config=None)
    parser.add_argument(
        "--policies",
        metavar="NAME|FILE",
        help="pack or file of rules; default: those of pipeline.yaml, else baseline",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    signer = parser.add_argument_group("whose signatures are believed; default: `verify:` of pipeline.yaml")
    signer.add_argument("--key", metavar="FILE|URI", help="public key: cosign.pub, env://NAME or a KMS")
    signer.add_argument("--identity", metavar="URL", help="identity in the certificate: a workflow's address")
    signer.add_argument("--identity-regexp", metavar="REGEXP", help="the same as a regular expression")
    signer.add_argument("--issuer", metavar="URL", help="who issued that identity")
    signer.add_argument(
        "--no-transparency-log", action="store_true", help="with --key: demand no entry in the public log"
    )
    signer.add_argument("--trusted-root", metavar="FILE", help="whose logs and certificates are believed")


def _add_diff(parser: argparse.ArgumentParser) -> None:
    _add_config(parser)
    parser.add_argument("--run", help="a recorded run, or its record.json; default: the newest with an image")
    parser.add_argument(
        "--root", type=Path, metavar="DIR", help="a clone of the GitOps repository: nobody else is asked then"
    )


def _add_password(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        FLAG,
        action="store_true",
        help="read the password of the user that REGISTRY_USERNAME names from standard input",
    )


def _add_until(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(key=None)
    parser.add_argument(
        "--until",
        metavar="STAGE",
        help="stop after this stage: test, build, scan, benchmark, push, attest, update",
    )


def _add_init(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("host", choices=("github", "gitlab"), help="the CI host")
    _add_config(parser)
    parser.add_argument("--force", action="store_true", help="replace the file that is there")


def _add_matrix(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "folders",
        nargs="*",
        type=Path,
        metavar="FOLDER",
        help="look for models here alone; default: everywhere",
    )
    parser.add_argument(
        "--base",
        metavar="REF",
        help="commit or branch to compare with; default: what the CI host says, else all models are printed",
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument(
        "--gitlab",
        dest="form",
        action="store_const",
        const="gitlab",
        help="print a child pipeline instead of GitHub's matrix",
    )
    form.add_argument(
        "--json", dest="form", action="store_const", const="json", help="print a list with the reasons"
    )
    parser.set_defaults(form="github")
    parser.add_argument(
        "--template",
        default="/templates/deliver.yml",
        metavar="PATH",
        help="with --gitlab: the template in this repository; default: /templates/deliver.yml",
    )


def _add_resume(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--resume",
        action="append",
        default=[],
        metavar="RECORD",
        help="go on where another run of the same commit ended: .pipeline/handover, which a run with --until "
        "leaves, a run's name, or its record.json; several of jobs that went on side by side",
    )
    parser.add_argument(
        "--from",
        dest="begin",
        metavar="STAGE",
        help="with --resume: stage to begin with; default: the first one that the record has no result of",
    )


def _add_output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--json", action="store_true", help="print the record on standard output, progress on standard error"
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="print errors alone")
    parser.add_argument(
        "-v", "--verbose", action="store_true", help="print all checks, verdicts and progress"
    )
