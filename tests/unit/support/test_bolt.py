"""The database writer, checked by a reader that follows the format's description."""

from __future__ import annotations

import struct
from pathlib import Path

from tests.support.bolt import PAGE_SIZE, Bucket, fnv1a_64, write_bolt

BRANCH, LEAF, BUCKET = 0x01, 0x02, 0x01


class Reader:
    def __init__(self, path: Path) -> None:
        self.data = path.read_bytes()

    def root(self) -> int:
        metas = [self.meta(page) for page in (0, 1)]
        return max(metas, key=lambda meta: meta[8])[4]

    def meta(self, page: int) -> tuple[int, ...]:
        start = page * PAGE_SIZE + 16
        fields = struct.unpack_from("<IIIIQQQQQ", self.data, start)
        (checksum,) = struct.unpack_from("<Q", self.data, start + 56)
        assert checksum == fnv1a_64(self.data[start : start + 56])
        return fields

    def bucket(self, page: int) -> dict[bytes, object]:
        start = page * PAGE_SIZE
        identifier, flags, count, _overflow = struct.unpack_from("<QHHI", self.data, start)
        assert identifier == page
        entries: dict[bytes, object] = {}
        for element in range(start + 16, start + 16 + 16 * count, 16):
            if flags == BRANCH:
                offset, key_size, child = struct.unpack_from("<IIQ", self.data, element)
                below = self.bucket(child)
                assert min(below) == self.data[element + offset : element + offset + key_size]
                assert not entries or max(entries) < min(below)
                entries |= below
            else:
                assert flags == LEAF
                kind, offset, key_size, value_size = struct.unpack_from("<IIII", self.data, element)
                key = self.data[element + offset : element + offset + key_size]
                value = self.data[element + offset + key_size : element + offset + key_size + value_size]
                entries[key] = self.bucket(struct.unpack("<QQ", value)[0]) if kind == BUCKET else value
        assert list(entries) == sorted(entries)
        return entries


def read_back(path: Path, root: Bucket) -> dict[bytes, object]:
    write_bolt(path, root)
    reader = Reader(path)
    assert len(reader.data) == reader.meta(1)[7] * PAGE_SIZE
    return reader.bucket(reader.root())


def test_nested_buckets_and_values_are_read_back(tmp_path: Path) -> None:
    root: Bucket = {"b": {"inner": {"key": b"value"}, "empty": b""}, "a": {}}
    expected = {b"a": {}, b"b": {b"empty": b"", b"inner": {b"key": b"value"}}}
    assert read_back(tmp_path / "db", root) == expected


def test_many_keys_make_a_tree_of_several_levels(tmp_path: Path) -> None:
    values: dict[str, Bucket | bytes] = {f"{n:06}" * 20: str(n).encode() * 10 for n in range(3000)}
    expected = {key.encode(): value for key, value in values.items()}
    assert read_back(tmp_path / "db", {"many": values}) == {b"many": expected}


def test_a_value_larger_than_a_page_overflows_into_the_next_ones(tmp_path: Path) -> None:
    large = bytes(range(256)) * 100
    root: Bucket = {"bucket": {"a": b"before", "large": large, "z": b"after"}}
    assert read_back(tmp_path / "db", root) == {b"bucket": {b"a": b"before", b"large": large, b"z": b"after"}}


def test_the_checksum_is_fnv_1a() -> None:
    assert fnv1a_64(b"") == 0xCBF29CE484222325
    assert fnv1a_64(b"foobar") == 0x85944171F73967E8
