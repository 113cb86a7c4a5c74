"""The commands that read or write files of the project: lock, edit, matrix, init."""

import argparse
import tempfile
from pathlib import Path

from pipeline.commands.options import configuration_of, redactor


def lock(options: argparse.Namespace) -> int:
    """Write pipeline.lock."""
    from pipeline.cascade import read_config
    from pipeline.compose_model import lock_changes, lock_path, make_lock
    from pipeline.desk import Desk
    from pipeline.record import Runs, write_text
    from pipeline.report.terminal import make_console

    configuration = read_config(options.config.resolve(), options.assignments)
    runs = Runs(configuration.root)
    runs.prepare()
    with (
        tempfile.TemporaryDirectory(prefix="pipeline-lock-") as folder,
        make_console(stderr=True).status("reading the model") as status,
    ):
        desk = Desk(folder=Path(folder), cache=runs.cache, redact=redactor(), say=status.update)
        lock = make_lock(configuration, desk)
    path = lock_path(configuration)
    unchanged = path.is_file() and path.read_text(encoding="utf-8") == lock.text()
    changes = lock_changes(path, lock)
    if not unchanged:
        write_text(path, lock.text())
    print(f"{path.name} {'is up to date' if unchanged else 'written'}: {lock}", *changes, sep="\n  ")  # noqa: T201
    return 0


def edit(options: argparse.Namespace) -> int:
    """Name the image in the manifests of a folder."""
    from pipeline.edit import Wish, report
    from pipeline.plugins import edit_folder

    wish = Wish.of(options)
    return report(wish, edit_folder(wish), dry_run=options.dry_run)


def matrix(options: argparse.Namespace) -> int:
    """Print the models that a change concerns."""
    from pipeline.matrix import report

    return report(options)


def init(options: argparse.Namespace) -> int:
    """Write the CI host's workflow: of one model, or of all at the top of a repository of several."""
    from pipeline.cascade import read_config
    from pipeline.compose_push import registries
    from pipeline.init import models_of, report

    several = models_of(options.config)
    if options.environment is not None:
        several = ()
    found = [read_config(path, options.assignments) for path in several] or [configuration_of(options)]
    return report(options, [(each, registries(each)) for each in found])
