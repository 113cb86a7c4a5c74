"""The command that judges an image by what was attested of it: verify."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.commands.options import configuration_of, print_json, redactor
from pipeline.errors import ConfigurationError, PolicyRefused

if TYPE_CHECKING:
    from pipeline.attest_section import VerifySection
    from pipeline.cascade import Configuration


def verify(options: argparse.Namespace) -> int:
    """Verify signature and attestations of an image, and judge the evidence in them."""
    from pipeline import compose_attest
    from pipeline.doctor import borrowed_desk
    from pipeline.report.terminal import make_console
    from pipeline.report.verification import print_verification

    configuration = _configuration(options)
    root = configuration.root if configuration is not None else Path.cwd()
    secrets = configuration.secrets() if configuration is not None else ()
    with borrowed_desk(root, secrets, redactor()) as desk:
        found = compose_attest.verify(
            options.reference,
            desk,
            configuration,
            section=_section(options),
            policies=options.policies,
        )
    if options.json:
        print_json({**found.model_dump(mode="json"), "passed": found.passed})
    else:
        print_verification(make_console(), found)
    return 0 if found.passed else PolicyRefused.exit_code


def _configuration(options: argparse.Namespace) -> "Configuration | None":
    """Return the configuration, which another machine need not have."""
    if options.config is None:
        if not Path("pipeline.yaml").is_file():
            if options.environment is not None or options.assignments:
                raise ConfigurationError(
                    "--environment and --set are about pipeline.yaml, and there is none here",
                    advice="Name it by --config, or say everything by flags: `pipeline verify --help`.",
                )
            return None
        options.config = Path("pipeline.yaml")
    return configuration_of(options)


def _section(options: argparse.Namespace) -> "VerifySection | None":
    """Return whose signatures the flags name; None where they name nobody's."""
    from pydantic import ValidationError

    from pipeline.attest_section import VerifySection

    given = {
        "key": options.key,
        "identity": options.identity,
        "identity_regexp": options.identity_regexp,
        "issuer": options.issuer,
        "trusted_root": options.trusted_root,
    }
    said = {name: value for name, value in given.items() if value is not None}
    if options.no_transparency_log:
        said["transparency_log"] = False
    if not said:
        return None
    try:
        return VerifySection(**said)
    except ValidationError as error:
        told = error.errors(include_url=False)[0]["msg"].removeprefix("Value error, ")
        raise ConfigurationError(
            f"verify: {told}",
            advice="`pipeline verify REF --key cosign.pub`, or `--identity URL --issuer URL`.",
        ) from error
