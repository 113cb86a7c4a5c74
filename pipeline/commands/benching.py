"""The command that measures an image and delivers nothing: bench."""

import argparse
from pathlib import Path

from pipeline.commands.options import redactor

FLAGS = {
    "port": "port",
    "protocol": "protocol",
    "model": "model",
    "rate": "rate_rps",
    "duration": "duration_s",
    "rounds": "rounds",
    "most_rounds": "most_rounds",
    "starts": "starts",
}


def bench(options: argparse.Namespace) -> int:
    """Measure an image, maybe beside another one."""
    from pipeline.bench import report
    from pipeline.cascade import FILE_NAME
    from pipeline.compose_bench import bench, settings
    from pipeline.doctor import borrowed_desk
    from pipeline.report.terminal import make_console

    path = options.config / FILE_NAME if options.config.is_dir() else options.config
    with settings(path.resolve(), assignments(options), options.environment) as configuration:
        with (
            borrowed_desk(configuration.root, configuration.secrets(), redactor()) as desk,
            make_console(stderr=True).status("looking for the image") as status,
        ):
            desk.say = lambda line: status.update(desk.redact(line))
            made, verdicts = bench(
                configuration, options.image, options.against, desk, options.maximum_regression
            )
        return report(made, verdicts, desk.redact.words, as_json=options.json)


def assignments(options: argparse.Namespace) -> list[str]:
    """Return what the flags set, as `--set` would."""
    given = {key: getattr(options, flag) for flag, key in FLAGS.items()}
    own = []
    if options.request is not None:
        given["request"] = Path(options.request).resolve()
        own = ["benchmark.expect=null"]  # that of pipeline.yaml answers another request
    return [
        *own,
        *options.assignments,
        *(f"benchmark.{key}={value}" for key, value in given.items() if value is not None),
    ]
