"""The commands that only look: doctor, show, config, schema."""

import argparse
import json

from pipeline.commands.options import configuration_of, print_json, record_of, redactor


def doctor(options: argparse.Namespace) -> int:
    """Say what each registry would say to a push."""
    from pipeline.ci import detect
    from pipeline.compose_push import diagnose
    from pipeline.doctor import borrowed_desk, report, require_accepted

    if options.write:
        require_accepted(detect().proposal)
    configuration = configuration_of(options)
    with borrowed_desk(configuration.root, configuration.secrets(), redactor()) as desk:
        checks = diagnose(configuration, desk, write=options.write)
        return report(checks, desk.redact, as_json=options.json)


def show(options: argparse.Namespace) -> int:
    """Print the record of a run."""
    from pipeline.report.terminal import make_console, print_record

    record = record_of(options)
    if options.json:
        print_json(record.model_dump(mode="json"))
    else:
        print_record(make_console(), record)
    return 0


def config(options: argparse.Namespace) -> int:
    """Print every setting and where it comes from."""
    from pipeline.report.terminal import make_console, settings_table

    settings = configuration_of(options).settings()
    if options.json:
        print_json([setting.model_dump(mode="json") for setting in settings])
    else:
        make_console().print(settings_table(settings))
    return 0


def schema(_: argparse.Namespace) -> int:
    """Print the JSON schema of pipeline.yaml."""
    from pipeline.config import schema

    print(json.dumps(schema(), indent=2))  # noqa: T201
    return 0
