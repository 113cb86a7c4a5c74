"""Small images with a model layer, made without an engine, for tests of what happens to a built image."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from pipeline.model import BuiltImage, Descriptor, ModelLayer, PlatformImage, Tool
from pipeline.reference import Digest, Tag
from stages.oci.assemble import MODEL_LAYER
from stages.oci.layout import INDEX_TYPE, Layout, to_document, to_json
from stages.oci.model_tar import LAYER_TYPE
from tests.support.weights import describe_all

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
CREATED = datetime(2026, 1, 1, tzinfo=UTC)
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def make_image(  # noqa: PLR0913 - each of them is plain at the call
    folder: Path,
    files: Mapping[str, bytes],
    *,
    model: Path | None = None,
    model_layers: tuple[ModelLayer, ...] = (),
    tag: str = COMMIT,
    platforms: tuple[str, ...] = ("linux/amd64",),
) -> BuiltImage:
    """Make an image of these files and a model (a folder or layers); an index of several platforms."""
    layout = Layout.create(folder)
    layers = describe_all(model, "/models/small") if model is not None else model_layers
    images = tuple(_platform_image(layout, platform, files, layers) for platform in platforms)
    top = images[0].manifest if len(images) == 1 else _index(layout, images)
    layout.put_root(top, tag)
    return BuiltImage(
        name="small",
        tag=Tag(tag),
        digest=top.digest,
        media_type=top.media_type,
        layout=folder,
        platforms=images,
        model_layers=layers,
        revision=COMMIT,
        dirty=tag.endswith("-dirty"),
        created=CREATED,
        builder=Tool(name="test", version="1"),
    )


def _platform_image(
    layout: Layout, platform: str, files: Mapping[str, bytes], model_layers: tuple[ModelLayer, ...]
) -> PlatformImage:
    content = _tar({**files, "platform": platform.encode()})
    layer = layout.write(content, LAYER_TYPE)
    layers = (layer, *(each.descriptor for each in model_layers))
    config = layout.write(to_json(_config(platform, layers)), CONFIG_TYPE)
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": to_document(config),
        "layers": [to_document(each) for each in layers],
    }
    return PlatformImage(
        platform=platform,
        manifest=layout.write(to_json(manifest), MANIFEST_TYPE),
        config=config,
        application_layers=(layer,),
    )


def _config(platform: str, layers: tuple[Descriptor, ...]) -> dict[str, object]:
    system, architecture = platform.split("/")
    diff_ids: list[Digest] = [layer.digest for layer in layers]  # nothing is compressed
    return {
        "os": system,
        "architecture": architecture,
        "created": CREATED.isoformat(),
        "config": {"Cmd": ["/nothing"]},
        "history": [{"created_by": "COPY"}, *({"comment": f"{MODEL_LAYER}files"} for _ in layers[1:])],
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    }


def _index(layout: Layout, images: tuple[PlatformImage, ...]) -> Descriptor:
    children = [{**to_document(image.manifest), "platform": _parts(image.platform)} for image in images]
    return layout.write(
        to_json({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": children}), INDEX_TYPE
    )


def _parts(platform: str) -> dict[str, str]:
    system, architecture = platform.split("/")
    return {"os": system, "architecture": architecture}


def _tar(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in sorted(files.items()):
            header = tarfile.TarInfo(name)
            header.size = len(content)
            archive.addfile(header, io.BytesIO(content))
    return buffer.getvalue()
