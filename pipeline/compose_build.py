"""The suite and the build of the configuration."""

import shlex

from pipeline.build_section import BuildSection
from pipeline.cascade import Configuration
from pipeline.compose_model import model_of, own_image
from pipeline.errors import ConfigurationError
from stages.build import Build
from stages.buildkit.secrets import BuildSecret
from stages.oci.layer_compression import Compression
from stages.test import Suite


def suite(configuration: Configuration) -> Suite:
    """Return the stage that runs the project's own tests."""
    section = configuration.values.test
    model = model_of(configuration)
    return Suite(
        command=_split(section.command),
        timeout_s=section.timeout_s,
        junit=section.junit,
        coverage=section.coverage,
        environment=section.environment,
        root=configuration.root,
        inputs=(model.files.local_folder,) if model is not None and model.files.local_folder else (),
    )


def _split(command: str | tuple[str, ...]) -> tuple[str, ...]:
    try:
        words = tuple(shlex.split(command)) if isinstance(command, str) else command
    except ValueError as error:
        raise ConfigurationError(f"test.command: {command!r}: {error}", advice="Close the quote.") from error
    if not words:
        raise ConfigurationError(
            "test.command is empty", advice="Name a command, or leave the stage out: `skip: {test: why}`."
        )
    return words


def build(configuration: Configuration) -> Build:
    """Return the stage that builds the image."""
    values, root = configuration.values, configuration.root
    section = values.build
    context = root / section.context
    return Build(
        image=values.image,
        tag=values.tag,
        context=context,
        dockerfile=context / section.dockerfile,
        target=section.target,
        platforms=section.platforms,
        arguments=section.args,
        secrets=_secrets(section, configuration),
        builder=section.builder,
        network=None if section.network == "default" else section.network,
        compression=Compression(section.compression, section.level),
        model=model_of(configuration),
        own_image=own_image(configuration),
        labels=section.labels,
    )


def _secrets(section: BuildSection, configuration: Configuration) -> tuple[BuildSecret, ...]:
    root = configuration.root
    return tuple(
        BuildSecret(
            id=secret.id, environment=secret.environment, file=root / secret.file if secret.file else None
        )
        for secret in section.secrets
    )
