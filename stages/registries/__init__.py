"""Registries: the one place where the kind of a registry is recognised by its host."""

from collections.abc import Collection

from stages.registries.credentials import find
from stages.registries.generic import GenericRegistry
from stages.registries.habits import habit
from stages.registries.interface import Registry
from stages.registries.options import RegistryOptions


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
    """
    del options
    return GenericRegistry(
        host=host,
        find_credentials=lambda: find(host, only=only),
        insecure=frozenset(insecure),
        uploads=habit(host).uploads(),
    )
