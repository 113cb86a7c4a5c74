"""The deployed image in its registry: its manifests and its application layers.

The weights stay where they are: their layers say in the image's history what they are.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from pipeline.desk import Desk
from pipeline.errors import RemoteError
from pipeline.model import Descriptor, Image, PlatformImage
from pipeline.reference import Digest, Reference, Tag
from stages.full_disk import full_disk_named
from stages.oci.assemble import ATTESTATION, MODEL_LAYER
from stages.oci.distribution import RepositoryClient
from stages.oci.layout import Layout, to_descriptor

MOST_PULLED_BYTES = 4_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class DeployedPlatform:
    """One platform of the deployed image."""

    platform: str
    manifest: Descriptor
    content: bytes
    config: bytes

    @property
    def config_digest(self) -> Digest:
        """The digest of its configuration."""
        return Digest.of(self.config)

    @property
    def layers(self) -> tuple[Descriptor, ...]:
        """All layers."""
        return tuple(map(to_descriptor, json.loads(self.content)["layers"]))

    @property
    def application_layers(self) -> tuple[Descriptor, ...]:
        """The layers that are no weights; all of them where the history does not tell."""
        document = json.loads(self.config)
        steps = [step for step in document.get("history") or () if not step.get("empty_layer")]
        diff_ids = document["rootfs"]["diff_ids"]
        if not len(steps) == len(diff_ids) == len(self.layers):
            return self.layers
        told = zip(self.layers, diff_ids, steps, strict=True)
        return tuple(layer for layer, diff_id, step in told if not _is_model(layer, diff_id, step))


@dataclass(frozen=True, slots=True, kw_only=True)
class DeployedImage:
    """The image that a manifest names, in its registry."""

    reference: Reference
    root: Descriptor
    platforms: tuple[DeployedPlatform, ...]
    reader: RepositoryClient

    @property
    def size_bytes(self) -> int:
        """Bytes of all layers as they are pulled, of all platforms, each once."""
        layers = {layer.digest: layer for one in self.platforms for layer in one.layers}
        return sum(layer.size_bytes for layer in layers.values())

    def pull(self, one: DeployedPlatform, layout: Layout, near: Layout, desk: Desk) -> Image:
        """Return the platform with its application layers in a layout; what is `near` is not asked for.

        Raises:
            RemoteError: the registry does not answer, sends other bytes, or they are too many.
            DiskFull: there is no room for them.
        """
        layers = one.application_layers
        missing = [layer for layer in layers if not near.has(layer.digest) and not layout.has(layer.digest)]
        size_bytes = sum(layer.size_bytes for layer in missing)
        if size_bytes > MOST_PULLED_BYTES:
            raise RemoteError(
                f"{self.reference} has {size_bytes / 1e9:.1f} GB of layers, too many to pull for a comparison"
            )
        if missing:
            desk.say(f"pulling {size_bytes / 1e6:.1f} MB of the deployed image's application layers")
        with full_disk_named("there is no room left for the deployed image", f"Free some of {layout.path}."):
            for layer in layers:
                if near.has(layer.digest):
                    layout.take(near, layer.digest)
                else:
                    self._fetch(layer, layout, desk)
            layout.write(one.content, one.manifest.media_type)
            config = layout.write(one.config, to_descriptor(json.loads(one.content)["config"]).media_type)
        platform = PlatformImage(
            platform=one.platform, manifest=one.manifest, config=config, application_layers=layers
        )
        return Image(
            name=self.reference.name,
            tag=self.reference.tag or Tag("deployed"),
            digest=one.manifest.digest,
            media_type=one.manifest.media_type,
            layout=layout.path,
            platforms=(platform,),
        )

    def _fetch(self, layer: Descriptor, layout: Layout, desk: Desk) -> None:
        if layout.has(layer.digest):
            return
        written = self.reader.retries.run(
            lambda: layout.write(self.reader.stream_blob(layer.digest), layer.media_type),
            self.reader.transport.stopped,
            desk.say,
        )
        if written.digest != layer.digest:
            layout.blob_path(written.digest).unlink()
            raise RemoteError(f"{self.reference.repository} sent other bytes for {layer.digest}")


def read(reader: RepositoryClient, reference: Reference) -> DeployedImage:
    """Return what a manifest names, from its registry.

    Raises:
        RemoteError: it is not there, is no image, or the registry does not answer.
    """
    assert reference.digest is not None  # noqa: S101 - what has none is refused before
    found = reader.read_manifest(reference.digest)
    if found is None:
        raise RemoteError(f"{reference} is deployed, but its registry does not have it any more")
    try:
        platforms = tuple(_platforms(reader, *found))
    except (ValueError, KeyError, TypeError, AttributeError, ValidationError) as error:
        raise RemoteError(f"{reference} is no image that can be read") from error
    return DeployedImage(reference=reference, root=found[0], platforms=platforms, reader=reader)


def _platforms(reader: RepositoryClient, found: Descriptor, content: bytes) -> Iterator[DeployedPlatform]:
    document: dict[str, Any] = json.loads(content)
    if "manifests" not in document:
        config = reader.read_blob(to_descriptor(document["config"]).digest)
        yield DeployedPlatform(
            platform=_platform(json.loads(config)), manifest=found, content=content, config=config
        )
        return
    for child in document["manifests"]:
        if ATTESTATION in (child.get("annotations") or {}):
            continue
        inner = reader.read_manifest(to_descriptor(child).digest)
        if inner is None:
            raise RemoteError(
                f"{reader.repository} lacks {child['digest']}, a platform of the deployed image"
            )
        yield from _platforms(reader, *inner)


def _platform(config: Mapping[str, Any]) -> str:
    return "/".join(str(config[key]) for key in ("os", "architecture", "variant") if config.get(key))


def _is_model(layer: Descriptor, diff_id: str, step: Mapping[str, Any]) -> bool:
    """Tell whether a layer is one of weights: its step says so, and it is a plain tar, as those all are."""
    return str(step.get("comment") or "").startswith(MODEL_LAYER) and layer.digest == Digest(diff_id)
