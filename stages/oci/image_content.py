"""All that a built image consists of, in the order in which a registry takes it."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pydantic import ValidationError

from pipeline.errors import StageFailed
from pipeline.model import Descriptor, Image, ModelLayer
from pipeline.reference import Digest
from stages.models.file import FolderFiles
from stages.models.interface import Files
from stages.oci.blob_stream import Blob
from stages.oci.layout import CHUNK_BYTES, Layout, to_descriptor
from stages.oci.model_layer import stream


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest or index with its bytes as they are."""

    descriptor: Descriptor
    content: bytes


@dataclass(frozen=True, slots=True)
class ImageContent:
    """The blobs, each once; then the manifests, each after all that it names: the image itself comes last."""

    layout: Layout
    blobs: tuple[Blob, ...]
    manifests: tuple[Manifest, ...]

    @classmethod
    def of(cls, image: Image, files: Files | None = None) -> "ImageContent":
        """Read the image's manifests and find where its blobs come from: the layout or the model's files.

        Without `files`, the model is read from the folder that its layers name.

        Raises:
            StageFailed: something that a manifest names is nowhere, or is not what its digest says.
        """
        layout = Layout.open(image.layout)
        manifests = tuple({found.descriptor.digest: found for found in _manifests(layout, image)}.values())
        recipes = {layer.descriptor.digest: layer for layer in image.model_layers}
        named = {
            blob.digest: blob
            for manifest in manifests
            for blob in _named(layout, manifest.descriptor.digest, ("config", "layers"))
        }
        return cls(layout, tuple(_blob(layout, blob, recipes, files) for blob in named.values()), manifests)

    @property
    def image(self) -> Manifest:
        """The manifest or index that the image's digest names."""
        return self.manifests[-1]

    @property
    def children(self) -> tuple[Manifest, ...]:
        """The manifests below the index, if there is one."""
        return self.manifests[:-1]

    @property
    def size_bytes(self) -> int:
        """Bytes of all blobs."""
        return sum(blob.descriptor.size_bytes for blob in self.blobs)


def _manifests(layout: Layout, image: Image) -> Iterator[Manifest]:
    content = layout.read(image.digest)
    top = Descriptor(media_type=image.media_type, digest=image.digest, size_bytes=len(content))
    yield from _below(layout, top)


def _below(layout: Layout, descriptor: Descriptor) -> Iterator[Manifest]:
    for child in _named(layout, descriptor.digest, ("manifests",)):
        yield from _below(layout, child)
    yield Manifest(descriptor, layout.read(descriptor.digest))


def _named(layout: Layout, digest: Digest, keys: tuple[str, ...]) -> Iterator[Descriptor]:
    """Yield the descriptors under these keys of a manifest or index."""
    document = layout.read_json(digest)
    for key in keys:
        entries = document.get(key) or []
        for entry in entries if isinstance(entries, list) else [entries]:
            try:
                yield to_descriptor(entry)
            except ValidationError as error:
                raise StageFailed(
                    f"the manifest {digest} has an unreadable descriptor in {key!r}: {entry}",
                    advice="Run the build stage again.",
                ) from error


def _blob(
    layout: Layout, descriptor: Descriptor, recipes: dict[Digest, ModelLayer], files: Files | None
) -> Blob:
    recipe = recipes.get(descriptor.digest)
    if recipe is not None:
        source = files or FolderFiles(folder=Path(recipe.source))
        return Blob(descriptor=descriptor, read=partial(stream, recipe, source), name=_name(recipe))
    if not layout.has(descriptor.digest):
        raise StageFailed(
            f"{descriptor.digest} ({descriptor.media_type}) is missing in {layout.path}",
            advice="Run the build stage again.",
        )
    return Blob(descriptor=descriptor, read=partial(_read, layout, descriptor.digest))


def _name(recipe: ModelLayer) -> str:
    first, *others = recipe.files
    more = f" or one of {len(others)} small files packed with it" if others else ""
    return f"{recipe.source}: {first.path}{more}"


def _read(layout: Layout, digest: Digest, offset: int = 0) -> Iterator[bytes]:
    try:
        with layout.blob_path(digest).open("rb", buffering=0) as file:
            file.seek(offset)
            while chunk := file.read(CHUNK_BYTES):
                yield chunk
    except OSError as error:  # inside an upload it would pass for a broken connection
        raise StageFailed(
            f"cannot read {layout.blob_path(digest)}: {error.strerror}", advice="Run the build stage again."
        ) from error
