"""Any registry that follows the OCI distribution specification, Docker Hub among them."""

from collections.abc import Callable
from dataclasses import dataclass, field

from stages.oci.authentication import Credentials
from stages.oci.chunked import Chunked
from stages.oci.endpoint import Endpoint
from stages.oci.uploads import UploadStrategy

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

    @property
    def endpoint(self) -> Endpoint:
        """See `Registry.endpoint`."""
        return Endpoint(host=self.host, api_host=API_HOSTS.get(self.host, self.host), insecure=self.insecure)

    def credentials(self) -> Credentials | None:
        """See `Registry.credentials`."""
        return self.find_credentials()
