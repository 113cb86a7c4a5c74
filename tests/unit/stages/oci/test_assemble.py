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

from pipeline.desk import Desk
from pipeline.errors import StageFailed
from pipeline.model import BuiltImage, Descriptor, ModelLayer, Tool
from pipeline.reference import Digest, Tag
from stages.oci.application_layers import Packing
from stages.oci.application_view import application_views
from stages.oci.assemble import MANIFEST_TYPE, Additions, assemble
from stages.oci.layer_compression import Compression, Kind
from stages.oci.layout import INDEX_TYPE, Layout, to_descriptor, to_document, to_json
from stages.oci.model_tar import LAYER_TYPE
from tests.support.weights import describe

CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
COMMITTED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
LATER = "2026-11-22T10:00:00.123456789Z"


def tar(*names: str, time: int = 0) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in names:
            entry = tarfile.TarInfo(name)
            entry.mtime = time
            archive.addfile(entry)
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


def packed(kind: Kind, *, plain_base: bool) -> Additions:
    packing = Packing(compression=Compression(kind), newest_s=NEWEST_S, plain_base=plain_base)
    return replace(ordered(), packing=packing)


NEWEST_S = 1000
YOUNG = tar("app.py", time=1_790_000_000)
CLAMPED = tar("app.py", time=NEWEST_S)
MEDIA_TYPES: dict[Kind, str] = {
    "gzip": f"{LAYER_TYPE}+gzip",
    "zstd": f"{LAYER_TYPE}+zstd",
    "uncompressed": LAYER_TYPE,
}


def squeezed(content: bytes, kind: Kind) -> tuple[bytes, str]:
    """Return a layer as a builder would compress it."""
    if kind == "zstd":
        return zstandard.ZstdCompressor(level=1).compress(content), MEDIA_TYPES[kind]
    return gzip.compress(content, mtime=0) if kind == "gzip" else content, MEDIA_TYPES[kind]


def unpacked(content: bytes, kind: Kind) -> bytes:
    if kind == "zstd":
        return zstandard.ZstdDecompressor().decompressobj().decompress(content)
    return gzip.decompress(content) if kind == "gzip" else content


@pytest.mark.parametrize("kind", MEDIA_TYPES)
@pytest.mark.parametrize("built_kind", MEDIA_TYPES)
def test_own_layers_are_made_anew_and_the_bases_are_not(
    built: Layout, target: Layout, tmp_path: Path, kind: Kind, built_kind: Kind
) -> None:
    base = squeezed(YOUNG, built_kind)
    built.put_root(add_steps(built, base, squeezed(YOUNG, built_kind)))
    (image,) = assemble(built, target, packed(kind, plain_base=False)).platforms
    kept, own = image.application_layers
    assert (target.read(kept.digest), kept.media_type) == base
    assert own.media_type == MEDIA_TYPES[kind]
    assert unpacked(target.read(own.digest), kind) == CLAMPED
    assert target.read_json(image.config.digest)["rootfs"]["diff_ids"][1] == Digest.of(CLAMPED)
    again = assemble(built, Layout.create(tmp_path / "again"), packed(kind, plain_base=False))
    assert again.platforms == (image,)


@pytest.mark.parametrize("kind", MEDIA_TYPES)
def test_a_base_that_came_out_plain_is_compressed_and_keeps_its_diff_ids(
    built: Layout, target: Layout, kind: Kind
) -> None:
    """By them engines know its layers."""
    built.put_root(add_steps(built, (YOUNG, LAYER_TYPE), (YOUNG, LAYER_TYPE)))
    (image,) = assemble(built, target, packed(kind, plain_base=True)).platforms
    assert [layer.media_type for layer in image.application_layers] == [MEDIA_TYPES[kind]] * 2
    contents = [unpacked(target.read(layer.digest), kind) for layer in image.application_layers]
    assert contents == [YOUNG, CLAMPED]
    diff_ids = target.read_json(image.config.digest)["rootfs"]["diff_ids"]
    assert diff_ids == [Digest.of(content) for content in contents]


