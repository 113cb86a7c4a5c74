"""The image for the weights alone: what is in it, and what its digest depends on."""

import gzip
import io
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.errors import StageFailed
from pipeline.model import BaseImage, ModelImage, ModelLayer
from pipeline.reference import Digest
from stages.oci.assemble import CONFIG_TYPE, MANIFEST_TYPE
from stages.oci.image_content import ImageContent
from stages.oci.layout import INDEX_TYPE, Layout, to_document, to_json
from stages.oci.model_image import WEIGHTS_FOLDER, Base, OwnImage, assemble_model_image, scratch
from stages.oci.model_tar import LAYER_TYPE
from stages.oci.store import is_whole
from tests.support.small_image import make_image
from tests.support.weights import describe_all

OWN = OwnImage(name="team/digits-model", mounted_at="/mnt/models")
PINNED = f"example.com/base/busybox:1@{Digest.of(b'busybox')}"


def weights(folder: Path, content: bytes = b"weights") -> tuple[ModelLayer, ...]:
    (folder / "model").mkdir(exist_ok=True)
    (folder / "model" / "weights.bin").write_bytes(content)
    return describe_all(folder / "model", WEIGHTS_FOLDER)


def make(
    folder: Path,
    name: str,
    layers: tuple[ModelLayer, ...],
    *,
    own: OwnImage = OWN,
    platforms: tuple[str, ...] = ("linux/amd64",),
) -> ModelImage:
    base = scratch(Layout.create(folder / f"{name}-scratch"), platforms)
    return assemble_model_image(own, layers, base, Layout.create(folder / name))


