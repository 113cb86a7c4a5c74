"""What the commands share: the configuration that the options name, masks, JSON."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.cascade import Configuration
    from pipeline.record import Record
    from pipeline.redaction import Redactor


def redactor() -> "Redactor":
    """Return what masks secrets, and tells the CI host of each of them."""
    from pipeline.ci import announcer
    from pipeline.redaction import Redactor

    return Redactor(learnt=announcer())


def print_json(document: object) -> None:
    """Print what was asked for; no string in it holds what a CI host takes for a command."""
    print(json.dumps(document, indent=2).replace("##[", "#\\u0023["))  # noqa: T201


def configuration_of(options: argparse.Namespace) -> "Configuration":
    """Return the configuration that the options name."""
    from pipeline.cascade import read_config

    return read_config(config_file(options), options.assignments, deployed_to=options.environment)


def root_of(options: argparse.Namespace) -> Path:
    """Return the folder of pipeline.yaml, which is where the runs are kept."""
    return config_file(options).parent


def record_of(options: argparse.Namespace) -> "Record":
    """Return the record of the run that is named: a file needs no configuration beside it."""
    from pipeline.record import Runs, read_record
    from pipeline.stored import by_name

    if options.run is not None and (path := Path(options.run)).is_file():
        return read_record(path)
    return by_name(Runs(root_of(options)), options.run)


def config_file(options: argparse.Namespace) -> Path:
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
