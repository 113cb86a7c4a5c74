"""Weights are read once, and not again while nothing speaks for a change."""

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from pipeline.desk import Desk
from pipeline.errors import ConfigurationError, StageFailed
from pipeline.model import Check, ModelLayer
from pipeline.reference import Digest
from stages.models.interface import Files, SourceFile
from stages.oci.known_digests import KnownDigests
from stages.oci.model_groups import BIG_BYTES
from stages.oci.model_layer import stream
from stages.oci.model_recipes import describe

BIG, OTHER_BIG = bytes(range(256)) * (BIG_BYTES // 256), bytes(range(255)) * (BIG_BYTES // 255 + 1)
SMALL = {"config.json": b"{}", "part/vocab.txt": b"zero one two", "part/empty": b""}
CONTENTS = {"a.bin": BIG, "z.bin": OTHER_BIG, **SMALL}


@dataclass(frozen=True)
class Remote:
    """A source of files in memory that notes what is read."""

    contents: dict[str, bytes]
    version: str = "1"
    settled: bool = True
    tells_digests: bool = False
    read_paths: list[str] = field(default_factory=list)
    name: str = "memory://model"
    local_folder: Path | None = None

    def check(self, desk: Desk) -> tuple[Check, ...]:
        return ()

    def list(self, desk: Desk) -> tuple[SourceFile, ...]:
        return tuple(
            SourceFile(
                path=path,
                size_bytes=len(content),
                identity=f"{self.name}/{path}#{self.version}",
                digest=Digest.of(content) if self.tells_digests else None,
                settled=self.settled,
            )
            for path, content in self.contents.items()
        )

    def read(self, file: SourceFile, offset: int = 0) -> Iterator[bytes]:
        self.read_paths.append(file.path)
        assert file.identity == f"{self.name}/{file.path}#{self.version}"
        for begin in range(offset, file.size_bytes, 1 << 20):
            yield self.contents[file.path][begin : begin + (1 << 20)]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(folder=tmp_path, cache=tmp_path)


def described(files: Files, desk: Desk, *, verify: bool = False, path: str = "/m") -> tuple[ModelLayer, ...]:
    return describe(files, path, desk, KnownDigests(desk.cache / "known.json", verify=verify))


def test_each_layer_is_what_its_stream_gives(desk: Desk) -> None:
    files = Remote(CONTENTS)
    layers = described(files, desk)
    assert [[file.path for file in layer.files] for layer in layers] == [["a.bin"], ["z.bin"], sorted(SMALL)]
    for layer in layers:
        content = b"".join(stream(layer, files))
        assert Digest.of(content) == layer.descriptor.digest
        assert len(content) == layer.descriptor.size_bytes
        assert layer.source == "memory://model"
        for file in layer.files:
            assert file.digest == Digest.of(CONTENTS[file.path])


def test_a_stream_begins_at_any_byte(desk: Desk) -> None:
    files = Remote(SMALL | {"a.bin": b"x" * 1000})
    (layer,) = described(files, desk)
    whole = b"".join(stream(layer, files))
    for offset in (*range(0, len(whole), 97), 511, 512, 513, len(whole) - 1, len(whole)):
        assert b"".join(stream(layer, files, offset)) == whole[offset:]


def test_every_file_is_read_once_and_then_never_again(desk: Desk) -> None:
    files = Remote(CONTENTS)
    first = described(files, desk)
    assert sorted(files.read_paths) == sorted(CONTENTS)
    assert described(files, desk) == first
    assert sorted(files.read_paths) == sorted(CONTENTS)


def test_to_verify_is_to_read_everything(desk: Desk) -> None:
    files = Remote(CONTENTS)
    first = described(files, desk)
    assert described(files, desk, verify=True) == first
    assert sorted(files.read_paths) == sorted([*CONTENTS, *CONTENTS])


def test_nothing_is_remembered_of_a_file_that_may_yet_change(desk: Desk) -> None:
    files = Remote(CONTENTS, settled=False)
    described(files, desk)
    described(files, desk)
    assert sorted(files.read_paths) == sorted([*CONTENTS, *CONTENTS])


def test_a_second_write_within_one_tick_is_noticed_once_the_file_has_rested(desk: Desk) -> None:
    described(Remote({"a": b"old"}, settled=False), desk)
    (layer,) = described(Remote({"a": b"new"}), desk)  # the same times, and now they are old enough
    assert layer.files[0].digest == Digest.of(b"new")


def test_what_was_remembered_is_not_believed_of_a_file_that_may_yet_change(desk: Desk) -> None:
    described(Remote({"a": b"old"}), desk)
    (layer,) = described(Remote({"a": b"new"}, settled=False), desk)
    assert layer.files[0].digest == Digest.of(b"new")


def test_only_the_group_of_a_changed_file_is_read_again(desk: Desk) -> None:
    before = described(Remote(CONTENTS), desk)
    files = Remote(CONTENTS | {"config.json": b"[]"}, version="2", tells_digests=True)
    after = described(files, desk)
    assert sorted(files.read_paths) == sorted(SMALL)
    assert [new.descriptor == old.descriptor for new, old in zip(after, before, strict=True)] == [
        True,
        True,
        False,
    ]


def test_a_layer_is_known_wherever_its_files_come_from(desk: Desk) -> None:
    before = described(Remote(CONTENTS), desk)
    files = Remote(CONTENTS, name="memory://elsewhere", tells_digests=True)
    after = described(files, desk)
    assert not files.read_paths
    assert [layer.descriptor for layer in after] == [layer.descriptor for layer in before]
    assert after[0].files[0].identity == "memory://elsewhere/a.bin#1"


def test_another_place_in_the_image_is_another_layer(desk: Desk) -> None:
    (one,), (other,) = (described(Remote(SMALL), desk, path=path) for path in ("/m", "/n"))
    assert one.descriptor.digest != other.descriptor.digest


def test_the_order_of_the_list_does_not_matter(desk: Desk) -> None:
    turned = dict(reversed(list(CONTENTS.items())))
    assert described(Remote(turned), desk, verify=True) == described(Remote(CONTENTS), desk, verify=True)


class Damaged(Remote):
    def list(self, desk: Desk) -> tuple[SourceFile, ...]:
        return tuple(replace(file, digest=Digest.of(b"other")) for file in super().list(desk))


def test_bytes_that_are_not_what_the_source_says_are_refused(desk: Desk) -> None:
    with pytest.raises(StageFailed, match="its source says"):
        described(Damaged({"a.bin": b"bytes"}), desk)


def test_names_are_looked_at_before_anything_is_read(desk: Desk) -> None:
    files = Remote({"a.bin": BIG, "../b": b"b"})
    with pytest.raises(ConfigurationError, match="climbs out"):
        described(files, desk)
    assert not files.read_paths


class Failing(Remote):
    def read(self, file: SourceFile, offset: int = 0) -> Iterator[bytes]:
        if file.path == "z.bin":
            raise StageFailed("the disk is gone")
        return super().read(file, offset)


def test_an_error_ends_it_and_what_was_read_is_kept(desk: Desk) -> None:
    with pytest.raises(StageFailed, match="the disk is gone"):
        described(Failing({"a.bin": BIG, "z.bin": OTHER_BIG}), desk)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("hash")]
    files = Remote(CONTENTS)
    described(files, desk)
    assert "z.bin" in files.read_paths


def test_the_progress_is_said(tmp_path: Path) -> None:
    said: list[str] = []
    described(Remote(CONTENTS), Desk(folder=tmp_path, cache=tmp_path, say=said.append))
    assert said[-1].startswith("reading memory://model: 16.8 MB in ")


def test_a_known_file_of_big_content_keeps_its_digest(desk: Desk) -> None:
    (layer,) = described(Remote({"a.bin": BIG}), desk)
    assert layer.files[0].digest.encoded == hashlib.sha256(BIG).hexdigest()
