"""The commands that go through stages: run, plan, rollback, promote, diff."""

import argparse
import dataclasses
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.commands.options import config_file, configuration_of, print_json, redactor, root_of
from pipeline.errors import ConfigurationError

if TYPE_CHECKING:
    from pipeline import runner
    from pipeline.model import Source
    from pipeline.plan import Plan
    from pipeline.record import Record, Runs


def run(options: argparse.Namespace) -> int:
    """Deliver: test, build, scan, benchmark, push, update."""
    from pipeline import handover, runner
    from pipeline.compose_resume import finish
    from pipeline.record import Runs

    options.key = handover.take_key(os.environ)
    how = runner.Options(dry_run=options.dry_run, reuse=not options.no_reuse, until=options.until)
    runs = Runs(root_of(options))
    record = _deliver(options, how, runs, _compose)
    finish(runs, record, options.key)
    return record.exit_code


def plan(options: argparse.Namespace) -> int:
    """Show what a run would do, and check what it needs."""
    from pipeline import handover, runner
    from pipeline.record import Runs

    options.key = handover.take_key(os.environ)
    how = runner.Options(until=options.until, only_check=True)
    with tempfile.TemporaryDirectory(prefix="pipeline-plan-") as folder:
        return _deliver(options, how, Runs(root_of(options), Path(folder)), _compose).exit_code


def rollback(options: argparse.Namespace) -> int:
    """Deploy what was deployed before."""
    from pipeline import runner
    from pipeline.compose_gitops import compose_rollback
    from pipeline.record import Runs

    def compose(options: argparse.Namespace, source: "Source") -> "Plan":
        return compose_rollback(configuration_of(options), source, to=options.to, forced=options.force)

    how = runner.Options(dry_run=options.dry_run, reuse=False)
    return _deliver(options, how, Runs(root_of(options)), compose).exit_code


def promote(options: argparse.Namespace) -> int:
    """Deploy to one environment what another one runs."""
    from pipeline import handover, runner
    from pipeline.compose_gitops import compose_promotion, compose_shift
    from pipeline.record import Runs

    _require_one_promotion(options)
    key = handover.take_key(os.environ)

    def compose(options: argparse.Namespace, source: "Source") -> "Plan":
        if options.percent is not None:
            return compose_shift(
                configuration_of(options), source, percent=options.percent, paths=options.targets
            )
        return compose_promotion(
            config_file(options),
            options.assignments,
            source,
            here=options.here,
            there=options.there,
            redact=redactor(),
            record=options.record,
            key=key,
            forced=options.force,
        )

    how = runner.Options(dry_run=options.dry_run, reuse=False)
    return _deliver(options, how, Runs(root_of(options)), compose).exit_code


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


def diff(options: argparse.Namespace) -> int:
    """Print what the update would change."""
    from pipeline.compose_gitops import preview
    from pipeline.errors import ConfigurationError

    if options.root is not None and not options.root.is_dir():
        raise ConfigurationError(
            f"--root {options.root} is not a folder", advice="Name the clone of the GitOps repository."
        )
    made = preview(configuration_of(options), redactor(), root=options.root, run=options.run)
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

    host, console, redact = detect(), make_console(stderr=options.json), redactor()
    if host.proposal is not None:  # whoever asks, and whatever the configuration says
        how = dataclasses.replace(how, proposal=str(host.proposal))
    verbosity = -1 if options.quiet else int(options.verbose)
    record = runner.deliver(
        runs,
        lambda: read_source(root_of(options)),
        lambda source: compose(options, source),
        reporter_of(host, console, verbosity=verbosity, only_check=how.only_check),
        how,
        redact=redact,
    )
    if verbosity > 0 or (how.only_check and verbosity == 0):
        say_what_ci_does(host, console)
    if not how.only_check:
        publish(
            host, record, runs, console, redact, key=f"{config_file(options)} {options.environment or ''}"
        )
    if options.json:
        print_json(record.model_dump(mode="json"))
    return record


def _compose(options: argparse.Namespace, source: "Source") -> "Plan":
    from pipeline.ci import detect
    from pipeline.compose_resume import resumed
    from pipeline.plugins import compose

    configuration, forced = configuration_of(options), getattr(options, "force", False)
    proposed = detect().proposal is not None
    plan = compose(configuration, source, until=options.until, forced=forced, proposed=proposed)
    dry_run = getattr(options, "dry_run", False) or proposed
    return resumed(plan, configuration, options.resume, begin=options.begin, key=options.key, dry_run=dry_run)
