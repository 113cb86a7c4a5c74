from pathlib import Path

import pytest

from pipeline.reference import Digest
from stages.buildkit.disk_needs import PlannedBuild, loading_need
from stages.buildkit.dockerfile import SCRATCH
from stages.buildkit.room import STEPS, UNKNOWN_BYTES, UNPACKED, EngineRoom, Size, first_size, last_size
from stages.oci.layout import INDEX_TYPE, Layout, to_document, to_json
from stages.oci.model_tar import LAYER_TYPE

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
NO_ENGINE = EngineRoom()


@pytest.fixture(autouse=True)
def _no_docker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))


def image(images: Path, *stacks: tuple[int, ...], layer_type: str = f"{LAYER_TYPE}+gzip") -> Path:
    """Write an image; its platforms have layers of these sizes, and weights that are not here."""
    layout = Layout.create(images / Digest.of(repr(stacks).encode()).encoded)
    manifests = []
    for sizes in stacks:
        layers = [layout.write(bytes([size % 256]) * size, layer_type) for size in sizes]
        weights = {"mediaType": LAYER_TYPE, "digest": str(Digest.of(b"weights")), "size": 10**12}
        diff_ids = [f"diff {layer.digest}" for layer in layers] + ["diff weights"]
        config = layout.write(to_json({"rootfs": {"diff_ids": diff_ids}, "of": sizes}), "config")
        documents = [*(to_document(layer) for layer in layers), weights]
        manifest = {"config": to_document(config), "layers": documents}
        manifests.append(layout.write(to_json(manifest), MANIFEST_TYPE))
    root = manifests[0]
    if len(manifests) > 1:
        root = layout.write(to_json({"manifests": [to_document(one) for one in manifests]}), INDEX_TYPE)
    layout.put_root(root)
    return layout.path


def test_the_last_build_tells_how_large_the_next_one_will_be(tmp_path: Path) -> None:
    image(tmp_path / "images", (1000, 20))
    size = last_size(tmp_path / "images", NO_ENGINE)
    assert size is not None
    assert (size.packed_bytes, size.new_bytes, size.at_least) == (1020, 1020 * UNPACKED, False)


def test_layers_that_are_not_compressed_unpack_to_their_own_size(tmp_path: Path) -> None:
    image(tmp_path / "images", (1000, 20), layer_type=LAYER_TYPE)
    size = last_size(tmp_path / "images", NO_ENGINE)
    assert size is not None
    assert (size.packed_bytes, size.unpacked_bytes, size.new_bytes) == (1020, 1020, 1020)
    assert size.loaded_bytes == 2 * 1020


def test_platforms_share_layers(tmp_path: Path) -> None:
    image(tmp_path / "images", (1000, 20), (1000, 30))
    size = last_size(tmp_path / "images", NO_ENGINE)
    assert size is not None
    assert size.packed_bytes == 1050


def test_a_damaged_image_tells_nothing(tmp_path: Path) -> None:
    assert last_size(tmp_path / "images", NO_ENGINE) is None
    path = image(tmp_path / "images", (1000,))
    (path / "index.json").write_text("{")
    assert last_size(tmp_path / "images", NO_ENGINE) is None


def test_a_first_build_is_a_lower_bound_where_something_is_unknown() -> None:
    copied = first_size(SCRATCH, 3000, runs=False, engine=NO_ENGINE)
    assert (copied.packed_bytes, copied.unpacked_bytes, copied.new_bytes) == (1000, 3000, 3000)
    assert not copied.at_least
    pulled = first_size("python:3.11", 3000, runs=True, engine=NO_ENGINE)
    assert pulled.at_least
    assert pulled.new_bytes == 3000 + 2 * UNKNOWN_BYTES
    assert "RUN steps and a base image to be pulled" in pulled.reason


def test_a_classic_store_needs_more_beside_the_records() -> None:
    size = Size(packed_bytes=100, unpacked_bytes=300, new_bytes=30, at_least=False, reason="")
    assert size.layout_bytes(classic=False) == 100
    assert size.layout_bytes(classic=True) == 600
    assert size.engine_bytes(0, classic=False) == STEPS * 30 + 100
    assert size.engine_bytes(0, classic=True) == STEPS * 30 + 300
    assert size.engine_bytes(29, classic=False) == STEPS * 30 - 29 + 100
    assert size.engine_bytes(30, classic=False) == 100  # the image's own steps are there
    assert size.loaded_bytes == 40


def test_an_engine_that_does_not_answer_is_elsewhere(tmp_path: Path) -> None:
    need = loading_need(tmp_path / "images")
    assert (need.path, need.at_least) == (None, True)
    planned = PlannedBuild(
        context=tmp_path,
        dockerfile=tmp_path / "Dockerfile",
        target=None,
        arguments={},
        left_out=(),
        builder=None,
        images=tmp_path / "images",
        cache=True,
    )
    assert planned.disk_needs() == ()