def base_with(folder: Path, path: str, name: str = PINNED) -> Base:
    """Return a base image of one layer with one file, as BuildKit brings it out."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo(path))
    layout = Layout.create(folder / "base")
    layer = layout.write(gzip.compress(buffer.getvalue(), mtime=0), f"{LAYER_TYPE}+gzip")
    document = {
        "os": "linux",
        "architecture": "amd64",
        "created": "2026-11-22T10:00:00Z",
        "config": {"Env": ["PATH=/bin"]},
        "history": [{"created": "2026-11-22T10:00:00Z", "created_by": "ADD base"}],
        "rootfs": {"type": "layers", "diff_ids": [str(Digest.of(buffer.getvalue()))]},
    }
    config = to_document(layout.write(to_json(document), CONFIG_TYPE))
    manifest = {"schemaVersion": 2, "config": config, "layers": [to_document(layer)]}
    layout.put_root(layout.write(to_json(manifest), MANIFEST_TYPE))
    return Base(layout, BaseImage(name=name, digest=Digest.of(b"busybox")))


def test_without_a_base_it_holds_the_weights_and_nothing_else(tmp_path: Path) -> None:
    layers = weights(tmp_path)
    image = make(tmp_path, "image", layers)
    layout = Layout.open(image.layout)
    manifest = layout.read_json(image.digest)
    config = layout.read_json(Digest(manifest["config"]["digest"]))
    assert [layer["digest"] for layer in manifest["layers"]] == [layer.descriptor.digest for layer in layers]
    assert config["rootfs"]["diff_ids"] == [layer.descriptor.digest for layer in layers]
    assert (config["os"], config["architecture"]) == ("linux", "amd64")
    assert manifest["annotations"] == {"org.opencontainers.image.title": "team/digits-model"}
    assert (image.base, image.application_size_bytes) == (None, 0)
    assert image.tag == image.digest.short
    assert [root.reference for root in layout.roots()] == [image.tag]
    assert is_whole(image)
    assert {blob.descriptor.digest for blob in ImageContent.of(image).blobs} >= {
        layer.descriptor.digest for layer in layers
    }


def test_its_digest_depends_on_the_weights_and_not_on_where_they_lie(tmp_path: Path) -> None:
    for name in ("here", "there", "other"):
        (tmp_path / name).mkdir()
    first = make(tmp_path, "first", weights(tmp_path / "here"))
    again = make(tmp_path, "again", weights(tmp_path / "there"))
    other = make(tmp_path, "other", weights(tmp_path / "other", b"better"))
    elsewhere = make(tmp_path, "mounted", first.model_layers, own=replace(OWN, mounted_at="/opt/weights"))
    assert first.digest == again.digest == elsewhere.digest
    assert other.digest != first.digest
    assert other.tag != first.tag


def test_the_application_finds_the_weights_where_they_are_mounted(tmp_path: Path) -> None:
    """The layers keep their own folder: where a file begins in one depends on it."""
    application = make_image(tmp_path / "application", {"app.py": b"1"})
    own = make(tmp_path, "image", weights(tmp_path))
    both = application.model_copy(update={"model_image": own})
    assert both.weights == own.model_layers
    assert {layer.path for layer in both.weights} == {"/models"}
    assert {layer.path for layer in both.as_mounted(both.weights)} == {"/mnt/models"}
    together = application.model_copy(update={"model_layers": own.model_layers})
    assert together.as_mounted(together.weights) == together.model_layers


def test_several_platforms_share_the_layers_under_one_index(tmp_path: Path) -> None:
    platforms = ("linux/amd64", "linux/arm/v7")
    image = make(tmp_path, "image", weights(tmp_path), platforms=platforms)
    layout = Layout.open(image.layout)
    index = layout.read_json(image.digest)
    children = [layout.read_json(Digest(child["digest"])) for child in index["manifests"]]
    assert image.media_type == INDEX_TYPE
    assert tuple(one.platform for one in image.platforms) == platforms
    assert index["manifests"][1]["platform"] == {"os": "linux", "architecture": "arm", "variant": "v7"}
    assert children[0]["layers"] == children[1]["layers"]
    assert children[0]["config"] != children[1]["config"]


def test_a_base_comes_first_and_is_named_as_it_was_asked_for(tmp_path: Path) -> None:
    own, base = replace(OWN, base=PINNED), base_with(tmp_path, "bin/sh")
    image = assemble_model_image(own, weights(tmp_path), base, Layout.create(tmp_path / "image"))
    layout = Layout.open(image.layout)
    (platform,) = image.platforms
    config = layout.read_json(platform.config.digest)
    assert image.base == base.image
    assert len(platform.application_layers) == 1
    assert config["config"]["Env"] == ["PATH=/bin"]
    assert config["created"] == "1970-01-01T00:00:00Z"
    assert {step["created"] for step in config["history"]} == {config["created"]}
    assert image.annotations == {
        "org.opencontainers.image.title": "team/digits-model",
        "org.opencontainers.image.base.name": "example.com/base/busybox:1",
        "org.opencontainers.image.base.digest": str(Digest.of(b"busybox")),
    }


def test_what_a_tag_of_the_base_meant_is_not_in_the_image(tmp_path: Path) -> None:
    """One engine may know it by the digest of an index, another by that of a manifest."""
    base = base_with(tmp_path, "bin/sh", "busybox")
    own, layers = replace(OWN, base="busybox"), weights(tmp_path)
    one = assemble_model_image(own, layers, base, Layout.create(tmp_path / "one"))
    unknown = replace(base, image=BaseImage(name="busybox"))
    two = assemble_model_image(own, layers, unknown, Layout.create(tmp_path / "two"))
    assert one.digest == two.digest
    assert one.annotations["org.opencontainers.image.base.name"] == "docker.io/library/busybox:latest"


def test_a_base_that_has_something_where_the_weights_go_is_refused(tmp_path: Path) -> None:
    own, base = replace(OWN, base="busybox"), base_with(tmp_path, "models/other.bin", "busybox")
    with pytest.raises(StageFailed, match=r"`model.base`: busybox cannot hold the weights") as caught:
        assemble_model_image(own, weights(tmp_path), base, Layout.create(tmp_path / "image"))
    assert "Choose a base without anything in /models" in caught.value.advice
