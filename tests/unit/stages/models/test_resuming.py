from collections.abc import Iterator

import pytest

from pipeline.errors import RemoteError, StageFailed, TemporaryRemoteError
from stages.models.interface import SourceFile
from stages.models.resuming import read_resuming
from stages.oci.retries import Retries

CONTENT = bytes(range(256)) * 16
FILE = SourceFile(path="w.bin", size_bytes=len(CONTENT), identity="etag:1")
AT_ONCE = Retries(attempts=3, first_wait_s=0.0)


class Source:
    """Opens the content at an offset; each opening ends, or breaks, after its number of bytes."""

    def __init__(self, *ends: int | None, breaks: bool = False, tail: bytes = b"") -> None:
        self.ends = list(ends)
        self.breaks = breaks
        self.tail = tail
        self.opened: list[int] = []

    def __call__(self, offset: int) -> Iterator[bytes]:
        self.opened.append(offset)
        end = self.ends.pop(0) if self.ends else None
        yield from (CONTENT[offset:end][begin : begin + 100] for begin in range(0, len(CONTENT), 100))
        if end is not None and self.breaks:
            raise TemporaryRemoteError("connection reset")
        yield self.tail


def read(source: Source, offset: int = 0) -> bytes:
    return b"".join(read_resuming(source, FILE, "s3://models", offset, AT_ONCE))


@pytest.mark.parametrize("breaks", [False, True])
def test_it_goes_on_where_the_body_stopped(breaks: bool) -> None:
    source = Source(250, 1000, 1001, breaks=breaks)
    assert read(source) == CONTENT
    assert source.opened == [0, 250, 1000, 1001]


def test_it_begins_at_an_offset() -> None:
    source = Source()
    assert read(source, 4000) == CONTENT[4000:]
    assert source.opened == [4000]


def test_nothing_is_opened_where_nothing_is_left() -> None:
    source = Source()
    assert read(source, len(CONTENT)) == b""
    assert source.opened == []


def test_it_gives_up_when_no_byte_comes_any_more() -> None:
    source = Source(*[300] * 10)
    with pytest.raises(TemporaryRemoteError, match=r"s3://models/w\.bin ended after 300 of 4096 bytes"):
        read(source)
    assert source.opened == [0, 300, 300]


@pytest.mark.parametrize("size_bytes", [len(CONTENT), len(CONTENT) - 50])
def test_more_bytes_than_were_listed_are_another_file(size_bytes: int) -> None:
    file = SourceFile(path="w.bin", size_bytes=size_bytes, identity="etag:1")
    with pytest.raises(StageFailed, match="changed since it was listed"):
        list(read_resuming(Source(tail=b"more"), file, "s3://models", retries=AT_ONCE))


def test_a_refusal_is_not_asked_again() -> None:
    opened = []

    def refused(offset: int) -> Iterator[bytes]:
        opened.append(offset)
        raise RemoteError("no")

    with pytest.raises(RemoteError, match="no"):
        list(read_resuming(refused, FILE, "s3://models"))
    assert opened == [0]


def test_big_pieces_are_cut_to_a_megabyte() -> None:
    big = SourceFile(path="w.bin", size_bytes=5 << 19, identity="")
    pieces = list(read_resuming(lambda _: iter([bytes(5 << 19)]), big, "s3://models"))
    assert [len(piece) for piece in pieces] == [1 << 20, 1 << 20, 1 << 19]
