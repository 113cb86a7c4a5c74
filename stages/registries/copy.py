"""An image from one registry into others: the same manifests byte for byte, the blobs streamed through."""

import contextlib
import json
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from pipeline.desk import Desk
from pipeline.errors import PipelineError, RemoteError
from pipeline.model import Descriptor, ImageTag, PushedReference
from pipeline.reference import Digest, Repository, Tag
from stages.oci.blob_stream import Blob
from stages.oci.distribution import RepositoryClient
from stages.oci.image_content import ImageContent, Manifest
from stages.oci.layout import Layout, to_descriptor
from stages.registries.connections import Registries, client, connect
from stages.registries.delivery import Delivery, deliver


def copy(  # noqa: PLR0913 - each is plain at the call
    digest: Digest,
    tag: Tag,
    source: Repository,
    targets: Sequence[Repository],
    *,
    registries: Registries,
    desk: Desk,
) -> tuple[PushedReference, ...]:
    """See to it that every target holds the image under the tag, and return where it is now.

    Raises:
        PipelineError: a registry refuses, cannot be reached, or has another digest under the tag.
    """
    registry = registries.of(source)
    with contextlib.closing(connect(registry, desk)) as transport:
        content = _content(client(source, registry, transport, desk), digest, desk)
        wanted = (ImageTag(tag=tag),)
        deliveries = [
            Delivery(repository=target, content=content, tags=wanted, mount_from=(source,))
            for target in targets
        ]
        outcomes = deliver(deliveries, registries, desk)
    for outcome in outcomes:
        if isinstance(outcome, PipelineError):
            raise outcome
    return tuple(outcome for outcome in outcomes if isinstance(outcome, PushedReference))


def _content(reader: RepositoryClient, digest: Digest, desk: Desk) -> ImageContent:
    manifests = tuple(_manifests(reader, digest))
    blobs = {blob.digest: blob for each in manifests for blob in _blobs(each)}
    return ImageContent(
        Layout.create(desk.folder / "copy"),
        tuple(
            Blob(descriptor=blob, read=partial(reader.stream_blob, blob.digest)) for blob in blobs.values()
        ),
        manifests,
    )


def _manifests(reader: RepositoryClient, digest: Digest) -> Iterator[Manifest]:
    """Yield what is below an index, then the manifest or index itself."""
    found = reader.read_manifest(digest)
    if found is None:
        raise RemoteError(
            f"{reader.repository}@{digest} is not there, so it cannot be copied",
            advice="It was deleted: deliver its commit again.",
        )
    for child in _named(found[1], "manifests"):
        yield from _manifests(reader, child.digest)
    yield Manifest(*found)


def _blobs(manifest: Manifest) -> tuple[Descriptor, ...]:
    return (*_named(manifest.content, "config"), *_named(manifest.content, "layers"))


def _named(content: bytes, key: str) -> tuple[Descriptor, ...]:
    document: dict[str, Any] = json.loads(content)
    entries = document.get(key) or []
    return tuple(map(to_descriptor, entries if isinstance(entries, list) else [entries]))
