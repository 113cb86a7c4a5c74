"""The application layers as an image of their own: no scanner reads gigabytes of weights for nothing.

The view is an OCI image layout of small new files and hard links to the layers.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import StageFailed
from pipeline.model import Descriptor, Image, PlatformImage
from pipeline.reference import Digest
from stages.oci.layout import Layout, to_document, to_json


@dataclass(frozen=True, slots=True)
class View:
    """The application layers of one platform, as an OCI image layout with one manifest."""

    platform: str
    layout: Path
    manifest: Digest
    """Of the platform's image, weights and all."""
    sbom: Path | None = None
    """A list of what is in them, from an earlier scan; a scanner of packages may read it instead."""


def application_views(image: Image, folder: Path, prefix: str = "") -> tuple[View, ...]:
    """Write one view per platform below `folder` and return them; their folders' names begin with `prefix`.

    Raises:
        StageFailed: the image's layout is damaged.
    """
    layout = Layout.open(image.layout)
    return tuple(
        _view(layout, platform, folder / f"{prefix}{platform.platform.replace('/', '-')}")
        for platform in image.platforms
    )


def _view(layout: Layout, image: PlatformImage, path: Path) -> View:
    shutil.rmtree(path, ignore_errors=True)  # of an earlier attempt
    view = Layout.create(path)
    manifest = layout.read_json(image.manifest.digest)
    keep = [_is_application(image, layer) for layer in manifest["layers"]]
    config = to_json(_cut(layout.read_json(image.config.digest), keep))
    written = view.write(config, image.config.media_type)
    layers = [layer for layer, kept in zip(manifest["layers"], keep, strict=True) if kept]
    document = {**manifest, "config": to_document(written), "layers": layers}
    view.put_root(view.write(to_json(document), image.manifest.media_type))
    for layer in image.application_layers:
        _link(layout, view, layer)
    return View(image.platform, path, image.manifest.digest)


def _is_application(image: PlatformImage, layer: dict[str, Any]) -> bool:
    return any(layer["digest"] == known.digest for known in image.application_layers)


def _cut(config: dict[str, Any], keep: list[bool]) -> dict[str, Any]:
    """Return the configuration of an image that has only the layers to keep."""
    diff_ids = config["rootfs"]["diff_ids"]
    if len(diff_ids) != len(keep):
        raise StageFailed(
            f"the image has {len(keep)} layers, but its configuration names {len(diff_ids)}",
            advice="Run the build stage again.",
        )
    kept = [diff_id for diff_id, is_kept in zip(diff_ids, keep, strict=True) if is_kept]
    history = _cut_history(config.get("history") or [], keep)
    return {**config, "rootfs": {**config["rootfs"], "diff_ids": kept}, "history": history}


def _cut_history(history: list[dict[str, Any]], keep: list[bool]) -> list[dict[str, Any]]:
    """Return the history of the layers to keep; an entry may be of no layer, and there may be none at all."""
    with_layer = [entry for entry in history if not entry.get("empty_layer")]
    if len(with_layer) != len(keep):
        return []  # it is optional, and one that does not fit would be taken for damage
    dropped = {id(entry) for entry, kept in zip(with_layer, keep, strict=True) if not kept}
    return [entry for entry in history if id(entry) not in dropped]


def _link(layout: Layout, view: Layout, layer: Descriptor) -> None:
    source, target = layout.blob_path(layer.digest), view.blob_path(layer.digest)
    if not source.is_file() or source.stat().st_size != layer.size_bytes:
        raise StageFailed(
            f"layer {layer.digest} is missing or incomplete in {layout.path}",
            advice="Run the build stage again.",
        )
    if target.exists():
        return  # a layer may stand in a manifest twice
    try:
        target.hardlink_to(source.resolve())  # Trivy refuses a blob that is a symbolic link
    except OSError:  # another file system, or another user's file
        shutil.copyfile(source, target)
