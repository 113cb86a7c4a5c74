"""One OCI image, its platforms, and the layers that hold the weights."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from pydantic import Field

from pipeline.model.base import Artifact, Tool, Value
from pipeline.reference import Digest, Tag


class Descriptor(Value):
    """Bytes that a manifest points to (OCI image specification 1.1, descriptor.md)."""

    media_type: str
    digest: Digest
    size_bytes: int = Field(ge=0)


class ModelFile(Value):
    """One file of the model: where it lies below the model folder, and what is in it."""

    path: str = Field(description="relative, with forward slashes")
    size_bytes: int = Field(ge=0)
    digest: Digest
    identity: str = Field(
        default="", description="what a remote source calls this content, such as an object's version"
    )


class ModelLayer(Value):
    """A layer of weights described by its recipe: an uncompressed tar of these files, streamed when needed.

    Its digest is its diff id.
    """

    descriptor: Descriptor
    source: str = Field(description="absolute folder or URL that the files are read from")
    path: str = Field(description="folder in the image")
    files: tuple[ModelFile, ...]


class PlatformImage(Value):
    """The image for one platform: its manifest and configuration as they will be pushed."""

    platform: str = Field(description="os/architecture[/variant]")
    manifest: Descriptor
    config: Descriptor
    application_layers: tuple[Descriptor, ...]
    user: str = Field(default="", description="the user that the image runs as; empty is root")
    ports: tuple[str, ...] = Field(default=(), description="that it says it listens on, such as 8080/tcp")
    healthcheck: bool = Field(default=False, description="whether it says how its health is checked")
    labels: dict[str, str] = Field(default={})
    base_created: datetime | None = Field(
        default=None, description="when the newest layer of the base image was made; None where nobody knows"
    )


class BaseImage(Value):
    """The image that the Dockerfile's last stage starts from."""

    name: str
    digest: Digest | None = None


class BuildSteps(Value):
    """What became of the steps of a build: the instructions of the Dockerfile, FROM aside."""

    steps: int = Field(ge=0)
    cached: int = Field(ge=0, description="not run: BuildKit remembered their results, here or in the cache")
    cache_read: tuple[str, ...] = Field(default=(), description="caches outside of the builder")
    cache_written: str | None = None
    notes: tuple[str, ...] = Field(default=(), description="why such a cache was not read or written")


class Image(Value):
    """An image as it will be pushed: application layers and model layers under one digest.

    `layout` is an OCI image layout that holds the index, manifests, configurations and application layers;
    the blobs of the model layers are not in it, they are streamed from the model's files.
    """

    name: str
    tag: Tag
    digest: Digest = Field(description="of the manifest, or of the index of several platforms")
    media_type: str
    layout: Path
    platforms: tuple[PlatformImage, ...] = Field(min_length=1)
    model_layers: tuple[ModelLayer, ...] = ()
    annotations: dict[str, str] = Field(default={})
    base: BaseImage | None = None

    @property
    def application_size_bytes(self) -> int:
        """Bytes of the application layers as they are pushed, of all platforms, each blob once."""
        layers = {layer.digest: layer for image in self.platforms for layer in image.application_layers}
        return sum(layer.size_bytes for layer in layers.values())

    @property
    def model_size_bytes(self) -> int:
        """Bytes of the model layers."""
        return sum(layer.descriptor.size_bytes for layer in self.model_layers)

    @property
    def size_bytes(self) -> int:
        """Bytes of all layers as they are pushed."""
        return self.application_size_bytes + self.model_size_bytes


class ModelImage(Image):
    """The weights as an image of their own, mounted beside the application.

    Its digest depends on the weights, the base image and the platforms alone; its tag is the beginning of its
    digest. Its application layers are those of the base image; without a base there are none.
    """

    mounted_at: str = Field(description="folder in which the application finds the weights")


class BuiltImage(Artifact, Image):
    """The application image, and beside it the weights' own where there is one; nothing changes them later.

    The layout holds both.
    """

    revision: str
    dirty: bool
    created: datetime
    builder: Tool
    steps: BuildSteps | None = None
    model_image: ModelImage | None = None

    @property
    def weights(self) -> tuple[ModelLayer, ...]:
        """The layers of the weights, in whichever image they are."""
        return self.model_layers if self.model_image is None else self.model_image.model_layers

    def as_mounted(self, layers: Sequence[ModelLayer]) -> tuple[ModelLayer, ...]:
        """Return layers of the weights with the folder in which the application finds their files."""
        if self.model_image is None:
            return tuple(layers)
        place = {"path": self.model_image.mounted_at}
        return tuple(layer.model_copy(update=place) for layer in layers)
