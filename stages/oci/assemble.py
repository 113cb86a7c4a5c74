"""Joins application layers and model layers into one image: new configurations and manifests, no new content.

Source: OCI image specification 1.1, config.md, manifest.md, image-index.md and annotations.md.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pipeline.errors import StageFailed
from pipeline.model import Descriptor, ModelLayer, PlatformImage
from pipeline.reference import Digest
from stages.oci.layer_compression import Packing, Taken, take_layer
from stages.oci.layout import INDEX_TYPE, Layout, to_descriptor, to_document, to_json
from stages.oci.overlap import refuse_overlap

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
ATTESTATION = "vnd.docker.reference.type"


@dataclass(frozen=True, slots=True, kw_only=True)
class Additions:
    """What the final image has beyond what BuildKit built."""

    model_layers: tuple[ModelLayer, ...] = ()
    labels: Mapping[str, str]
    """Labels of the configuration."""
    annotations: Mapping[str, str]
    """Annotations of the manifest, and of the index where there is one."""
    created: datetime
    packing: Packing | None = None
    """What the builder left to do for its layers; None where it did all."""


@dataclass(frozen=True, slots=True)
class Assembled:
    """The final image: its manifest, or the index of several platforms."""

    root: Descriptor
    platforms: tuple[PlatformImage, ...]


def assemble(
    built: Layout, target: Layout, additions: Additions, *, reference: str | None = None
) -> Assembled:
    """Write the final image into `target`, whose application layers are those of the layout that was built.

    Raises:
        StageFailed: the layout holds no image, or the model would overlap the application.
    """
    manifests = tuple(_manifests(built))
    if not manifests:
        raise StageFailed("BuildKit exported no image", advice="Run again; its log says what it did.")
    platforms = tuple(_platform_image(built, target, manifest, additions) for manifest in manifests)
    root = platforms[0].manifest if len(platforms) == 1 else _write_index(target, platforms, additions)
    target.put_root(root, reference)
    return Assembled(root, platforms)


def _manifests(built: Layout) -> Iterator[dict[str, Any]]:
    """Yield the manifest of every platform, in the order of the index; attestations are left behind."""
    pending = [root.descriptor for root in built.roots()]
    while pending:
        document = built.read_json(pending.pop(0).digest)
        if "manifests" in document:
            children = document["manifests"]
            pending[:0] = [
                to_descriptor(one) for one in children if ATTESTATION not in one.get("annotations", {})
            ]
        else:
            yield document


def _platform_image(
    built: Layout, target: Layout, manifest: dict[str, Any], additions: Additions
) -> PlatformImage:
    built_config = built.read_json(to_descriptor(manifest["config"]).digest)
    taken = _take_layers(built, target, manifest, built_config, additions.packing)
    layers = tuple(one.descriptor for one in taken)
    for path in sorted({layer.path for layer in additions.model_layers}):
        refuse_overlap(target, layers, path)
    document = _config(built_config, [one.diff_id for one in taken], additions)
    config = target.write(to_json(document), CONFIG_TYPE)
    written = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": to_document(config),
        "layers": [
            to_document(one) for one in (*layers, *(model.descriptor for model in additions.model_layers))
        ],
        "annotations": dict(additions.annotations),
    }
    return PlatformImage(
        platform=_platform(document),
        manifest=target.write(to_json(written), MANIFEST_TYPE),
        config=config,
        application_layers=layers,
        user=document.get("config", {}).get("User", ""),
    )


def _take_layers(
    built: Layout, target: Layout, manifest: dict[str, Any], config: dict[str, Any], packing: Packing | None
) -> tuple[Taken, ...]:
    diff_ids = [Digest(diff_id) for diff_id in config["rootfs"]["diff_ids"]]
    return tuple(
        take_layer(built, target, to_descriptor(layer), diff_id, packing)
        for layer, diff_id in zip(manifest["layers"], diff_ids, strict=True)
    )


def _config(document: dict[str, Any], built: Sequence[Digest], additions: Additions) -> dict[str, Any]:
    created = timestamp(additions.created)
    settings = document.get("config") or {}
    labels = {**(settings.get("Labels") or {}), **additions.labels}
    # when a step ran says only whether BuildKit remembered it; that must not change the digest
    earlier = [{**step, "created": created} for step in document.get("history") or ()]
    steps = [_step(layer, created) for layer in additions.model_layers]
    diff_ids = (*built, *(layer.descriptor.digest for layer in additions.model_layers))
    return {
        **document,
        "created": created,
        "config": {**settings, "Labels": labels},
        "history": [*earlier, *steps],
        "rootfs": {"type": "layers", "diff_ids": [str(one) for one in diff_ids]},
    }


def _step(layer: ModelLayer, created: str) -> dict[str, Any]:
    files = f"{len(layer.files)} file{'s' if len(layer.files) != 1 else ''}"
    return {"created": created, "created_by": f"COPY model {layer.path}", "comment": f"model layer: {files}"}


def _write_index(target: Layout, platforms: Sequence[PlatformImage], additions: Additions) -> Descriptor:
    children = [{**to_document(one.manifest), "platform": _parts(one.platform)} for one in platforms]
    index = {
        "schemaVersion": 2,
        "mediaType": INDEX_TYPE,
        "manifests": children,
        "annotations": dict(additions.annotations),
    }
    return target.write(to_json(index), INDEX_TYPE)


def _platform(config: Mapping[str, Any]) -> str:
    parts = (config["os"], config["architecture"], config.get("variant"))
    return "/".join(part for part in parts if part)


def _parts(platform: str) -> dict[str, str]:
    return dict(zip(("os", "architecture", "variant"), platform.split("/"), strict=False))


def timestamp(moment: datetime) -> str:
    """Return a moment as RFC 3339 in UTC, without fractions of a second."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
