"""Writes bbolt databases, the single-file B+tree that Trivy reads its advisories from.

The format is that of go.etcd.io/bbolt, version 2: pages of 4096 bytes: two meta pages, a free list, trees.
Every bucket gets pages of its own; bbolt also knows inline buckets, which readers do not require.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

Bucket: TypeAlias = "Mapping[str, Bucket | bytes]"

PAGE_SIZE = 4096
MAGIC = 0xED0CDAED
VERSION = 2

_PAGE_HEADER = struct.Struct("<QHHI")  # page id, flags, number of elements, pages that overflow from this one
_BRANCH_PAGE, _LEAF_PAGE, _META_PAGE, _FREELIST_PAGE = 0x01, 0x02, 0x04, 0x10
_META = struct.Struct(
    "<IIIIQQQQQ"
)  # magic, version, page size, flags, root, sequence, free list, end, transaction
_LEAF_ELEMENT = struct.Struct("<IIII")  # flags, offset of the key from here, key size, value size
_BRANCH_ELEMENT = struct.Struct("<IIQ")  # offset of the key from here, key size, page id
_BUCKET_VALUE = struct.Struct("<QQ")  # root page, sequence
_BUCKET_FLAG = 0x01
_META_PAGES, _FREELIST_AT, _FIRST_TREE_PAGE = (0, 1), 2, 3


@dataclass(frozen=True, slots=True)
class _Element:
    """A key and what belongs to it: a value, a bucket or, in a branch, the page that begins with it."""

    key: bytes
    value: bytes = b""
    flags: int = 0
    page: int = 0


@dataclass(slots=True)
class _File:
    pages: list[bytes] = field(default_factory=list)

    def add_bucket(self, bucket: Bucket) -> int:
        """Store a bucket with everything in it and return the id of its root page."""
        elements = [self._leaf_element(key.encode(), bucket[key]) for key in sorted(bucket, key=str.encode)]
        level = [self._add_page(_LEAF_PAGE, chunk) for chunk in _chunks(elements, _LEAF_ELEMENT)]
        while len(level) > 1:
            level = [self._add_page(_BRANCH_PAGE, chunk) for chunk in _chunks(level, _BRANCH_ELEMENT)]
        return level[0].page

    def _leaf_element(self, key: bytes, value: Bucket | bytes) -> _Element:
        if isinstance(value, bytes):
            return _Element(key, value)
        return _Element(key, _BUCKET_VALUE.pack(self.add_bucket(value), 0), _BUCKET_FLAG)

    def _add_page(self, kind: int, elements: Sequence[_Element]) -> _Element:
        """Append a page and return the element by which a branch refers to it."""
        identifier = _FIRST_TREE_PAGE + len(self.pages)
        content = _leaf(elements) if kind == _LEAF_PAGE else _branch(elements)
        overflow = (_PAGE_HEADER.size + len(content) - 1) // PAGE_SIZE
        page = _PAGE_HEADER.pack(identifier, kind, len(elements), overflow) + content
        page = page.ljust((overflow + 1) * PAGE_SIZE, b"\0")
        self.pages.extend(page[start : start + PAGE_SIZE] for start in range(0, len(page), PAGE_SIZE))
        return _Element(elements[0].key if elements else b"", page=identifier)


def write_bolt(path: Path, root: Bucket) -> None:
    """Write a database whose top-level buckets are the entries of `root`."""
    file = _File()
    root_page = file.add_bucket(root)
    high_water = _FIRST_TREE_PAGE + len(file.pages)
    # Of the two meta pages the one with the higher transaction id counts.
    metas = [_meta(identifier, root_page, high_water) for identifier in _META_PAGES]
    free_list = _PAGE_HEADER.pack(_FREELIST_AT, _FREELIST_PAGE, 0, 0).ljust(PAGE_SIZE, b"\0")
    path.write_bytes(b"".join([*metas, free_list, *file.pages]))


def fnv1a_64(data: bytes) -> int:
    """Return the 64-bit FNV-1a hash, which guards the meta pages."""
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return value


def _meta(identifier: int, root_page: int, high_water: int) -> bytes:
    meta = _META.pack(MAGIC, VERSION, PAGE_SIZE, 0, root_page, 0, _FREELIST_AT, high_water, identifier)
    page = _PAGE_HEADER.pack(identifier, _META_PAGE, 0, 0) + meta + struct.pack("<Q", fnv1a_64(meta))
    return page.ljust(PAGE_SIZE, b"\0")


def _chunks(elements: Sequence[_Element], header: struct.Struct) -> Iterable[Sequence[_Element]]:
    """Split elements so that each chunk fills a page at most; a larger element stands alone."""
    start, used = 0, _PAGE_HEADER.size
    for index, element in enumerate(elements):
        size = header.size + len(element.key) + len(element.value)
        if index > start and used + size > PAGE_SIZE:
            yield elements[start:index]
            start, used = index, _PAGE_HEADER.size
        used += size
    yield elements[start:]


def _leaf(elements: Sequence[_Element]) -> bytes:
    headers, bodies = bytearray(), bytearray()
    for index, element in enumerate(elements):
        offset = (len(elements) - index) * _LEAF_ELEMENT.size + len(bodies)
        headers += _LEAF_ELEMENT.pack(element.flags, offset, len(element.key), len(element.value))
        bodies += element.key + element.value
    return bytes(headers + bodies)


def _branch(elements: Sequence[_Element]) -> bytes:
    headers, keys = bytearray(), bytearray()
    for index, element in enumerate(elements):
        offset = (len(elements) - index) * _BRANCH_ELEMENT.size + len(keys)
        headers += _BRANCH_ELEMENT.pack(offset, len(element.key), element.page)
        keys += element.key
    return bytes(headers + keys)
