"""Amazon ECR's own API by boto3: the few calls that a push needs, typed, with errors in words."""

import base64
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from fnmatch import fnmatchcase
from typing import Any

from pipeline.errors import ConfigurationError
from pipeline.reference import Digest
from stages.oci.authentication import Credentials
from stages.registries.aws_refusals import WHO, refusal
from stages.registries.aws_session import AwsSession
from stages.registries.ecr_address import EcrAddress
from stages.registries.extras import require
from stages.registries.options import RegistryOptions

ROOT_TEMPLATE = "ROOT"  # the prefix of a template for all repositories


@dataclass(frozen=True, slots=True, kw_only=True)
class EcrRepository:
    """A repository as ECR describes it."""

    mutability: str
    exclusions: tuple[str, ...] = ()
    """Patterns of the tags for which the opposite holds."""
    scan_on_push: bool = False
    encryption: str = ""

    def is_immutable(self, tag: str | None) -> bool:
        """Tell whether this tag cannot be moved; without a tag, whether most cannot."""
        immutable = self.mutability.startswith("IMMUTABLE")
        excluded = tag is not None and any(fnmatchcase(tag, pattern) for pattern in self.exclusions)
        return immutable != excluded


@dataclass(frozen=True, slots=True, kw_only=True)
class EcrImage:
    """An image as ECR describes it."""

    digest: Digest
    tags: tuple[str, ...] = ()
    media_type: str | None = None
    size_bytes: int | None = None
    pushed_at: datetime | None = None
    scan_status: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EcrApi:
    """The control plane of one private registry. All methods raise PipelineError."""

    host: str
    address: EcrAddress
    session: AwsSession = field(repr=False)

    def credentials(self) -> Credentials:
        """Return a new password, good for about twelve hours."""
        answer = self.require("get a password", "get_authorization_token", {})
        entry = answer["authorizationData"][0]
        username, _, password = base64.b64decode(entry["authorizationToken"]).decode().partition(":")
        return Credentials(
            username=username,
            secret=password,
            origin=self._origin,
            expires_at=by_our_clock(entry.get("expiresAt"), answer),
            advice=f"AWS gave this password a moment ago: {WHO}",
        )

    def find_repository(self, name: str) -> EcrRepository | None:
        """Return a repository, or None where there is none."""
        answer = self.ask(
            "look for the repository",
            "describe_repositories",
            {**self._here, "repositoryNames": [name]},
            absent=("RepositoryNotFoundException",),
        )
        if answer is None:
            return None
        found = answer["repositories"][0]
        return EcrRepository(
            mutability=str(found.get("imageTagMutability", "MUTABLE")),
            exclusions=tuple(
                str(each["filter"]) for each in found.get("imageTagMutabilityExclusionFilters") or ()
            ),
            scan_on_push=bool((found.get("imageScanningConfiguration") or {}).get("scanOnPush")),
            encryption=str((found.get("encryptionConfiguration") or {}).get("encryptionType", "")),
        )

    def is_created_on_push(self, name: str) -> bool:
        """Tell whether a creation template makes the repository when something is pushed."""
        answer = self.require("read the creation templates", "describe_repository_creation_templates", {})
        return any(
            "CREATE_ON_PUSH" in (each.get("appliedFor") or ()) and covers(str(each["prefix"]), name)
            for each in answer.get("repositoryCreationTemplates") or ()
        )

    def create_repository(self, name: str, options: RegistryOptions) -> bool:
        """Make a repository as configured, with its lifecycle policy; tell whether it was not there yet."""
        lifecycle = _lifecycle(options)
        arguments = {**self._here, "repositoryName": name}
        if options.immutable is not None:
            arguments["imageTagMutability"] = "IMMUTABLE" if options.immutable else "MUTABLE"
        if options.scan_on_push is not None:
            arguments["imageScanningConfiguration"] = {"scanOnPush": options.scan_on_push}
        if options.encryption is not None:
            arguments["encryptionConfiguration"] = encryption(options.encryption)
        if options.tags:
            arguments["tags"] = [{"Key": key, "Value": value} for key, value in options.tags.items()]
        made = self.ask(
            f"create the repository {name}",
            "create_repository",
            arguments,
            absent=("RepositoryAlreadyExistsException",),
        )
        if made is None:
            return False  # somebody was quicker, and what is there is never changed
        if lifecycle is not None:
            self.require(
                f"give the new repository {name} its lifecycle policy",
                "put_lifecycle_policy",
                {**self._here, "repositoryName": name, "lifecyclePolicyText": lifecycle},
            )
        return True

    def find_image(self, name: str, digest: Digest) -> EcrImage | None:
        """Return what ECR says of an image, or None where there is none of this digest."""
        answer = self.ask(
            "look for the image",
            "describe_images",
            {**self._here, "repositoryName": name, "imageIds": [{"imageDigest": str(digest)}]},
            absent=("ImageNotFoundException", "RepositoryNotFoundException"),
        )
        details = (answer or {}).get("imageDetails") or ()
        if not details:
            return None
        found = details[0]
        return EcrImage(
            digest=Digest(found["imageDigest"]),
            tags=tuple(sorted(found.get("imageTags") or ())),
            media_type=found.get("imageManifestMediaType"),
            size_bytes=found.get("imageSizeInBytes"),
            pushed_at=found.get("imagePushedAt"),
            scan_status=(found.get("imageScanStatus") or {}).get("status"),
        )

    def mounts_blobs(self) -> bool:
        """Tell whether the account lets a blob be mounted from another of its repositories."""
        answer = self.require("read the account's settings", "get_account_setting", {"name": "BLOB_MOUNTING"})
        return str(answer.get("value")) == "ENABLED"

    def scan_pages(self, name: str, digest: Digest) -> Iterator[Mapping[str, Any]]:
        """Yield the pages of an image's scan; none where it was not scanned."""
        arguments = {**self._here, "repositoryName": name, "imageId": {"imageDigest": str(digest)}}
        while True:
            answer = self.ask(
                "read the scan's findings",
                "describe_image_scan_findings",
                arguments,
                absent=("ScanNotFoundException", "ImageNotFoundException", "RepositoryNotFoundException"),
            )
            if answer is None:
                return
            yield answer
            if not (token := answer.get("nextToken")):
                return
            arguments["nextToken"] = str(token)

    def ask(
        self, doing: str, operation: str, arguments: Mapping[str, Any], *, absent: tuple[str, ...] = ()
    ) -> Mapping[str, Any] | None:
        """Call an operation; return its answer, or None where AWS answers with a code in `absent`."""
        require("boto3", "aws", self.host)
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            answer: Mapping[str, Any] = getattr(self.session.client("ecr"), operation)(**arguments)
        except ClientError as error:
            if error.response["Error"]["Code"] in absent:
                return None
            raise refusal(error, self.session, doing) from error
        except (BotoCoreError, RuntimeError) as error:  # botocore's own: a session that is over on arrival
            raise refusal(error, self.session, doing) from error
        return answer

    def require(self, doing: str, operation: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """Call an operation and return its answer."""
        return self.ask(doing, operation, arguments) or {}

    @property
    def _here(self) -> dict[str, Any]:
        """What nearly every call begins with: whose registry is meant."""
        return {"registryId": self.address.account}

    @property
    def _origin(self) -> str:
        if self.session.token is not None:
            return f"{self.session.login.role}, by {self.session.token.origin}"
        return "the AWS credentials of this environment"


def by_our_clock(ends_at: object, answer: Mapping[str, Any]) -> datetime | None:
    """Return when a password ends, its life counted from when AWS says that it was made.

    AWS's clock and ours may differ.
    """
    date = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date", "")
    try:
        made_at = parsedate_to_datetime(date)
    except (TypeError, ValueError):
        made_at = datetime.now(UTC)
    return datetime.now(UTC) + (ends_at - made_at) if isinstance(ends_at, datetime) else None


def covers(prefix: str, name: str) -> bool:
    """Tell whether a template is of a repository: below the prefix, which ends at a slash in any case."""
    return prefix == ROOT_TEMPLATE or name.startswith(f"{prefix.rstrip('/')}/")


def encryption(choice: str) -> dict[str, str]:
    """Return a repository's encryption as the API takes it: a type, or KMS with the name of a key."""
    if choice in {"AES256", "KMS", "KMS_DSSE"}:
        return {"encryptionType": choice}
    return {"encryptionType": "KMS", "kmsKey": choice}


def _lifecycle(options: RegistryOptions) -> str | None:
    """Return the lifecycle policy's text.

    Raises:
        ConfigurationError: there is no such file, or it is no JSON.
    """
    if options.lifecycle is None:
        return None
    try:
        return json.dumps(json.loads(options.lifecycle.read_bytes()))
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"the lifecycle policy {options.lifecycle} cannot be read: {error}",
            advice="It is a JSON file as ECR's documentation describes it, relative to pipeline.yaml.",
        ) from error
