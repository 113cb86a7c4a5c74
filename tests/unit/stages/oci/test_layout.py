import json
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from pipeline.errors import StageFailed
from pipeline.reference import Digest
from stages.oci.layout import Layout, read_chunks

TYPE = "application/octet-stream"


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout.create(tmp_path / "layout")


def test_an_empty_layout_is_what_the_specification_says(layout: Layout) -> None:
    assert json.loads((layout.path / "oci-layout").read_bytes()) == {"imageLayoutVersion": "1.0.0"}
    assert json.loads((layout.path / "index.json").read_bytes()) == {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [],
    }


def test_what_is_written_is_found_under_its_digest(layout: Layout) -> None:
    written = layout.write(b"content", TYPE)
    assert written.digest == Digest.of(b"content")
    assert written.size_bytes == len(b"content")
    assert layout.has(written.digest)
    assert layout.read(written.digest) == b"content"
    assert layout.blob_path(written.digest) == layout.path / "blobs/sha256" / written.digest.encoded


def test_pieces_and_files_are_stored_like_bytes(layout: Layout, tmp_path: Path) -> None:
    file = tmp_path / "big"
    file.write_bytes(b"0123456789" * 300_000)
    with file.open("rb") as stream:
        written = layout.write(read_chunks(stream), TYPE)
    assert written == layout.write(file.read_bytes(), TYPE)


def test_a_blob_that_cannot_be_finished_leaves_nothing(layout: Layout) -> None:
    def pieces() -> object:
        yield b"half"
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        layout.write(pieces(), TYPE)  # type: ignore[arg-type]  # an iterator that raises
    assert list((layout.path / "blobs/sha256").iterdir()) == []


def test_a_changed_blob_is_refused(layout: Layout) -> None:
    written = layout.write(b"content", TYPE)
    layout.blob_path(written.digest).write_bytes(b"Content")
    with pytest.raises(StageFailed, match="was changed"):
        layout.read(written.digest)


def test_a_missing_blob_is_named(layout: Layout) -> None:
    with pytest.raises(StageFailed, match="is missing"):
        layout.read(Digest.of(b"never written"))


def test_the_index_names_images_by_reference(layout: Layout) -> None:
    first, second, third = (layout.write(text, TYPE) for text in (b"1", b"2", b"3"))
    layout.put_root(first, "v1")
    layout.put_root(second, "v2")
    layout.put_root(third, "v1")
    reopened = Layout.open(layout.path)
    assert [(root.reference, root.descriptor) for root in reopened.roots()] == [("v2", second), ("v1", third)]


def test_an_image_keeps_its_earlier_names(layout: Layout) -> None:
    image = layout.write(b"1", TYPE)
    for reference in (None, "v1", "v2", "v1", None):
        layout.put_root(image, reference)
    assert [root.reference for root in layout.roots()] == ["v2", "v1", None]
    assert {root.descriptor for root in layout.roots()} == {image}


def test_a_whole_name_stays_beside_the_tag(layout: Layout) -> None:
    first, second = (layout.write(text, TYPE) for text in (b"1", b"2"))
    layout.put_root(first, "v1", name="docker.io/library/digits:v1")
    layout.put_root(second, "v2")
    entries = json.loads((layout.path / "index.json").read_bytes())["manifests"]
    assert [entry["annotations"] for entry in entries] == [
        {
            "org.opencontainers.image.ref.name": "v1",
            "io.containerd.image.name": "docker.io/library/digits:v1",
        },
        {"org.opencontainers.image.ref.name": "v2"},
    ]


def test_creating_twice_keeps_what_is_there(layout: Layout) -> None:
    layout.put_root(layout.write(b"1", TYPE), "v1")
    assert len(Layout.create(layout.path).roots()) == 1


def test_taking_a_blob_makes_no_copy(layout: Layout, tmp_path: Path) -> None:
    other = Layout.create(tmp_path / "other")
    written = other.write(b"content", TYPE)
    layout.take(other, written.digest)
    layout.take(other, written.digest)
    assert layout.blob_path(written.digest).samefile(other.blob_path(written.digest))


def test_a_blob_is_copied_where_no_link_can_be_made(layout: Layout) -> None:
    with TemporaryDirectory(dir="/dev/shm") as elsewhere:  # another file system
        other = Layout.create(Path(elsewhere))
        assert other.path.stat().st_dev != layout.path.stat().st_dev
        written = other.write(b"weights", TYPE)
        layout.take(other, written.digest)
        assert layout.read(written.digest) == b"weights"
        with pytest.raises(FileNotFoundError):
            layout.take(other, Digest.of(b"none"))


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"manifests": [{"digest": "sha256:short"}]}'])
def test_a_broken_index_is_named(layout: Layout, content: bytes) -> None:
    (layout.path / "index.json").write_bytes(content)
    with pytest.raises(StageFailed, match=r"cannot read .*index\.json"):
        layout.roots()


def test_a_folder_that_is_no_layout_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StageFailed, match="no OCI image layout"):
        Layout.open(tmp_path)
