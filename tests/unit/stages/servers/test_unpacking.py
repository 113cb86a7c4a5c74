"""Weights out of a registry's layer: the same files, or a refusal."""

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.errors import RemoteError
from pipeline.model import Descriptor
from pipeline.reference import Digest
from stages.oci.model_tar import LAYER_TYPE
from stages.servers.unpacking import unpack
from tests.support.weights import content, describe


def pieces(layer: bytes, size: int = 700) -> Iterator[bytes]:
    yield from (layer[begin : begin + size] for begin in range(0, len(layer), size))


def descriptor(layer: bytes) -> Descriptor:
    return Descriptor(media_type=LAYER_TYPE, digest=Digest.of(layer), size_bytes=len(layer))


def test_a_layer_becomes_the_files_that_it_was_made_of(tmp_path: Path) -> None:
    model = tmp_path / "model"
    (model / "1").mkdir(parents=True)
    (model / "config.json").write_text("{}")
    (model / "1" / "weights.bin").write_bytes(bytes(range(256)) * 20)
    layer = describe(model, "/models/tiny")
    found = unpack(pieces(content(layer)), layer.descriptor, "/models/tiny", tmp_path / "unpacked")
    assert (found.descriptor, found.path) == (layer.descriptor, layer.path)
    assert {each.path: each.digest for each in found.files} == {
        each.path: each.digest for each in layer.files
    }
    assert (tmp_path / "unpacked/1/weights.bin").read_bytes() == bytes(range(256)) * 20
    assert content(found) == content(layer)


def test_other_bytes_are_refused(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model/weights.bin").write_bytes(b"good")
    layer = describe(tmp_path / "model", "/models/tiny")
    bad = content(layer).replace(b"good", b"evil")
    with pytest.raises(RemoteError, match="other bytes"):
        unpack(pieces(bad), layer.descriptor, "/models/tiny", tmp_path / "unpacked")


@pytest.mark.parametrize(
    "member",
    [
        tarfile.TarInfo("etc/passwd"),
        tarfile.TarInfo("models/tiny/../../etc/passwd"),
        tarfile.TarInfo("/models/tiny/../../../etc/passwd"),
    ],
)
def test_nothing_is_written_elsewhere(tmp_path: Path, member: tarfile.TarInfo) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(member)
    layer = buffer.getvalue()
    with pytest.raises(RemoteError, match="no layer of weights"):
        unpack(pieces(layer), descriptor(layer), "/models/tiny", tmp_path / "unpacked")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_link_is_refused(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        link = tarfile.TarInfo("models/tiny/weights")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    layer = buffer.getvalue()
    with pytest.raises(RemoteError, match="no plain file"):
        unpack(pieces(layer), descriptor(layer), "/models/tiny", tmp_path / "unpacked")
    with pytest.raises(RemoteError, match="no layer of weights"):
        unpack(pieces(b"x" * 5000), descriptor(b"x" * 5000), "/models/tiny", tmp_path / "again")
