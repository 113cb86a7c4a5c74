"""Where the image can be pulled from now."""

from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import Field

from pipeline.model.base import Artifact, Value
from pipeline.model.scan import RegistryScan
from pipeline.reference import Digest, Repository, Tag


class PushedBlob(Value):
    """What became of one blob at the registry."""

    digest: Digest
    size_bytes: int
    how: Literal["exists", "mounted", "uploaded"]
    sent_bytes: int = Field(
        default=0, ge=0, description="over the network, what had to be sent again counted again"
    )


class RegistryEvidence(Value):
    """What the registry holds after the push, asked by digest."""

    asked: str = Field(description="who answered, such as `Amazon ECR: DescribeImages`")
    manifests_compared: int = Field(ge=0, description="fetched by digest, and the same byte for byte")
    blobs_found: int = Field(ge=0)
    tags: tuple[str, ...] | None = Field(default=None, description="None where the registry does not tell")
    media_type: str | None = None
    size_bytes: int | None = Field(default=None, description="as the registry counts it")
    pushed_at: datetime | None = None
    scan: RegistryScan | None = Field(default=None, description="None where no scan of its own is finished")
    notes: tuple[str, ...] = Field(default=(), description="what else it says, or why it could not be asked")


class ImageTag(Value):
    """A tag that an image shall get; one that moves names another image after the next delivery."""

    tag: Tag
    moves: bool = False

    def __str__(self) -> str:
        return f"{self.tag} (moves)" if self.moves else self.tag


class PushedReference(Value):
    """The image in one repository, as the registry answered."""

    repository: Repository
    tag: Tag
    tags: tuple[Tag, ...] = Field(default=(), description="what else names the image there now")
    digest: Digest
    tag_existed: bool = Field(description="the tag was there before, with this digest")
    blobs: tuple[PushedBlob, ...] = ()
    duration_s: float
    evidence: RegistryEvidence | None = None

    @property
    def bytes_sent(self) -> int:
        """Bytes of blobs that went over the network."""
        return sum(blob.sent_bytes for blob in self.blobs)

    @property
    def bytes_mounted(self) -> int:
        """Bytes of blobs that the registry took from another of its repositories."""
        return sum(blob.size_bytes for blob in self.blobs if blob.how == "mounted")

    @property
    def bytes_saved(self) -> int:
        """Bytes of blobs that the registry had already, here or in another repository."""
        return sum(blob.size_bytes for blob in self.blobs if blob.how != "uploaded")

    def __str__(self) -> str:
        return f"{self.repository}:{self.tag}@{self.digest}"


class FailedPush(Value):
    """A repository that did not get the image, and why; whether it got parts of it, nobody knows."""

    repository: Repository
    tag: Tag
    kind: str = Field(description="the error's name")
    message: str
    advice: str = ""
    exit_code: int


class Pushed(Value):
    """A digest, everywhere it can now be pulled from, and where it could not be brought."""

    name: str
    tag: Tag
    digest: Digest
    references: tuple[PushedReference, ...] = ()
    failures: tuple[FailedPush, ...] = ()
    layout: Path | None = Field(
        default=None, description="OCI image layout folder, where no registry is configured"
    )


class PushedImage(Artifact, Pushed):
    """The application image where it can be pulled from, and the weights' own where there is one."""

    model_image: Pushed | None = None
