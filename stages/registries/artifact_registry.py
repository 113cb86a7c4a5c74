"""Google Artifact Registry, and gcr.io, which it serves: tokens by google-auth, checks by its own API.

Sources: Artifact Registry documentation, "Docker API", "Configure authentication", "Create standard
repositories", "Overview of gcr.io repositories".
"""

import os
import shlex
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from pipeline.desk import Desk
from pipeline.errors import ConfigurationError, RemoteError, TemporaryRemoteError, ToolMissing
from pipeline.model import RegistryEvidence, RegistryScan
from pipeline.reference import Digest, Repository, Tag
from stages.oci.authentication import Credentials
from stages.oci.distribution import RepositoryClient
from stages.oci.endpoint import Endpoint
from stages.oci.image_content import ImageContent
from stages.oci.uploads import Monolithic, UploadStrategy
from stages.registries import credentials as stored
from stages.registries import distribution_api
from stages.registries.artifact_registry_address import ArtifactRegistryAddress, is_gcr, is_google
from stages.registries.artifact_registry_api import ArtifactRegistryApi, GoogleImage, GoogleRepository
from stages.registries.artifact_registry_findings import find_scan
from stages.registries.cloud_errors import CANNOT_ASK, NoCloudLogin, PermissionMissing
from stages.registries.cloud_evidence import confirmed
from stages.registries.google_refusals import permission_missing
from stages.registries.google_session import GoogleSession
from stages.registries.interface import NoScan, RepositoryState
from stages.registries.options import GOOGLE, REPOSITORY, RegistryOptions

