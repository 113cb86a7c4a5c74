from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.errors import StageFailed, TagConflict
from pipeline.reference import Digest
from stages.oci.export import export
from stages.oci.image_content import ImageContent
from stages.oci.layout import Layout
from tests.support.small_image import make_image


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "weights.bin").write_bytes(bytes(range(256)) * 4096)
    return folder


def test_every_blob_is_in_the_folder_under_its_digest(tmp_path: Path, model: Path) -> None:
    platforms = ("linux/amd64", "linux/arm64")
    image = make_image(tmp_path / "image", {"app.py": b"1"}, model=model, platforms=platforms)
    said: list[str] = []
    folder = export(ImageContent.of(image), image.tag, tmp_path / "out", said.append)
    files = {path.name: path for path in (folder / "blobs" / "sha256").iterdir()}
    assert image.model_layers[0].descriptor.digest.encoded in files
    assert len(files) == 2 * 3 + 1 + 1  # configuration, layer and manifest of each, the index, the model
    assert {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()} == {
        name: name for name in files
    }
    (root,) = Layout.open(folder).roots()
    assert (root.descriptor.digest, root.reference) == (image.digest, image.tag)
    assert image.digest in said[-1]


def test_application_layers_are_not_copied(tmp_path: Path) -> None:
    image = make_image(tmp_path / "image", {"app.py": b"1"})
    layout = Layout.open(export(ImageContent.of(image), image.tag, tmp_path / "out", lambda _: None))
    layer = image.platforms[0].application_layers[0].digest
    assert layout.blob_path(layer).samefile(Layout.open(image.layout).blob_path(layer))


def test_an_export_can_be_repeated(tmp_path: Path, model: Path) -> None:
    image = make_image(tmp_path / "image", {"app.py": b"1"}, model=model)
    for _ in range(2):
        export(ImageContent.of(image), image.tag, tmp_path / "out", lambda _: None)
    assert len(Layout.open(tmp_path / "out").roots()) == 1


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    image = make_image(tmp_path / "image", {"app.py": b"1"})
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StageFailed, match="cannot write the image to"):
        export(ImageContent.of(image), image.tag, tmp_path / "file" / "out", lambda _: None)


def test_a_model_that_changed_since_the_build_is_not_delivered(tmp_path: Path, model: Path) -> None:
    image = make_image(tmp_path / "image", {"app.py": b"1"}, model=model)
    (model / "weights.bin").write_bytes(bytes(256 * 4096))
    with pytest.raises(StageFailed, match=r"model: weights\.bin .* changed since"):
        export(ImageContent.of(image), image.tag, tmp_path / "out", lambda _: None)
    assert Layout.open(tmp_path / "out").roots() == ()


def test_a_layer_that_was_damaged_since_the_build_is_not_copied(tmp_path: Path) -> None:
    image = make_image(tmp_path / "image", {"app.py": b"1"})
    # nothing to link there, as on another file system: the blobs are read
    content = replace(ImageContent.of(image), layout=Layout.create(tmp_path / "elsewhere"))
    layer = image.platforms[0].application_layers[0].digest
    Layout.open(image.layout).blob_path(layer).write_bytes(b"damaged")
    with pytest.raises(StageFailed, match="changed since"):
        export(content, image.tag, tmp_path / "out", lambda _: None)
    assert not Layout.open(tmp_path / "out").has(Digest.of(b"damaged"))


def test_a_layer_that_was_overwritten_in_place_is_not_delivered(tmp_path: Path) -> None:
    image = make_image(tmp_path / "image", {"app.py": b"1"})
    stored = Layout.open(image.layout).blob_path(image.platforms[0].application_layers[0].digest)
    stored.write_bytes(bytes(stored.stat().st_size))
    with pytest.raises(StageFailed, match="changed since"):
        export(ImageContent.of(image), image.tag, tmp_path / "out", lambda _: None)
    assert Layout.open(tmp_path / "out").roots() == ()


def test_a_blob_that_was_damaged_in_the_folder_is_written_again(tmp_path: Path, model: Path) -> None:
    image = make_image(tmp_path / "image", {"app.py": b"1"}, model=model)
    layout = Layout.open(export(ImageContent.of(image), image.tag, tmp_path / "out", lambda _: None))
    digest = image.model_layers[0].descriptor.digest
    layout.blob_path(digest).write_bytes(b"damaged")
    export(ImageContent.of(image), image.tag, tmp_path / "out", lambda _: None)
    assert layout.read(digest)


def test_a_tag_is_never_moved(tmp_path: Path) -> None:
    first, second = (make_image(tmp_path / text, {"app.py": text.encode()}) for text in "12")
    export(ImageContent.of(first), first.tag, tmp_path / "out", lambda _: None)
    with pytest.raises(TagConflict, match=first.digest) as caught:
        export(ImageContent.of(second), second.tag, tmp_path / "out", lambda _: None)
    assert second.digest in caught.value.message
    (root,) = Layout.open(tmp_path / "out").roots()
    assert root.descriptor.digest == first.digest


def test_the_tag_of_uncommitted_changes_moves(tmp_path: Path) -> None:
    images = [make_image(tmp_path / text, {"app.py": text.encode()}, tag="1-dirty") for text in "12"]
    for image in images:
        export(ImageContent.of(image), image.tag, tmp_path / "out", lambda _: None)
    (root,) = Layout.open(tmp_path / "out").roots()
    assert root.descriptor.digest == images[1].digest
