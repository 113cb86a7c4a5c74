"""What a model takes of a disk, counted before anything is fetched, copied or written."""

import fcntl
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from pipeline.artifacts import Artifacts
from pipeline.desk import Desk
from pipeline.disk import forecast
from stages.models.disk_needs import benchmark_needs, export_needs
from stages.models.fetch import fetch
from stages.models.file import FolderFiles
from stages.models.huggingface import HuggingFaceFiles
from stages.models.lock import LockedFiles
from stages.models.model import Model
from stages.oci.layout import Layout
from stages.oci.model_layer import stream
from stages.scanners.model_files.addition import NAME, ModelFiles
from stages.scanners.model_files.memory import Memory
from stages.scanners.model_files.weights import Weights
from tests.support.hub import Hub, running_hub

SIZES = {"big.bin": 9_000_000, "small.bin": 5, "part/config.json": 2}
ALL = sum(SIZES.values())


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with_cache = Desk(folder=tmp_path / "desk", cache=tmp_path / "cache")
    with_cache.folder.mkdir()
    yield with_cache
    with_cache.clear()


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with running_hub(f"team/digits-{uuid4().hex[:8]}") as running:
        running.commit({name: bytes([1]) * size for name, size in SIZES.items()})
        monkeypatch.setenv("HF_ENDPOINT", running.server.url)
        yield running


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, size_bytes in SIZES.items():
        path = tmp_path / "model" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(size_bytes))
        path.chmod(0o644)
    return tmp_path / "model"


def remote(hub: Hub) -> Model:
    files = HuggingFaceFiles(repository=hub.repository, revision=hub.branches["main"])
    return Model(files=files, path="/models/digits")


def needed(model: Model, desk: Desk) -> int:
    (need,) = benchmark_needs(model, desk)
    return need.size_bytes


def test_weights_are_needed_until_they_are_fetched(hub: Hub, desk: Desk) -> None:
    model = remote(hub)
    assert needed(model, desk) == ALL
    fetch(model.layers(desk), model.files, desk)
    assert needed(model, desk) == 0


def test_the_scan_shares_them_with_the_benchmark_and_needs_none_that_it_knows(hub: Hub, desk: Desk) -> None:
    model = remote(hub)
    look = ModelFiles(weights=Weights(files=model.files), model=model)
    assert look.disk_needs(Artifacts(), desk) == benchmark_needs(model, desk)
    twice = (*look.disk_needs(Artifacts(), desk), *benchmark_needs(model, desk))
    (check,) = forecast(twice)
    assert check.disk is not None
    assert check.disk.needed_bytes == ALL
    look.weights.look(model.layers(desk), Memory(desk.cache / NAME), desk)
    for path in (desk.cache / "weights/files").iterdir():
        path.unlink()
    assert look.disk_needs(Artifacts(), desk) == ()
    assert needed(model, desk) == ALL


def test_what_is_half_fetched_needs_the_other_half(hub: Hub, desk: Desk) -> None:
    model = remote(hub)
    layers = model.layers(desk)
    big = next(file for layer in layers for file in layer.files if file.path == "big.bin")
    part = desk.cache / "weights/files" / f"{big.digest.encoded}.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(bytes(4_000_000))
    assert needed(model, desk) == ALL - 4_000_000


def test_locked_weights_are_known_without_a_run(hub: Hub, desk: Desk, tmp_path: Path) -> None:
    model = remote(hub)
    lock = model.locked("hf://", hub.branches["main"], desk)
    fetch(model.layers(desk), model.files, desk)
    fresh = Model(files=model.files, path=model.path, lock=lock)
    elsewhere = replace(desk, cache=tmp_path / "other")
    assert isinstance(fresh._files, LockedFiles)
    assert needed(fresh, elsewhere) == ALL
    (elsewhere.cache).mkdir()
    (desk.cache / "weights").rename(elsewhere.cache / "weights")
    assert needed(fresh, elsewhere) == 0


def test_an_earlier_model_makes_room_unless_somebody_uses_it(hub: Hub, desk: Desk) -> None:
    old = desk.cache / "weights/files" / ("0" * 64)
    old.parent.mkdir(parents=True)
    old.write_bytes(bytes(1_000_000))
    model = remote(hub)
    model.layers(desk)
    assert needed(model, desk) == ALL - 1_000_000
    with (desk.cache / "weights/held").open("a") as holder:
        fcntl.flock(holder, fcntl.LOCK_SH)
        assert needed(model, desk) == ALL


def test_a_folder_is_mounted_as_it_is_but_for_files_of_another_mode(folder: Path, desk: Desk) -> None:
    model = Model(files=FolderFiles(folder=folder), path="/models/digits")
    assert needed(model, desk) == 0
    (folder / "big.bin").chmod(0o600)
    assert needed(model, desk) == SIZES["big.bin"]


def test_a_source_that_cannot_be_asked_needs_nothing_here(tmp_path: Path, desk: Desk) -> None:
    model = Model(files=FolderFiles(folder=tmp_path / "gone"), path="/models/digits")
    assert benchmark_needs(model, desk) == ()
    assert export_needs(model, tmp_path / "image", desk) == ()


def test_a_folder_that_gets_the_image_needs_the_weights_once(hub: Hub, desk: Desk, tmp_path: Path) -> None:
    model = remote(hub)
    layers = model.layers(desk)
    (before,) = export_needs(model, tmp_path / "image", desk)
    assert before.size_bytes == sum(layer.descriptor.size_bytes for layer in layers) > ALL
    big = layers[0]
    Layout.create(tmp_path / "image").write(stream(big, model.files), "layer")
    (after,) = export_needs(model, tmp_path / "image", desk)
    assert after.size_bytes == before.size_bytes - big.descriptor.size_bytes < ALL // 2
