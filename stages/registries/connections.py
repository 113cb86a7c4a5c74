"""The registries of one run: which adapter each repository has, and clients that speak to it."""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from pipeline.desk import Desk
from pipeline.reference import Repository
from stages.oci.distribution import RepositoryClient
from stages.oci.exchange import TIMEOUTS, Timeouts
from stages.oci.retries import Retries
from stages.oci.sessions import Sessions
from stages.oci.transport import Transport
from stages.registries import recognise
from stages.registries.interface import Registry
from stages.registries.options import LoginOptions, RegistryOptions

SESSIONS = "uploads"  # in the cache
IMPATIENT = Retries(attempts=2)  # a plan answers soon
SOON = Timeouts(connect_s=15.0, read_s=60.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Registries:
    """How to reach the repositories that the configuration names."""

    repositories: tuple[Repository, ...]
    insecure: tuple[str, ...] = ()
    """Hosts that may be spoken to without TLS; loopback always may."""
    options: Mapping[Repository, RegistryOptions] = field(default_factory=dict)
    """What the configuration says of a repository beside where it is."""

    def of(self, repository: Repository) -> Registry:
        """Return the registry of a repository.

        Raises:
            ConfigurationError: it is said to be of a kind that does not fit.
        """
        only = len({each.host for each in self.repositories}) == 1
        options = self.options_of(repository)
        return recognise(repository.host, insecure=self.insecure, only=only, options=options)

    def options_of(self, repository: Repository) -> RegistryOptions:
        """Return what is said of a repository."""
        return self.options.get(repository, RegistryOptions())

    def login_of(self, repository: Repository) -> tuple[str, LoginOptions]:
        """Return what tells one login from another: repositories with the same one share a connection."""
        return repository.host, self.options_of(repository).login

    @contextlib.contextmanager
    def asked(self, repository: Repository, registry: Registry, desk: Desk) -> Iterator[RepositoryClient]:
        """Lend a client for a question of the plan, which is to be answered soon."""
        with contextlib.closing(connect(registry, desk, SOON)) as transport:
            yield client(repository, registry, transport, desk, IMPATIENT)


def connect(registry: Registry, desk: Desk, timeouts: Timeouts = TIMEOUTS) -> Transport:
    """Return a connection to a registry; whoever asks for it closes it."""
    return Transport(registry.endpoint, registry.credentials, desk.redact.add, timeouts=timeouts)


def client(
    repository: Repository,
    registry: Registry,
    transport: Transport,
    desk: Desk,
    retries: Retries | None = None,
) -> RepositoryClient:
    """Return a client of one repository."""
    return RepositoryClient(
        repository=repository,
        transport=transport,
        uploads=registry.uploads,
        retries=retries or Retries(),
        sessions=Sessions(desk.cache / SESSIONS),
        say=desk.say,
    )
