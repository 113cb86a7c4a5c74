"""Registries: the one place where the kind of a registry is recognised by its host, or taken as named."""

from collections.abc import Callable, Collection
from typing import Protocol

from stages.registries import acr, artifact_registry, ecr, ecr_public
from stages.registries.acr_address import AcrAddress
from stages.registries.artifact_registry_address import is_google
from stages.registries.credentials import find
from stages.registries.ecr_address import PUBLIC, EcrAddress
from stages.registries.generic import GenericRegistry
from stages.registries.habits import habit
from stages.registries.interface import Registry
from stages.registries.options import Kind, RegistryOptions


class Make(Protocol):
    """Makes the adapter of a cloud's registry."""

    def __call__(self, host: str, options: RegistryOptions, /, *, only: bool) -> Registry:
        """Return it; `only` says that the run has no other registry."""
        ...


CLOUDS: tuple[tuple[Kind, Callable[[str], bool], Make], ...] = (
    ("ecr", lambda host: host == PUBLIC, ecr_public.public),
    ("ecr", lambda host: EcrAddress.parse(host) is not None, ecr.private),
    ("artifact_registry", is_google, artifact_registry.artifact_registry),
    ("acr", lambda host: AcrAddress.parse(host) is not None, acr.registry),
)
"""A kind, how its hosts are recognised, and its adapter; of one kind, the last takes any other host."""


def recognise(
    host: str,
    *,
    insecure: Collection[str] = (),
    only: bool = True,
    options: RegistryOptions = RegistryOptions(),  # noqa: B008 - frozen
) -> Registry:
    """Return the registry behind a host.

    `insecure` names the hosts that may be spoken to without TLS; `only` says that the run has no other
    registry, so that the credentials for "the" registry are meant for it.

    Raises:
        ConfigurationError: something is configured that such a registry does not know.
    """
    for make in _makers(host.lower(), options.kind):
        return make(host, options, only=only)
    options.refuse_others(
        host,
        frozenset({"create"}),
        "Leave it out: such a registry makes a repository with its first image, and is logged in to by "
        "`docker login` or REGISTRY_USERNAME and REGISTRY_PASSWORD.",
    )
    return GenericRegistry(
        host=host,
        find_credentials=lambda: find(host, only=only),
        insecure=frozenset(insecure),
        uploads=habit(host).uploads(),
    )


def _makers(host: str, kind: Kind | None) -> list[Make]:
    """Return the adapters that fit, the best first."""
    fitting = [make for name, fits, make in CLOUDS if fits(host) and kind in {None, name}]
    named = [make for name, _, make in CLOUDS if name == kind]
    return fitting or named[-1:]
