"""Amazon Elastic Container Registry: passwords by its API, repositories that have to be made, no chunks.

Sources: Amazon ECR User Guide ("Service quotas", "Image tag mutability", "Blob mounting") and API Reference.
"""

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
from stages.registries.aws_refusals import permission_missing, reading_refused, unknown_region
from stages.registries.aws_session import AwsSession
from stages.registries.cloud_errors import CANNOT_ASK
from stages.registries.cloud_evidence import confirmed
from stages.registries.ecr_address import EcrAddress
from stages.registries.ecr_api import EcrApi, EcrImage, encryption
from stages.registries.ecr_findings import find_scan, read_scan
from stages.registries.interface import NoScan, RepositoryState
from stages.registries.options import AMAZON, REPOSITORY, RegistryOptions

LARGEST_LAYER_BYTES = 52_000 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class EcrRegistry:
    """A private registry of ECR.

    A password in the environment (REGISTRY_PASSWORD_…) comes first, then AWS's own chain, then what
    `docker login` left behind; with the latter alone, ECR's API cannot be asked, and the plan says so.
    """

    host: str
    api: EcrApi
    options: RegistryOptions = field(default_factory=RegistryOptions)
    only: bool = True
    uploads: UploadStrategy = field(default_factory=Monolithic)
    largest_blob_bytes: int | None = LARGEST_LAYER_BYTES

    @property
    def endpoint(self) -> Endpoint:
        """See `Registry.endpoint`."""
        return Endpoint(host=self.host, api_host=self.host)

    @property
    def mounts(self) -> bool:
        """Tell what the account's setting BLOB_MOUNTING says; where nobody tells, it is worth asking."""
        try:
            return self.api.mounts_blobs()
        except (RemoteError, ToolMissing):
            return True

    def credentials(self) -> Credentials | None:
        """See `Registry.credentials`."""
        return stored.with_cloud(self.host, self.api.credentials, only=self.only)

    def inspect(self, client: RepositoryClient, tag: Tag | None) -> RepositoryState:
        """See `Registry.inspect`."""
        name = client.repository.path
        try:
            found = self.api.find_repository(name)
        except CANNOT_ASK as error:
            state = distribution_api.inspect(client, tag)
            return replace(state, notes=(f"ECR's API does not tell more: {error.message}",))
        if found is None:
            return self._missing(client.repository)
        state = distribution_api.inspect(client, tag)
        notes = ("ECR scans on push",) if found.scan_on_push else ()
        return replace(state, exists=True, immutable_tags=found.is_immutable(tag), notes=notes)

    def prepare(self, repository: Repository, desk: Desk) -> None:
        """Make the repository where it is missing and `create: true`; see `Registry.prepare`."""
        try:
            if self.api.find_repository(repository.path) is not None:
                return
        except CANNOT_ASK:
            if not self.options.create:
                return  # the push itself finds out
            raise
        if self.options.create:
            if self.api.create_repository(repository.path, self.options):
                desk.say(f"made the repository {repository}")
        elif not self._created_on_push(repository):
            raise self._no_repository(repository)

    def verify(self, client: RepositoryClient, content: ImageContent, tag: Tag) -> RegistryEvidence:
        """Read the image back, and compare with what DescribeImages says; see `Registry.verify`."""

        def look() -> dict[str, object]:
            image = self._described(client.repository, content.image.descriptor.digest, tag)
            return {
                "tags": image.tags,
                "media_type": image.media_type,
                "size_bytes": image.size_bytes,
                "pushed_at": image.pushed_at,
                **self._scanned(client.repository, image),
            }

        return confirmed(client, content, look, cloud="Amazon ECR", question="DescribeImages")

    def find_scan(self, repository: Repository, digest: Digest) -> RegistryScan | NoScan:
        """See `Scanning.find_scan`."""
        return find_scan(self.api, repository.path, digest)

    def explain(self, error: RemoteError, repository: Repository) -> RemoteError:
        """Name the missing permission, repository or region behind the registry's answer."""
        if "DENIED" in error.message:
            return permission_missing(error.message, self.host) or error
        if error.message.endswith("403 Forbidden"):  # the answer to a HEAD, which has no words
            return reading_refused(error.message, self.host)
        if "NAME_UNKNOWN" in error.message:
            return self._no_repository(repository)
        if isinstance(error, TemporaryRemoteError) and "could not be reached" in error.message:
            region = self._unknown_region()
            return RemoteError(error.message, advice=f"{region} Mend `registries`.") if region else error
        return error

    def _scanned(self, repository: Repository, image: EcrImage) -> dict[str, object]:
        """Return the findings of ECR's scan of the image, or how far it is: it begins with the push."""
        try:
            found = read_scan(self.api.scan_pages(repository.path, image.digest), image.digest)
        except CANNOT_ASK as error:
            return {"notes": (f"DescribeImageScanFindings: {error.message}",)}
        status = (f"scan: {image.scan_status}",) if image.scan_status and found is None else ()
        return {"scan": found, "notes": status}

    def _described(self, repository: Repository, digest: Digest, tag: Tag) -> EcrImage:
        image = self.api.find_image(repository.path, digest)
        if image is None or tag not in image.tags:
            held = f"has the tags {', '.join(image.tags) or '(none)'}" if image else "is not known"
            raise TemporaryRemoteError(
                f"{repository}: {digest} was pushed as {tag}, and DescribeImages says that it {held}",
                advice="Another run or a lifecycle policy may have taken it away: look into CloudTrail.",
            )
        return image

    def _missing(self, repository: Repository) -> RepositoryState:
        made = self.options.create or self._created_on_push(repository)
        return RepositoryState(
            exists=False,
            created_on_push=made,
            made_apart=True,
            immutable_tags=self.options.immutable if self.options.create else None,
            advice=self._no_repository(repository).advice,
        )

    def _created_on_push(self, repository: Repository) -> bool:
        try:
            return self.api.is_created_on_push(repository.path)
        except (RemoteError, ToolMissing):
            return False

    def _no_repository(self, repository: Repository) -> RemoteError:
        address = self.api.address
        return RemoteError(
            f"{repository} does not exist in {address.region} of account {address.account}",
            advice=f"Make it:\n{shlex.join(self._command(repository))}\n"
            "or let the push make it: `create: true` for this registry. Is the region right?",
        )

    def _command(self, repository: Repository) -> Iterable[str]:
        address, options = self.api.address, self.options
        yield from ("aws", "ecr", "create-repository", "--region", address.region)
        yield from ("--registry-id", address.account, "--repository-name", repository.path)
        if options.immutable is not False:
            yield from ("--image-tag-mutability", "IMMUTABLE")
        if options.scan_on_push is not None:
            yield from (
                "--image-scanning-configuration",
                f"scanOnPush={str(options.scan_on_push).lower()}",
            )
        if options.encryption is not None:  # which cannot be changed later
            chosen = (f"{name}={value}" for name, value in encryption(options.encryption).items())
            yield from ("--encryption-configuration", ",".join(chosen))
        if options.tags:
            yield from ("--tags", *(f"Key={key},Value={value}" for key, value in options.tags.items()))

    def _unknown_region(self) -> str:
        try:
            return unknown_region(self.api.session)
        except ToolMissing:
            return ""


def private(host: str, options: RegistryOptions, *, only: bool) -> EcrRegistry:
    """Return the private registry behind a host.

    Raises:
        ConfigurationError: the host is none of ECR's, so that account and region are not known.
    """
    address = EcrAddress.parse(host)
    if address is None:
        raise ConfigurationError(
            f"registries: {host} is said to be of kind `ecr`, and its name does not say account and region",
            advice="Write ACCOUNT.dkr.ecr.REGION.amazonaws.com/path, or leave `kind:` out.",
        )
    options.refuse_others(f"Amazon ECR ({host})", AMAZON | REPOSITORY, "Leave it out.")
    session = AwsSession(
        host=host,
        region=address.region,
        login=options.login,
        fips=address.fips,
        dual_stack=address.dual_stack,
    )
    api = EcrApi(host=host, address=address, session=session)
    return EcrRegistry(host=host, api=api, options=options, only=only)