FORMAT, MODES = "DOCKER", frozenset({"STANDARD_REPOSITORY", "MODE_UNSPECIFIED"})
READ = "artifactregistry.repositories.downloadArtifacts"
ALREADY_SAID = (PermissionMissing, NoCloudLogin)


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactRegistry:
    """A host of Artifact Registry.

    A password in the environment (REGISTRY_PASSWORD_…, also of the user `_json_key`) comes first, then
    Google's own chain, then what `docker login` left behind; with the latter alone, Google's API cannot be
    asked, and the plan says so. Blobs are mounted from other repositories of the same host.
    """

    host: str
    api: ArtifactRegistryApi
    options: RegistryOptions = field(default_factory=RegistryOptions)
    only: bool = True
    uploads: UploadStrategy = field(default_factory=Monolithic)
    mounts: bool = True
    largest_blob_bytes: int | None = None

    @property
    def endpoint(self) -> Endpoint:
        """See `Registry.endpoint`."""
        return Endpoint(host=self.host, api_host=self.host)

    def credentials(self) -> Credentials | None:
        """See `Registry.credentials`."""
        return stored.with_cloud(self.host, self.api.credentials, only=self.only)

    def inspect(self, client: RepositoryClient, tag: Tag | None) -> RepositoryState:
        """See `Registry.inspect`."""
        try:
            found = self._require_fitting(client.repository)
        except CANNOT_ASK as error:
            return self._inspect_without_api(client, tag, error)
        if found is None:
            return RepositoryState(
                exists=False,
                created_on_push=self._created_on_push,
                made_apart=True,
                advice=self._no_repository(client.repository).advice,
            )
        self._require_permissions(client.repository)
        state = distribution_api.inspect(client, tag)
        notes = ("Google scans what is pushed",) if found.scans else ()
        return replace(state, exists=True, immutable_tags=found.immutable_tags, notes=notes)

    def prepare(self, repository: Repository, desk: Desk) -> None:
        """Look whether the repository is there and takes images; see `Registry.prepare`."""
        del desk
        try:
            found = self._require_fitting(repository)
        except CANNOT_ASK:
            return  # the push itself finds out
        if found is None and not self._created_on_push:
            raise self._no_repository(repository)

    def verify(self, client: RepositoryClient, content: ImageContent, tag: Tag) -> RegistryEvidence:
        """Read the image back, and compare with what GetDockerImage says; see `Registry.verify`."""

        def look() -> dict[str, object]:
            image = self._described(client.repository, content.image.descriptor.digest, tag)
            return {
                "tags": image.tags,
                "media_type": image.media_type,
                "size_bytes": image.size_bytes,
                "pushed_at": image.uploaded_at,
            }

        cloud, question = "Google Artifact Registry", "GetDockerImage"
        return confirmed(client, content, look, cloud=cloud, question=question)

    def find_scan(self, repository: Repository, digest: Digest) -> RegistryScan | NoScan:
        """See `Scanning.find_scan`."""
        return find_scan(self.api, repository, digest)

    def explain(self, error: RemoteError, repository: Repository) -> RemoteError:
        """Name the missing permission or repository behind the registry's answer."""
        if isinstance(error, ALREADY_SAID):
            return error
        if "NAME_UNKNOWN" in error.message:
            return self._no_repository(repository)
        said = error.message
        if said.endswith("403 Forbidden"):  # the answer to a HEAD, which has no words
            resource = ArtifactRegistryAddress.parse(repository).resource
            said = f"a read was refused, for which it takes the permission {READ} on {resource}"
        if isinstance(error, TemporaryRemoteError) and f"{self.host} could not be reached" in said:
            return self._unreachable(error, repository)
        return permission_missing(said, self.host) or error

    def _unreachable(self, error: TemporaryRemoteError, repository: Repository) -> TemporaryRemoteError:
        if is_gcr(self.host):
            return error
        location = ArtifactRegistryAddress.parse(repository).location
        advice = (
            f"{error.advice} Is {location} a location of Artifact Registry? `gcloud artifacts locations "
            "list` shows them."
        )
        return TemporaryRemoteError(error.message, advice=advice, retry_after_s=error.retry_after_s)

    def _named(self) -> Credentials | None:
        """Return the password of the environment: with one, the API knows us as somebody else."""
        return stored.from_environment(self.host, os.environ, only=self.only)

    def _require_permissions(self, repository: Repository) -> None:
        """Save a long build whose push would be refused.

        Raises:
            PermissionMissing: whoever pushes may not.
        """
        if self._named() is not None:
            return
        address = ArtifactRegistryAddress.parse(repository)
        for permission in self.api.missing_permissions(address):
            said = f"this login does not have the permission {permission} on {address.resource}"
            if (missing := permission_missing(said, self.host)) is not None:
                raise missing

    def _inspect_without_api(
        self, client: RepositoryClient, tag: Tag | None, why: NoCloudLogin | PermissionMissing | ToolMissing
    ) -> RepositoryState:
        try:
            state = distribution_api.inspect(client, tag)
        except TemporaryRemoteError:
            raise
        except RemoteError:
            if (
                isinstance(why, PermissionMissing) and not self._named()
            ):  # its words say more than a registry's
                raise why from None
            raise
        return replace(state, notes=(f"Artifact Registry's API does not tell more: {why.message}",))

    def _require_fitting(self, repository: Repository) -> GoogleRepository | None:
        """Return the repository, or None where there is none.

        Raises:
            RemoteError: it holds no images, or takes no pushes.
        """
        address = ArtifactRegistryAddress.parse(repository)
        found = self.api.find_repository(address)
        if found is None or (found.format == FORMAT and found.mode in MODES):
            return found
        what = f"has the format {found.format}, and images need the format {FORMAT}"
        if found.format == FORMAT:
            kind = found.mode.partition("_")[0].lower()
            what = f"is a {kind} repository, which takes no pushes"
        other = replace(address, repository="NAME")
        raise RemoteError(
            f"{repository}: {address.resource} {what}",
            advice=f"Neither can be changed: make another one, and name it in `registries`:\n"
            f"{shlex.join(self._command(other))}",
        )

    def _described(self, repository: Repository, digest: Digest, tag: Tag) -> GoogleImage:
        image = self.api.find_image(ArtifactRegistryAddress.parse(repository), digest)
        if image is None or tag not in image.tags:
            held = f"has the tags {', '.join(image.tags) or '(none)'}" if image else "is not known"
            raise TemporaryRemoteError(
                f"{repository}: {digest} was pushed as {tag}, and GetDockerImage says that it {held}",
                advice="Another run or a cleanup policy may have taken it away: look into the audit log.",
            )
        return image

    @property
    def _created_on_push(self) -> bool:
        """Tell whether the first push makes the repository: of gcr.io it does, for who has the right."""
        return self.options.create and is_gcr(self.host)

    def _no_repository(self, repository: Repository) -> RemoteError:
        address = ArtifactRegistryAddress.parse(repository)
        advice = f"Make it:\n{shlex.join(self._command(address))}\n"
        if is_gcr(self.host):
            advice += (
                "or let the push make it, with `create: true` and roles/artifactregistry.createOnPushWriter."
            )
        elif self.options.create:
            advice += "`create: true` is not for Artifact Registry: it would take an administrator's rights."
        else:
            advice += "Are project and location right?"
        return RemoteError(
            f"{repository}: the repository {address.repository} does not exist in {address.location} of "
            f"project {address.project}",
            advice=advice,
        )

    def _command(self, address: ArtifactRegistryAddress) -> Iterable[str]:
        options = self.options
        yield from ("gcloud", "artifacts", "repositories", "create", address.repository)
        yield from (f"--project={address.project}", f"--location={address.location}")
        yield "--repository-format=docker"
        if options.immutable is not False:
            yield "--immutable-tags"
        if options.scan_on_push is not None:
            yield f"--{'allow' if options.scan_on_push else 'disable'}-vulnerability-scanning"
        if options.encryption and "/" in options.encryption:  # the name of a key; AES256 and KMS are Amazon's
            yield f"--kms-key={options.encryption}"
        if options.tags:
            yield f"--labels={','.join(f'{key}={value}' for key, value in options.tags.items())}"


def artifact_registry(host: str, options: RegistryOptions, *, only: bool) -> ArtifactRegistry:
    """Return the registry behind a host.

    Raises:
        ConfigurationError: the host is none of Artifact Registry's, or `login` is incomplete.
    """
    if not is_google(host.lower()):
        raise ConfigurationError(
            f"registries: {host} is said to be of kind `artifact_registry`, and is no host of it",
            advice="Write LOCATION-docker.pkg.dev/PROJECT/REPOSITORY, or leave `kind:` out.",
        )
    options.refuse_others(
        f"Google Artifact Registry ({host})",
        GOOGLE | (REPOSITORY - {"lifecycle"}),
        "Leave it out: `gcloud artifacts repositories set-cleanup-policies` says what is deleted in time.",
    )
    session = GoogleSession(host=host, login=options.login)
    api = ArtifactRegistryApi(host=host, session=session)
    return ArtifactRegistry(host=host, api=api, options=options, only=only)
