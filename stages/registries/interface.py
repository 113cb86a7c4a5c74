"""What the push asks of a registry: where it answers, who lets us in, what it allows, what it holds."""

from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from pipeline.desk import Desk
from pipeline.errors import RemoteError
from pipeline.model import RegistryEvidence, RegistryScan
from pipeline.reference import Digest, Repository, Tag
from stages.oci.authentication import Credentials
from stages.oci.distribution import RepositoryClient
from stages.oci.endpoint import Endpoint
from stages.oci.image_content import ImageContent
from stages.oci.uploads import UploadStrategy


@dataclass(frozen=True, slots=True, kw_only=True)
class RepositoryState:
    """A repository before the push, for the plan; None is what the registry does not tell."""

    exists: bool | None = None
    created_on_push: bool = False
    """It is missing, and the push makes it."""
    made_apart: bool = False
    """Nothing can be sent there before it is made; elsewhere it comes with its first image."""
    advice: str = ""
    """What makes it, where it is missing and the push does not."""
    immutable_tags: bool | None = None
    """Of our tag, where only some are."""
    tag_digest: Digest | None = None
    """What the tag names now; None: it is free."""
    notes: tuple[str, ...] = ()


class Registry(Protocol):
    """One registry, whoever runs it.

    `stages/registries/distribution_api.py` answers `inspect` and `verify` for any of them; an adapter adds
    what its cloud's own API tells. All methods may raise PipelineError.
    """

    @property
    def endpoint(self) -> Endpoint:
        """Where it answers, and whether it may be spoken to without TLS."""
        ...

    @property
    def uploads(self) -> UploadStrategy:
        """How it takes the bytes of a blob."""
        ...

    @property
    def mounts(self) -> bool:
        """Tell whether it is worth asking to mount a blob from another repository; may ask the registry."""
        ...

    @property
    def largest_blob_bytes(self) -> int | None:
        """The largest blob that it takes, or None where nobody says; refused before anything is sent."""
        ...

    def credentials(self) -> Credentials | None:
        """Return who we are to it, or None for nobody; asked again when the registry refuses or they expire.

        Every call gives new ones where they are made by the cloud: the caller keeps them.

        Raises:
            PipelineError: they are there and cannot be read, or the cloud does not give any.
        """
        ...

    def inspect(self, client: RepositoryClient, tag: Tag | None) -> RepositoryState:
        """Return what is known of the client's repository before the push; changes nothing."""
        ...

    def prepare(self, repository: Repository, desk: Desk) -> None:
        """Make the repository ready for the push, and make it where it is missing and we are told to.

        Raises:
            RemoteError: it is missing; the advice is the command that makes it.
        """
        ...

    def verify(self, client: RepositoryClient, content: ImageContent, tag: Tag) -> RegistryEvidence:
        """Return what the registry holds after the push.

        Raises:
            RemoteError: it is not what was pushed.
        """
        ...

    def explain(self, error: RemoteError, repository: Repository) -> RemoteError:
        """Return the error of a request, in this registry's own terms where that helps."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class NoScan:
    """There are no findings to read in a registry, and why."""

    status: Literal["no image", "no scan", "unfinished"]
    note: str = ""


@runtime_checkable
class Scanning(Protocol):
    """A registry with a scanner of its own, whose findings can be read."""

    def find_scan(self, repository: Repository, digest: Digest) -> RegistryScan | NoScan:
        """Return what the scanner found in the manifest of this very digest.

        Raises:
            RemoteError: we may not ask, or there is no answer; nothing is known then.
            ToolMissing: the cloud's library is not installed.
        """
        ...
