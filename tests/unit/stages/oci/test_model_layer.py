import hashlib
import io
import os
import shutil
import tarfile
from pathlib import Path

import pytest

from pipeline.errors import StageFailed
from pipeline.model import ModelLayer
from stages.models.file import FolderFiles
from stages.oci.blob_stream import BlobStream
from stages.oci.image_content import ImageContent
from stages.oci.model_layer import stream
from stages.oci.model_tar import file_header
from tests.support.small_image import make_image
from tests.support.weights import content, describe

LONG = "weights-of-a-rather-verbose-experiment-" * 5


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    (folder / "a b/ü").mkdir(parents=True)
    (folder / "weights.bin").write_bytes(bytes(range(256)) * 8192)  # two chunks
    (folder / "empty").touch()
    (folder / "a b/ü/names.txt").write_text("zero one two")
    (folder / LONG).write_bytes(b"x" * 512)
    return folder


def opened(layer: ModelLayer) -> tarfile.TarFile:
    return tarfile.open(fileobj=io.BytesIO(content(layer)))


def test_the_stream_is_what_was_described(model: Path) -> None:
    layer = describe(model, "/models/digits")
    written = content(layer)
    assert len(written) == layer.descriptor.size_bytes
    assert hashlib.sha256(written).hexdigest() == layer.descriptor.digest.encoded
    assert len(written) % tarfile.RECORDSIZE == 0
    assert max(map(len, stream(layer, FolderFiles(folder=model)))) <= 1024 * 1024


def test_any_tar_reads_it(model: Path) -> None:
    layer = describe(model, "/models/digits/")
    with opened(layer) as tar:
        assert [entry.name for entry in tar] == [
            "models",
            "models/digits",
            "models/digits/a b",
            "models/digits/a b/ü",
            "models/digits/a b/ü/names.txt",
            "models/digits/empty",
            f"models/digits/{LONG}",
            "models/digits/weights.bin",
        ]
        modes = {(entry.isdir(), entry.mode, entry.uid, entry.gid, entry.mtime) for entry in tar}
        assert modes == {(True, 0o755, 0, 0, 0), (False, 0o644, 0, 0, 0)}
        names = tar.extractfile("models/digits/a b/ü/names.txt")
        assert names is not None
        assert names.read() == b"zero one two"


def test_time_mode_and_place_of_the_files_do_not_matter(model: Path, tmp_path: Path) -> None:
    before = describe(model, "/models/digits")
    copy = tmp_path / "elsewhere"
    shutil.copytree(model, copy)
    (copy / "weights.bin").chmod(0o600)
    os.utime(copy / "weights.bin", (1, 1))
    after = describe(copy, "/models/digits")
    assert after.descriptor == before.descriptor
    assert after.files == before.files


def test_the_digest_is_the_same_on_every_machine(tmp_path: Path) -> None:
    (tmp_path / "weights.bin").write_bytes(b"weights")
    layer = describe(tmp_path, "/models/digits")
    assert (
        layer.descriptor.digest.encoded == "b3472aecfa8759a6dfe89bae86d325ac2517e166da94c064ef87cd07157803c8"
    )


@pytest.mark.parametrize("path", ["/models/other", "/digits"])
def test_the_path_is_part_of_the_layer(model: Path, path: str) -> None:
    assert describe(model, path).descriptor.digest != describe(model, "/models/digits").descriptor.digest


def test_a_header_of_a_huge_file_says_its_size(tmp_path: Path) -> None:
    header = tarfile.TarInfo.frombuf(file_header("huge", 2**33 - 1), "utf-8", "strict")
    assert header.size == 2**33 - 1
    assert b"size=8589934592" in file_header("huge", 2**33)  # beyond the octal field: a PAX record


def grow(file: Path) -> None:
    with file.open("ab") as stream_:
        stream_.write(b"more")


def shrink(file: Path) -> None:
    os.truncate(file, 5)


def replace_by_link(file: Path) -> None:
    file.rename(file.with_name("moved"))
    file.symlink_to("moved")


@pytest.mark.parametrize("change", [grow, shrink, replace_by_link, Path.unlink])
def test_a_file_that_changed_since_is_an_error(model: Path, change: object) -> None:
    assert callable(change)
    layer = describe(model, "/models/digits")
    change(model / "weights.bin")
    with pytest.raises(StageFailed, match=r"weights\.bin changed since"):
        content(layer)


def test_other_bytes_of_the_same_length_are_found_by_the_layers_digest(model: Path, tmp_path: Path) -> None:
    image = make_image(tmp_path / "image", {"app.py": b"1"}, model=model)
    file = model / "weights.bin"
    file.write_bytes(b"\xff" * file.stat().st_size)
    described = image.model_layers[0].descriptor
    (blob,) = (each for each in ImageContent.of(image).blobs if each.descriptor == described)
    with pytest.raises(StageFailed, match=r"names\.txt or one of 3 small files .* changed since the build"):
        list(BlobStream(blob).read(0, described.size_bytes))


def test_a_file_that_came_later_is_not_in_the_layer(model: Path) -> None:
    layer = describe(model, "/models/digits")
    (model / "later").write_text("later")
    assert hashlib.sha256(content(layer)).hexdigest() == layer.descriptor.digest.encoded
