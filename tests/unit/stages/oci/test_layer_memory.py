"""What earlier layers became is known as long as an image has them, and takes no room of its own."""

import shutil
from pathlib import Path

import pytest

from pipeline.reference import Digest
from stages.oci.layer_memory import LayerMemory, Taken
from stages.oci.layout import Layout

LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar+gzip"


@pytest.fixture
def image(tmp_path: Path) -> Layout:
    return Layout.create(tmp_path / "image")


@pytest.fixture
def other(tmp_path: Path) -> Layout:
    return Layout.create(tmp_path / "other")


@pytest.fixture
def memory(tmp_path: Path) -> LayerMemory:
    return LayerMemory(tmp_path / "memory")


def layer(image: Layout, content: bytes = b"layer") -> Taken:
    return Taken(descriptor=image.write(content, LAYER_TYPE), diff_id=Digest.of(b"tar"))


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and path.parent.name in {"sha256", "memory"}]


def test_a_layer_is_found_with_its_bytes(memory: LayerMemory, image: Layout, other: Layout) -> None:
    taken = layer(image)
    memory.keep("question", taken, image)
    assert memory.find("question", other) == taken
    assert other.read(taken.descriptor.digest) == b"layer"
    assert other.blob_path(taken.descriptor.digest).samefile(image.blob_path(taken.descriptor.digest))
    assert memory.find("another question", other) is None


def test_without_a_folder_nothing_is_remembered(image: Layout, other: Layout) -> None:
    LayerMemory(None).keep("question", layer(image), image)
    assert LayerMemory(None).find("question", other) is None
    LayerMemory(None).forget_removed()


def test_layers_of_removed_images_are_forgotten(
    memory: LayerMemory, image: Layout, other: Layout, tmp_path: Path
) -> None:
    memory.keep("one", layer(image, b"one"), image)
    memory.keep("the same", layer(image, b"one"), image)
    kept = layer(other, b"two")
    memory.keep("two", kept, other)
    memory.forget_removed()
    assert memory.find("one", Layout.create(tmp_path / "third")) is not None
    shutil.rmtree(tmp_path / "third")
    shutil.rmtree(image.path)
    memory.forget_removed()
    assert memory.find("one", other) is None
    assert memory.find("two", other) == kept
    assert len(files(tmp_path / "memory")) == 2


def test_bytes_whose_note_was_never_written_do_not_stay(
    memory: LayerMemory, image: Layout, tmp_path: Path
) -> None:
    memory.keep("question", layer(image), image)
    (note,) = (tmp_path / "memory").glob("*.json")
    note.write_bytes(b"")  # as a full disk leaves it
    memory.forget_removed()
    assert len(files(tmp_path / "memory")) == 1  # the image has it yet
    shutil.rmtree(image.path)
    memory.forget_removed()
    assert files(tmp_path / "memory") == []


@pytest.mark.parametrize("damage", [b"", b"{}", b"not json"])
def test_a_damaged_note_is_forgotten(
    memory: LayerMemory, image: Layout, other: Layout, tmp_path: Path, damage: bytes
) -> None:
    memory.keep("question", layer(image), image)
    (note,) = (tmp_path / "memory").glob("*.json")
    note.write_bytes(damage)
    assert memory.find("question", other) is None
    memory.forget_removed()
    assert not note.exists()


def test_a_layer_that_was_cut_short_is_not_believed(
    memory: LayerMemory, image: Layout, other: Layout
) -> None:
    taken = layer(image)
    memory.keep("question", taken, image)
    image.blob_path(taken.descriptor.digest).write_bytes(b"lay")
    assert memory.find("question", other) is None
