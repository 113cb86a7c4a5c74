import gzip
import hashlib
import io
import json
import tarfile
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import zstandard

from pipeline.errors import StageFailed
from pipeline.model import Descriptor, ModelLayer
from stages.oci.assemble import MANIFEST_TYPE, Additions, assemble
from stages.oci.layer_compression import Compression, Kind, Packing
from stages.oci.layout import INDEX_TYPE, Layout, to_document, to_json
from stages.oci.model_tar import LAYER_TYPE
from tests.support.weights import describe

CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
COMMITTED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
LATER = "2026-11-22T10:00:00.123456789Z"


def tar(*names: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in names:
            archive.addfile(tarfile.TarInfo(name))
    return buffer.getvalue()


def add_image(
    layout: Layout, *layers: tuple[bytes, str], architecture: str = "amd64", variant: str | None = None
) -> Descriptor:
    """Write an image as a builder would; return its manifest."""
    diff_ids = [
        hashlib.sha256(gzip.decompress(content) if kind.endswith("gzip") else content).hexdigest()
        for content, kind in layers
    ]
    config = {
        "architecture": architecture,
        "os": "linux",
        **({"variant": variant} if variant else {}),
        "config": {"User": "1000", "Env": ["A=b"], "Labels": {"team": "vision"}},
        "created": LATER,
        "history": [{"created": LATER, "created_by": "COPY"} for _ in layers],
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{one}" for one in diff_ids]},
        "vendor.extension": 1,
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": to_document(layout.write(to_json(config), CONFIG_TYPE)),
        "layers": [to_document(layout.write(content, kind)) for content, kind in layers],
    }
    return layout.write(to_json(manifest), MANIFEST_TYPE)


@pytest.fixture
def built(tmp_path: Path) -> Layout:
    return Layout.create(tmp_path / "built")


@pytest.fixture
def target(tmp_path: Path) -> Layout:
    return Layout.create(tmp_path / "target")


@pytest.fixture
def weights(tmp_path: Path) -> ModelLayer:
    (tmp_path / "model").mkdir()
    (tmp_path / "model/weights.bin").write_bytes(b"weights")
    return describe(tmp_path / "model", "/models/digits")


def additions(*layers: ModelLayer) -> Additions:
    said = {"org.opencontainers.image.title": "digits"}
    return Additions(
        model_layers=layers, labels={**said, "team": "speech"}, annotations=said, created=COMMITTED
    )


GZIPPED = (gzip.compress(tar("app.py"), mtime=0), f"{LAYER_TYPE}+gzip")


def test_one_platform_is_a_manifest_of_all_layers(built: Layout, target: Layout, weights: ModelLayer) -> None:
    built.put_root(add_image(built, GZIPPED))
    assembled = assemble(built, target, additions(weights), reference="v1")
    (image,) = assembled.platforms
    manifest = target.read_json(assembled.root.digest)
    assert assembled.root == image.manifest
    assert manifest["mediaType"] == MANIFEST_TYPE
    assert manifest["layers"] == [
        to_document(layer) for layer in (*image.application_layers, weights.descriptor)
    ]
    assert manifest["annotations"] == {"org.opencontainers.image.title": "digits"}
    assert [(root.reference, root.descriptor) for root in target.roots()] == [("v1", assembled.root)]
    assert image.platform == "linux/amd64"
    assert image.user == "1000"


def test_the_configuration_knows_the_model_layers(built: Layout, target: Layout, weights: ModelLayer) -> None:
    built.put_root(add_image(built, GZIPPED))
    (image,) = assemble(built, target, additions(weights)).platforms
    config = target.read_json(image.config.digest)
    assert config["rootfs"]["diff_ids"][-1] == weights.descriptor.digest
    assert len(config["rootfs"]["diff_ids"]) == len(config["history"]) == 2
    assert config["config"]["Labels"] == {"team": "speech", "org.opencontainers.image.title": "digits"}
    assert config["config"]["Env"] == ["A=b"]
    assert config["vendor.extension"] == 1
    assert "/models/digits" in config["history"][-1]["created_by"]
    times = {config["created"], *(step["created"] for step in config["history"])}
    assert times == {"2026-01-02T03:04:05Z"}


def test_the_model_layer_itself_is_not_written(built: Layout, target: Layout, weights: ModelLayer) -> None:
    built.put_root(add_image(built, GZIPPED))
    assembled = assemble(built, target, additions(weights))
    (image,) = assembled.platforms
    blobs = {path.name for path in (target.path / "blobs/sha256").iterdir()}
    mine = (image.manifest, image.config, *image.application_layers)
    assert blobs == {blob.digest.encoded for blob in mine}


@pytest.mark.parametrize("kind", ["gzip", "zstd", "uncompressed"])
def test_layers_that_are_left_to_us_are_packed_always_alike(
    built: Layout, target: Layout, tmp_path: Path, kind: Kind
) -> None:
    content = tar("app.py", "model.py")
    built.put_root(add_image(built, (content, LAYER_TYPE)))
    packing = Packing(compression=Compression(kind), newest_s=None)
    (image,) = assemble(built, target, replace(additions(), packing=packing)).platforms
    (again,) = assemble(
        built, Layout.create(tmp_path / "again"), replace(additions(), packing=packing)
    ).platforms
    (layer,) = image.application_layers
    assert layer.media_type == (LAYER_TYPE if kind == "uncompressed" else f"{LAYER_TYPE}+{kind}")
    assert unpacked(target.read(layer.digest), kind) == content
    assert again == image


def unpacked(content: bytes, kind: Kind) -> bytes:
    if kind == "zstd":
        return zstandard.ZstdDecompressor().decompressobj().decompress(content)
    return gzip.decompress(content) if kind == "gzip" else content


def test_layers_of_a_builder_that_packs_them_are_taken_as_they_are(built: Layout, target: Layout) -> None:
    built.put_root(add_image(built, GZIPPED, (tar("app.py"), LAYER_TYPE)))
    (image,) = assemble(built, target, additions()).platforms
    assert [layer.media_type for layer in image.application_layers] == [f"{LAYER_TYPE}+gzip", LAYER_TYPE]
    assert [target.read(layer.digest) for layer in image.application_layers] == [GZIPPED[0], tar("app.py")]


def test_docker_media_types_become_those_of_the_specification(built: Layout, target: Layout) -> None:
    docker = "application/vnd.docker.image.rootfs.diff.tar.gzip"
    built.put_root(add_image(built, (GZIPPED[0], docker)))
    (image,) = assemble(built, target, additions()).platforms
    assert [layer.media_type for layer in image.application_layers] == [f"{LAYER_TYPE}+gzip"]


def index(built: Layout, *children: dict[str, Any]) -> Descriptor:
    document = {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": children}
    return built.write(to_json(document), INDEX_TYPE)


def test_several_platforms_are_an_index_without_attestations(
    built: Layout, target: Layout, weights: ModelLayer
) -> None:
    amd64 = add_image(built, GZIPPED)
    arm64 = add_image(built, GZIPPED, architecture="arm64", variant="v8")
    attestation = {
        **to_document(add_image(built, GZIPPED, architecture="unknown")),
        "annotations": {"vnd.docker.reference.type": "attestation-manifest"},
    }
    built.put_root(index(built, to_document(amd64), to_document(arm64), attestation))
    assembled = assemble(built, target, additions(weights))
    document = target.read_json(assembled.root.digest)
    assert assembled.root.media_type == document["mediaType"] == INDEX_TYPE
    assert [child["platform"] for child in document["manifests"]] == [
        {"os": "linux", "architecture": "amd64"},
        {"os": "linux", "architecture": "arm64", "variant": "v8"},
    ]
    assert [image.platform for image in assembled.platforms] == ["linux/amd64", "linux/arm64/v8"]
    assert document["annotations"] == {"org.opencontainers.image.title": "digits"}


def test_an_index_of_one_platform_becomes_a_manifest(built: Layout, target: Layout) -> None:
    built.put_root(index(built, to_document(add_image(built, GZIPPED))))
    assert assemble(built, target, additions()).root.media_type == MANIFEST_TYPE


def test_two_of_the_same_give_the_same_bytes(
    built: Layout, target: Layout, weights: ModelLayer, tmp_path: Path
) -> None:
    built.put_root(add_image(built, GZIPPED))
    first = assemble(built, target, additions(weights), reference="v1")
    second = assemble(built, Layout.create(tmp_path / "second"), additions(weights), reference="v2")
    assert first == second


def test_a_changed_manifest_is_not_believed(built: Layout, target: Layout) -> None:
    manifest = add_image(built, GZIPPED)
    built.put_root(manifest)
    document = json.loads(built.read(manifest.digest))
    built.blob_path(manifest.digest).write_bytes(to_json({**document, "layers": []}))
    with pytest.raises(StageFailed, match="was changed"):
        assemble(built, target, additions())


def test_a_layout_without_an_image_is_refused(built: Layout, target: Layout) -> None:
    with pytest.raises(StageFailed, match="exported no image"):
        assemble(built, target, additions())
