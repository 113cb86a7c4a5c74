"""Any registry that follows the OCI distribution specification, Docker Hub among them."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from pipeline.desk import Desk
from pipeline.errors import RemoteError
from pipeline.model import RegistryEvidence
from pipeline.reference import Repository, Tag
from stages.oci.authentication import Credentials
from stages.oci.chunked import Chunked
from stages.oci.distribution import RepositoryClient
from stages.oci.endpoint import Endpoint
from stages.oci.image_content import ImageContent
from stages.oci.uploads import UploadStrategy
from stages.registries import distribution_api
from stages.registries.interface import RepositoryState
from stages.registries.login_hints import hints

# The names that references use for Docker Hub are not where its API answers.
API_HOSTS = {"docker.io": "registry-1.docker.io", "index.docker.io": "registry-1.docker.io"}


@dataclass(frozen=True, slots=True, kw_only=True)
class GenericRegistry:
    """A registry without rules of its own; credentials come from where people keep them."""

    host: str
    find_credentials: Callable[[], Credentials | None]
    insecure: frozenset[str] = frozenset()
    uploads: UploadStrategy = field(default_factory=Chunked)
    mounts: bool = True
    largest_blob_bytes: int | None = None
    makes_repositories: bool = True
    """The first push makes a repository."""

    @property
    def endpoint(self) -> Endpoint:
        """See `Registry.endpoint`."""
        return Endpoint(host=self.host, api_host=API_HOSTS.get(self.host, self.host), insecure=self.insecure)

    def credentials(self) -> Credentials | None:
        """See `Registry.credentials`."""
        return self.find_credentials()

    def inspect(self, client: RepositoryClient, tag: Tag | None) -> RepositoryState:
        """Tell also whether anything was ever pushed there; whether tags can be moved nobody can be asked."""
        state = distribution_api.inspect(client, tag)
        if state.tag_digest is not None:
            return replace(state, exists=True)
        try:
            there = client.exists()
        except RemoteError:  # not every registry lists tags
            return state
        if not there and not self.makes_repositories:
            return state  # it may be there and empty
        return replace(state, exists=there, created_on_push=True)

    def prepare(self, repository: Repository, desk: Desk) -> None:
        """Do nothing: such registries make a repository with its first image."""

    def verify(self, client: RepositoryClient, content: ImageContent, tag: Tag) -> RegistryEvidence:
        """See `Registry.verify`; the tag was asked for by the push."""
        del tag
        return distribution_api.read_back(client, content)

    def explain(self, error: RemoteError, repository: Repository) -> RemoteError:
        """Say what such a refusal means at the registries that we know by their host."""
        del repository
        known = hints("docker.io" if self.host in API_HOSTS else self.host)
        words = {"refused the password": known.unknown, "may not push to": known.not_allowed}
        hint = next((hint for sign, hint in words.items() if sign in error.message), "")
        if type(error) is not RemoteError or not hint:
            return error
        return RemoteError(error.message, advice=f"{error.advice} {hint}")