def test_layers_without_a_packing_are_taken_as_they_are(built: Layout, target: Layout) -> None:
    built.put_root(add_image(built, GZIPPED, (tar("app.py"), LAYER_TYPE)))
    (image,) = assemble(built, target, additions()).platforms
    assert [layer.media_type for layer in image.application_layers] == [f"{LAYER_TYPE}+gzip", LAYER_TYPE]
    assert [target.read(layer.digest) for layer in image.application_layers] == [GZIPPED[0], tar("app.py")]


def test_a_layer_of_an_earlier_image_is_not_read_again(
    built: Layout, target: Layout, tmp_path: Path, desk: Desk
) -> None:
    manifest = add_steps(built, GZIPPED, squeezed(YOUNG, "gzip"))
    built.put_root(manifest)
    first = assemble(built, target, packed("zstd", plain_base=False), desk=desk)
    (_, layer) = built.read_json(manifest.digest)["layers"]
    built.blob_path(Digest(layer["digest"])).write_bytes(b"\x1f\x8b broken")
    second = Layout.create(tmp_path / "second")
    assert assemble(built, second, packed("zstd", plain_base=False), desk=desk) == first
    assert second.has(first.platforms[0].application_layers[1].digest)
    with pytest.raises(StageFailed, match="cannot be read"):
        assemble(built, Layout.create(tmp_path / "other"), packed("gzip", plain_base=False), desk=desk)


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


STEPS: list[dict[str, Any]] = [
    {"created_by": "RUN /bin/sh -c make # buildkit"},
    {"created_by": "ENV A=b", "empty_layer": True},
    {"created_by": "COPY app.py / # buildkit"},
    {"created_by": "CMD app.py", "empty_layer": True},
]
ABOVE = (gzip.compress(tar("made"), mtime=0), f"{LAYER_TYPE}+gzip")


def add_steps(
    layout: Layout, *layers: tuple[bytes, str], architecture: str = "amd64", steps: object = None
) -> Descriptor:
    """Write an image with the history of a Dockerfile; return its manifest."""
    manifest = layout.read_json(add_image(layout, *layers, architecture=architecture).digest)
    config = layout.read_json(to_descriptor(manifest["config"]).digest)
    config["history"] = STEPS if steps is None else steps
    manifest["config"] = to_document(layout.write(to_json(config), CONFIG_TYPE))
    return layout.write(to_json(manifest), MANIFEST_TYPE)


def ordered(*layers: ModelLayer, instructions: str = "COPY CMD") -> Additions:
    return replace(additions(*layers), instructions=lambda _: tuple(instructions.split()))


@pytest.fixture
def said() -> list[str]:
    return []


def desk_that_says(folder: Path, said: list[str]) -> Desk:
    return Desk(folder=folder, cache=folder / "cache", say=said.append)


@pytest.fixture
def desk(tmp_path: Path, said: list[str]) -> Desk:
    return desk_that_says(tmp_path, said)


def test_model_layers_go_between_the_base_and_the_dockerfiles_own(
    built: Layout, target: Layout, weights: ModelLayer, desk: Desk, said: list[str]
) -> None:
    built.put_root(add_steps(built, GZIPPED, ABOVE))
    (image,) = assemble(built, target, ordered(weights), desk=desk).platforms
    base, own = image.application_layers
    manifest = target.read_json(image.manifest.digest)
    assert manifest["layers"] == [to_document(layer) for layer in (base, weights.descriptor, own)]
    config = target.read_json(image.config.digest)
    diff_ids = [hashlib.sha256(gzip.decompress(content)).hexdigest() for content in (GZIPPED[0], ABOVE[0])]
    assert config["rootfs"]["diff_ids"] == [
        f"sha256:{diff_ids[0]}",
        weights.descriptor.digest,
        f"sha256:{diff_ids[1]}",
    ]
    written = [step["created_by"].split()[:2] for step in config["history"]]
    assert written == [
        ["RUN", "/bin/sh"],
        ["ENV", "A=b"],
        ["COPY", "model"],
        ["COPY", "app.py"],
        ["CMD", "app.py"],
    ]
    assert said == []


