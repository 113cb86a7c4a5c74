"""Azure Container Registry: Entra's identities, repositories that are made by a push, locks on tags.

Sources: Azure Container Registry, "Service tiers" (limits), "Lock a container image", "Roles".
"""

import os
from dataclasses import dataclass, field, replace

from pipeline.desk import Desk
from pipeline.errors import PipelineError, RemoteError, TemporaryRemoteError, ToolMissing
from pipeline.model import RegistryEvidence
from pipeline.reference import Digest, Repository, Tag
from stages.oci.authentication import Credentials
from stages.oci.chunked import Chunked
from stages.oci.distribution import RepositoryClient
from stages.oci.endpoint import Endpoint
from stages.oci.image_content import ImageContent
from stages.oci.uploads import UploadStrategy
from stages.registries import credentials as stored
from stages.registries import distribution_api
from stages.registries.acr_address import PUBLIC, AcrAddress
from stages.registries.acr_api import FIREWALLED, NOBODY, AcrApi, AcrImage, blocked
from stages.registries.azure_refusals import permission_missing
from stages.registries.azure_session import AzureSession
from stages.registries.cloud_errors import CANNOT_ASK, NoCloudLogin, PermissionMissing
from stages.registries.cloud_evidence import confirmed
from stages.registries.interface import RepositoryState
from stages.registries.options import AZURE, RegistryOptions

LARGEST_LAYER_BYTES = 200 << 30
LOCKED = "REGISTRY_DISALLOWED_OPERATION"


@dataclass(frozen=True, slots=True, kw_only=True)
class AcrRegistry:
    """A registry of ACR.

    A password in the environment (REGISTRY_PASSWORD_…) comes first, then a `docker login` as the admin user
    or with a token of the registry's own, then Azure's identities, and last what `az acr login` left behind,
    which ends after three hours and cannot be renewed.
    """

    host: str
    api: AcrApi
    only: bool = True
    uploads: UploadStrategy = field(default_factory=Chunked)
    mounts: bool = True
    largest_blob_bytes: int | None = LARGEST_LAYER_BYTES

    @property
    def endpoint(self) -> Endpoint:
        """See `Registry.endpoint`."""
        return Endpoint(host=self.host, api_host=self.host)

    def credentials(self) -> Credentials | None:
        """See `Registry.credentials`."""
        named = stored.from_environment(self.host, os.environ, only=self.only)
        return named or self._by_docker_or_azure()

    def inspect(self, client: RepositoryClient, tag: Tag | None) -> RepositoryState:
        """See `Registry.inspect`.

        Raises:
            RemoteError: the repository is locked as a whole.
        """
        state = replace(distribution_api.inspect(client, tag), created_on_push=True)
        name = client.repository.path
        try:
            writable = self.api.is_writable(name)
            locked = state.tag_digest is not None and tag is not None and self.api.is_locked(name, tag)
        except CANNOT_ASK as error:
            return replace(state, notes=(f"ACR's API does not tell more: {error.message}",))
        if writable is False:
            raise self._locked(client.repository)
        notes = (f"the tag {tag} is locked",) if locked else ()
        return replace(state, exists=writable is not None, immutable_tags=locked, notes=notes)

    def prepare(self, repository: Repository, desk: Desk) -> None:
        """Do nothing: the first push makes the repository."""

    def verify(self, client: RepositoryClient, content: ImageContent, tag: Tag) -> RegistryEvidence:
        """Read the image back, and compare with the manifest's properties; see `Registry.verify`."""

        def look() -> dict[str, object]:
            image = self._described(client.repository, content.image.descriptor.digest, tag)
            return {
                "tags": image.tags,
                "size_bytes": image.size_bytes,
                "pushed_at": image.created_at,
                "notes": ("the manifest is locked",) if image.locked else (),
            }

        cloud, question = "Azure Container Registry", "manifest properties"
        return confirmed(client, content, look, cloud=cloud, question=question)

    def explain(self, error: RemoteError, repository: Repository) -> RemoteError:
        """Name the role, lock or firewall behind the registry's answer."""
        if isinstance(error, TemporaryRemoteError) and f"{self.host} could not be reached" in error.message:
            advice = (
                f"{error.advice} `az acr list --query '[].loginServer'` shows the registries that are yours."
            )
            return TemporaryRemoteError(error.message, advice=advice, retry_after_s=error.retry_after_s)
        if isinstance(error, TemporaryRemoteError | PermissionMissing):
            return error
        if any(sign in error.message for sign in FIREWALLED):
            return blocked(self.host, error.message)
        if LOCKED in error.message:
            return self._locked(repository)
        denied = any(word in error.message for word in ("DENIED", "UNAUTHORIZED", "may not push to"))
        if denied and self.api.session.name:
            said = error.message.removeprefix(f"{self.host}: ")
            return permission_missing(self.api.session, said)
        return error

    def _by_docker_or_azure(self) -> Credentials | None:
        kept: Credentials | None = None
        broken: PipelineError | None = None  # a helper that fails matters only where Azure knows nobody
        try:
            kept = stored.DockerConfig.load().find(self.host)
        except (ToolMissing, RemoteError) as error:
            broken = error
        if kept is not None and not _is_of_azure(kept):
            return kept
        try:
            return self.api.credentials()
        except (NoCloudLogin, ToolMissing):
            if broken is not None:
                raise broken from None
            if kept is not None:
                return kept
            raise

    def _described(self, repository: Repository, digest: Digest, tag: Tag) -> AcrImage:
        image = self.api.find_image(repository.path, digest)
        if image is None or tag not in image.tags:
            held = f"has the tags {', '.join(image.tags) or '(none)'}" if image else "is not known"
            raise TemporaryRemoteError(
                f"{repository}: {digest} was pushed as {tag}, and ACR says that it {held}",
                advice="Another run, a purge task or a retention policy may have taken it away.",
            )
        return image

    def _locked(self, repository: Repository) -> RemoteError:
        registry = self.host.partition(".")[0].partition("-")[0]
        return RemoteError(
            f"{repository} is locked: it takes no pushes",
            advice="Somebody has locked it on purpose; this opens it again:\n"
            f"az acr repository update --name {registry} --repository {repository.path} --write-enabled true",
        )


def registry(host: str, options: RegistryOptions, *, only: bool) -> AcrRegistry:
    """Return the registry behind a host, which may be one of Azure's by its kind alone.

    Raises:
        ConfigurationError: something is configured that ACR does not know.
    """
    options.refuse_others(
        f"Azure Container Registry ({host})",
        AZURE | {"create"},
        "Leave it out: the first push makes the repository, and what is to hold for it is set for the "
        "registry. A tag is locked by `az acr repository update --image … --write-enabled false`.",
    )
    address = AcrAddress.parse(host)
    session = AzureSession(
        host=host, cloud=address.cloud if address is not None else PUBLIC, login=options.login
    )
    return AcrRegistry(host=host, api=AcrApi(host=host, session=session), only=only)


def _is_of_azure(kept: Credentials) -> bool:
    """Tell whether a login is what `az acr login` keeps: a token that Azure made for somebody."""
    return kept.identity_token or kept.username == NOBODY
