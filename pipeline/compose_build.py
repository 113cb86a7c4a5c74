"""The suite and the build of the configuration."""

import os
import shlex
from collections.abc import Mapping
from dataclasses import replace

from pipeline import compose_gitops as gitops
from pipeline.build_section import BuildSection
from pipeline.cache_section import CacheSection, cache_of
from pipeline.cascade import Configuration
from pipeline.ci.branches import base_branches
from pipeline.compose_model import model_of, own_image
from pipeline.errors import ConfigurationError
from pipeline.model import Source
from pipeline.reference import Repository
from stages.build import Build
from stages.buildkit.cache_tags import cache_tag
from stages.buildkit.external_cache import ExternalCache
from stages.buildkit.github_cache import GitHubCache
from stages.buildkit.registry_cache import RegistryCache
from stages.buildkit.secrets import BuildSecret
from stages.oci.layer_compression import Compression
from stages.registries.connections import Registries
from stages.registries.options import RegistryOptions
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


def external_cache(
    configuration: Configuration, source: Source, environment: Mapping[str, str] | None = None
) -> ExternalCache | None:
    """Return the cache that the configuration names, as the commit's branch uses it; None if it names none.

    Raises:
        ConfigurationError: it names a repository that images go to, or no registry to put it into.
    """
    section = configuration.values.build
    if section.cache is None:
        return None
    cache, environment = cache_of(section.cache), os.environ if environment is None else environment
    if cache.store == "gha":
        scope = (configuration.values.image, section.target, *section.platforms)
        return GitHubCache(scope="-".join(filter(None, scope)), environment=environment, mode=cache.mode)
    return _registry_cache(configuration, cache, source, environment)


def _registry_cache(
    configuration: Configuration, cache: CacheSection, source: Source, environment: Mapping[str, str]
) -> RegistryCache:
    values = configuration.values
    repository = _cache_repository(configuration, cache)
    image = values.image if cache.store != "registry" else ""  # others may keep theirs there too
    branches = dict.fromkeys(filter(None, (source.branch, *base_branches(environment))))
    target, platforms = values.build.target or "", values.build.platforms
    tags = {branch: cache_tag(branch, image=image, target=target, platforms=platforms) for branch in branches}
    return RegistryCache(
        repository=repository,
        registries=Registries(
            repositories=(*values.repositories, repository),
            insecure=values.insecure_registries,
            options={repository: _cache_options(configuration, repository)},
        ),
        tag=tags[source.branch] if source.branch else None,
        read=tuple(tags.values()),
        mode=cache.mode,
    )


def _cache_repository(configuration: Configuration, cache: CacheSection) -> Repository:
    values = configuration.values
    if cache.store == "registry" and not values.repositories:
        raise ConfigurationError(
            "build.cache: `registry` puts the cache beside the image, and there are no `registries`",
            advice="Name a registry, or let `build.cache` name a repository.",
        )
    beside = cache.store == "registry"
    repository = Repository(f"{values.repositories[0]}-cache" if beside else cache.store)
    if repository in (*values.repositories, *values.model_repositories):
        raise ConfigurationError(
            f"build.cache: {repository} is where images go; a cache would be taken for one",
            advice=f"Name another repository, such as {repository}-cache.",
        )
    return repository


def _cache_options(configuration: Configuration, repository: Repository) -> RegistryOptions:
    """Return what is said of the image's repository in the same registry; but the cache's tags must move."""
    near = (said for name, said in gitops.options(configuration).items() if name.host == repository.host)
    return replace(next(near, RegistryOptions()), immutable=False)


def _secrets(section: BuildSection, configuration: Configuration) -> tuple[BuildSecret, ...]:
    root = configuration.root
    return tuple(
        BuildSecret(
            id=secret.id, environment=secret.environment, file=root / secret.file if secret.file else None
        )
        for secret in section.secrets
    )