def test_the_scanners_see_the_application_alone(
    built: Layout, target: Layout, weights: ModelLayer, desk: Desk, tmp_path: Path
) -> None:
    built.put_root(add_steps(built, GZIPPED, ABOVE))
    assembled = assemble(built, target, ordered(weights), desk=desk)
    image = BuiltImage(
        name="digits",
        tag=Tag("v1"),
        digest=assembled.root.digest,
        media_type=assembled.root.media_type,
        layout=target.path,
        platforms=assembled.platforms,
        model_layers=(weights,),
        revision="0" * 40,
        dirty=False,
        created=COMMITTED,
        builder=Tool(name="test", version="1"),
    )
    (view,) = application_views(image, tmp_path / "views")
    layout = Layout.open(view.layout)
    manifest = layout.read_json(layout.roots()[0].descriptor.digest)
    config = layout.read_json(to_descriptor(manifest["config"]).digest)
    assert manifest["layers"] == [to_document(layer) for layer in assembled.platforms[0].application_layers]
    assert [step["created_by"] for step in config["history"]] == [step["created_by"] for step in STEPS]
    assert weights.descriptor.digest not in config["rootfs"]["diff_ids"]
    assert len(config["rootfs"]["diff_ids"]) == 2


def test_each_platform_has_an_order_of_its_own(
    built: Layout, target: Layout, weights: ModelLayer, desk: Desk
) -> None:
    images = [
        add_steps(built, GZIPPED, ABOVE, architecture=architecture) for architecture in ("amd64", "arm64")
    ]
    built.put_root(index(built, *map(to_document, images)))
    instructions = {"linux/amd64": ("COPY", "CMD"), "linux/arm64": ("RUN", "ENV", "COPY", "CMD")}
    own = replace(additions(weights), instructions=instructions.__getitem__)
    places = [
        [layer["digest"] for layer in target.read_json(image.manifest.digest)["layers"]].index(
            weights.descriptor.digest
        )
        for image in assemble(built, target, own, desk=desk).platforms
    ]
    assert places == [1, 0]


@pytest.mark.parametrize("steps", [STEPS[:-1], STEPS[:2], [], [*STEPS[:2], STEPS[3], STEPS[2]]])
def test_where_the_history_does_not_fit_model_layers_go_above_all(
    built: Layout, target: Layout, weights: ModelLayer, said: list[str], steps: object
) -> None:
    built.put_root(add_steps(built, GZIPPED, ABOVE, steps=steps))
    (image,) = assemble(
        built, target, ordered(weights), desk=desk_that_says(built.path.parent, said)
    ).platforms
    manifest = target.read_json(image.manifest.digest)
    assert manifest["layers"][-1] == to_document(weights.descriptor)
    (line,) = said
    assert "linux/amd64: the history does not show which layers are the Dockerfile's own" in line


def test_an_instruction_that_would_remove_the_model_is_named(
    built: Layout, target: Layout, weights: ModelLayer, desk: Desk
) -> None:
    whiteout = (gzip.compress(tar(".wh.models"), mtime=0), f"{LAYER_TYPE}+gzip")
    built.put_root(add_steps(built, GZIPPED, whiteout))
    with pytest.raises(StageFailed, match=r"removes /models \(`COPY app.py /`\)"):
        assemble(built, target, ordered(weights), desk=desk)
    (image,) = assemble(built, target, ordered(weights, instructions="CMD"), desk=desk).platforms
    assert target.read_json(image.manifest.digest)["layers"][-1] == to_document(weights.descriptor)


def test_layers_that_are_known_are_not_read_again(
    built: Layout, target: Layout, weights: ModelLayer, desk: Desk
) -> None:
    manifest = add_steps(built, GZIPPED, ABOVE)
    built.put_root(manifest)
    first = assemble(built, target, ordered(weights), desk=desk)
    layer = first.platforms[0].application_layers[0]
    target.blob_path(layer.digest).write_bytes(b"\x1f\x8b broken")  # linked to the one that was built
    assert assemble(built, target, ordered(weights), desk=desk) == first
    (desk.cache / "layer-facts.json").unlink()
    with pytest.raises(StageFailed, match=f"{layer.digest.short} cannot be read"):
        assemble(built, target, ordered(weights), desk=desk)
