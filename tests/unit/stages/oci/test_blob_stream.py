from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pytest

from pipeline.errors import StageFailed
from pipeline.model import Descriptor
from pipeline.reference import Digest
from stages.oci.blob_stream import Blob, BlobStream, skipped

CONTENT = hashlib.shake_256(b"stream").digest(1_000_000)


def stream(content: bytes = CONTENT, opened: list[int] | None = None) -> BlobStream:
    def read(offset: int) -> Iterator[bytes]:
        if opened is not None:
            opened.append(offset)
        return (content[i : i + 70_000] for i in range(offset, len(content), 70_000))

    descriptor = Descriptor(media_type="x", digest=Digest.of(CONTENT), size_bytes=len(CONTENT))
    return BlobStream(Blob(descriptor=descriptor, read=read))


def taken(stream: BlobStream, begin: int, end: int) -> bytes:
    return b"".join(stream.read(begin, end))


def test_one_chunk_after_the_other_opens_the_source_once() -> None:
    opened: list[int] = []
    blob = stream(opened=opened)
    parts = [taken(blob, i, min(i + 123_456, len(CONTENT))) for i in range(0, len(CONTENT), 123_456)]
    assert b"".join(parts) == CONTENT
    assert (opened, blob.sent_bytes) == ([0], len(CONTENT))


def test_what_is_read_again_is_hashed_once_and_counted_twice() -> None:
    opened: list[int] = []
    blob = stream(opened=opened)
    assert taken(blob, 0, 400_000) == CONTENT[:400_000]
    assert taken(blob, 250_001, 600_000) == CONTENT[250_001:600_000]
    assert taken(blob, 600_000, len(CONTENT)) == CONTENT[600_000:]
    assert (opened, blob.sent_bytes) == ([0, 250_001], len(CONTENT) + 149_999)


def test_a_read_that_was_broken_off_goes_on_anywhere() -> None:
    blob = stream()
    pieces = blob.read(0, 500_000)
    next(pieces)
    next(pieces)
    assert taken(blob, 100_000, len(CONTENT)) == CONTENT[100_000:]


@pytest.mark.parametrize(
    "changed", [b"", CONTENT[:-1], CONTENT + b"!", b"!" + CONTENT[1:], CONTENT[:-1] + b"!"], ids=len
)
def test_a_change_is_found_before_the_last_piece(changed: bytes) -> None:
    got = bytearray()

    def read() -> None:
        for piece in stream(changed).read(0, len(CONTENT)):
            got.extend(piece)

    with pytest.raises(StageFailed, match="changed since the build"):
        read()
    assert len(got) < len(CONTENT)


def test_a_change_between_two_readings_of_a_byte_is_left_to_the_registry() -> None:
    """Only the registry knows which of both it has; it compares the digest of what it has."""
    assert taken(stream(), 500_000, len(CONTENT)) == CONTENT[500_000:]


@pytest.mark.parametrize("offset", [0, 1, 3, 4, 9, 10, 11])
def test_a_source_without_offsets_is_skipped_through(offset: int) -> None:
    assert b"".join(skipped(iter([b"abc", b"", b"defg", b"hij"]), offset)) == b"abcdefghij"[offset:]


def test_of_two_streams_of_a_blob_one_hashes_and_each_registry_compares() -> None:
    content = CONTENT[:-1] + b"!"
    first = stream(content)
    second = BlobStream(first.blob)
    with pytest.raises(StageFailed, match="changed since the build"):
        taken(first, 0, len(CONTENT))
    assert taken(second, 0, len(CONTENT)) == content
