"""A built image on its way to another machine: all of it but the weights, and compared when it arrives."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from pipeline.errors import StageFailed
from pipeline.model import BuiltImage, Image
from pipeline.reference import Digest
from stages.oci import store
from stages.oci.image_content import ImageContent
from stages.oci.layout import Layout

_AGAIN = "Run the build stage again."


def copy(image: BuiltImage, folder: Path) -> None:
    """Put the image, and the weights' own if there is one, into a new layout; their weights stay behind.

    Raises:
        StageFailed: something of it is missing.
    """
    source, target = Layout.open(image.layout), Layout.create(folder)
    for each in _images(image):
        content = ImageContent.of(each)
        for digest in _carried(each, content):
            if source.blob_path(digest).is_symlink():
                raise StageFailed(f"{source.blob_path(digest)} is a link, no blob", advice=_AGAIN)
            target.take(source, digest)
        target.put_root(content.image.descriptor, each.tag)


def take_in(image: BuiltImage, folder: Path, images: store.ImageStore) -> BuiltImage:
    """Return the image in this machine's store, once every blob of it is found to fit its digest.

    Raises:
        StageFailed: a blob is missing or changed, or the record tells of other layers than the manifests.
    """
    with images.workplace() as work:
        copy(_at(image, folder), work / "image")
        arrived = _at(image, work / "image")
        examine(arrived)
        own = image.model_image.digest if image.model_image is not None else None
        return _at(image, images.keep(arrived.layout, store.common_name(image.digest, own)))


def examine(image: BuiltImage) -> None:
    """Hash every blob in the image's layout again, and compare the manifests with what the record says.

    Raises:
        StageFailed: a blob is missing or changed, or the record tells of other layers than the manifests.
    """
    layout = Layout.open(image.layout)
    for each in _images(image):
        content = ImageContent.of(each)
        for digest in _carried(each, content):
            _require_unchanged(layout, digest)
        _require_same_layers(each, content)


def _images(image: BuiltImage) -> Iterator[Image]:
    yield image
    if image.model_image is not None:
        yield image.model_image


def _at(image: BuiltImage, layout: Path) -> BuiltImage:
    own = image.model_image
    moved = own.model_copy(update={"layout": layout}) if own is not None else None
    return image.model_copy(update={"layout": layout, "model_image": moved})


def _carried(image: Image, content: ImageContent) -> Iterator[Digest]:
    """Yield the digests of all that lies in the layout."""
    weights = {layer.descriptor.digest for layer in image.model_layers}
    yield from (each.descriptor.digest for each in content.manifests)
    yield from (each.descriptor.digest for each in content.blobs if each.descriptor.digest not in weights)


def _require_unchanged(layout: Layout, digest: Digest) -> None:
    path = layout.blob_path(digest)
    try:
        with path.open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise StageFailed(f"{digest} is missing in {layout.path}: {error.strerror}", advice=_AGAIN) from error
    if found != digest.encoded:
        raise StageFailed(f"{path} was changed: its content does not fit its digest", advice=_AGAIN)


def _require_same_layers(image: Image, content: ImageContent) -> None:
    """Refuse a record that would have other layers scanned than those that are pushed."""
    said = {layer.descriptor.digest for layer in image.model_layers}
    for platform in image.platforms:
        said |= {platform.config.digest, *(layer.digest for layer in platform.application_layers)}
    named = {blob.descriptor.digest for blob in content.blobs}
    manifests = {manifest.descriptor.digest for manifest in content.manifests}
    if said != named or not {platform.manifest.digest for platform in image.platforms} <= manifests:
        raise StageFailed(
            f"the record tells of other layers than the manifests of {image.digest}", advice=_AGAIN
        )
