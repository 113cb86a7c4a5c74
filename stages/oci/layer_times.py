"""Makes the files of a layer no younger than a given time, in the headers of its tar and nowhere else.

Everything but the times keeps its bytes: a tar that were read and written again by a library would lose what
the library does not know (attributes, sparse files, order of PAX records).

Source: POSIX.1-2017 pax, "ustar Interchange Format" and "pax Extended Header"; GNU tar manual, "Basic Tar".
"""

import re
from collections.abc import Iterator
from typing import IO

from pipeline.errors import StageFailed

BLOCK_BYTES = 512
COPY_BYTES = 1024 * 1024
_EMPTY = bytes(BLOCK_BYTES)
_LARGEST_RECORDS_BYTES = 1024 * 1024  # what Go's archive/tar, which engines use, reads at most
_WITHOUT_CONTENT = b"123456"  # links, devices, folders, pipes: a size in their header means nothing
_LONG_NAMES = b"LK"
_SIZE, _TIME, _CHECKSUM = slice(124, 136), slice(136, 148), slice(148, 156)
_TIMES = (b"mtime", b"atime", b"ctime")
_RECORD_LENGTH = re.compile(rb"([1-9][0-9]*) ")
_SECONDS = re.compile(rb"(-?[0-9]+)(?:\.([0-9]*))?")


def clamp_times(tar: IO[bytes], newest_s: int) -> Iterator[bytes]:
    """Yield a tar in pieces; times after `newest_s` (seconds since 1970) have become that time.

    Raises:
        StageFailed: this is no tar, or it can be read in more than one way.
    """
    size_of_next: int | None = None  # a PAX record's size counts for the file that follows it
    while header := tar.read(BLOCK_BYTES):
        if header == _EMPTY:
            yield header
            yield from _copy_rest(tar)
            return
        _refuse_broken(header)
        kind = header[156:157]
        if kind in b"xg":
            records = _records(_read(tar, _number(header[_SIZE])))
            yield _with_records(header, records, newest_s)
            size_of_next = _said_size(records, kind)
            continue
        yield _clamped(header, newest_s)
        if kind == b"S":
            yield from _copy_sparse_map(tar, header)
        if kind in _LONG_NAMES:
            yield from _copy(tar, _padded(_number(header[_SIZE])))
            continue
        size = _number(header[_SIZE]) if size_of_next is None else size_of_next
        yield from _copy(tar, 0 if kind in _WITHOUT_CONTENT else _padded(size))
        size_of_next = None


def _clamped(header: bytes, newest_s: int) -> bytes:
    if not _is_later(header[_TIME], newest_s):
        return header
    return _sealed(header[: _TIME.start] + b"%011o\0" % newest_s + header[_TIME.stop :])


def _is_later(field: bytes, newest_s: int) -> bool:
    return not field.startswith(b"\xff") and _number(field) > newest_s  # 0xff: before 1970


def _sealed(header: bytes) -> bytes:
    """Return a header with the checksum that it needs, for which the checksum itself counts as spaces."""
    total = sum(header[: _CHECKSUM.start]) + sum(header[_CHECKSUM.stop :]) + 8 * ord(" ")
    return header[: _CHECKSUM.start] + b"%06o\0 " % total + header[_CHECKSUM.stop :]


def _with_records(header: bytes, records: list[tuple[bytes, bytes]], newest_s: int) -> bytes:
    """Return a PAX header and its records, with their times clamped."""
    data = b"".join(
        _record(key, _clamped_time(value, newest_s) if key in _TIMES else value) for key, value in records
    )
    sized = header[: _SIZE.start] + b"%011o\0" % len(data) + header[_SIZE.stop :]
    return _sealed(_clamped(sized, newest_s)) + data.ljust(_padded(len(data)), b"\0")


def _clamped_time(value: bytes, newest_s: int) -> bytes:
    found = _SECONDS.fullmatch(value)
    if found is None:
        raise _unreadable(f"a time is {value[:40]!r}")
    later = int(found[1]) > newest_s or (int(found[1]) == newest_s and (found[2] or b"").strip(b"0") != b"")
    return b"%d" % newest_s if later else value


def _records(data: bytes) -> list[tuple[bytes, bytes]]:
    """Read PAX records: `LENGTH KEY=VALUE\\n`, where the length counts the whole record."""
    found, begin = [], 0
    while begin < len(data):
        prefix = _RECORD_LENGTH.match(data, begin)
        end = begin + int(prefix[1]) if prefix else 0
        body = data[prefix.end() : end] if prefix else b""
        key, equals, value = body[:-1].partition(b"=")
        if end > len(data) or not body.endswith(b"\n") or not equals or not key:
            raise _unreadable(f"a PAX record is {data[begin : begin + 40]!r}")
        found.append((key, value))
        begin = end
    return found


def _record(key: bytes, value: bytes) -> bytes:
    rest = b" %s=%s\n" % (key, value)
    length = len(rest)
    while length != len(b"%d" % length) + len(rest):
        length = len(b"%d" % length) + len(rest)
    return b"%d%s" % (length, rest)


def _said_size(records: list[tuple[bytes, bytes]], kind: bytes) -> int | None:
    sizes = [value for key, value in records if key == b"size"]
    if not sizes:
        return None
    if kind == b"g" or len(sizes) > 1 or not sizes[0].isdigit():
        raise _unreadable(f"a PAX record says the size {sizes[-1][:40]!r}")
    return int(sizes[0])


def _number(field: bytes) -> int:
    """Read a number: octal digits, or binary where it would not fit."""
    if field[0] & 0x80:
        number = int.from_bytes(field, "big", signed=True) & (1 << 8 * len(field) - 1) - 1
        if field[0] & 0x40:
            raise _unreadable(f"a size or time is {field!r}")
        return number
    digits = field.strip(b" \0")
    try:
        return int(digits or b"0", 8)
    except ValueError:
        raise _unreadable(f"a size or time is {field!r}") from None


def _refuse_broken(header: bytes) -> None:
    if len(header) != BLOCK_BYTES:
        raise _unreadable("it ends in a header")
    if _number(header[_CHECKSUM]) != _number(_sealed(header)[_CHECKSUM]):
        raise _unreadable("a header does not fit its checksum")


def _read(tar: IO[bytes], size: int) -> bytes:
    """Read PAX records, which stand in memory at once."""
    if size > _LARGEST_RECORDS_BYTES:
        raise _unreadable(f"it has {size} bytes of PAX records for one file")
    return b"".join(_copy(tar, _padded(size)))[:size]


def _copy_sparse_map(tar: IO[bytes], header: bytes) -> Iterator[bytes]:
    """Yield what an old GNU header says of a sparse file's holes beyond what has room in it."""
    more = header[482]
    while more:
        (block,) = _copy(tar, BLOCK_BYTES)
        yield block
        more = block[504]


def _copy(tar: IO[bytes], size: int) -> Iterator[bytes]:
    while size:
        chunk = tar.read(min(size, COPY_BYTES))
        if not chunk:
            raise _unreadable("it ends in a file")
        size -= len(chunk)
        yield chunk


def _copy_rest(tar: IO[bytes]) -> Iterator[bytes]:
    while chunk := tar.read(COPY_BYTES):
        yield chunk


def _padded(size: int) -> int:
    return -(-size // BLOCK_BYTES) * BLOCK_BYTES


def _unreadable(why: str) -> StageFailed:
    return StageFailed(
        f"a layer that the engine saved cannot be read as a tar: {why}",
        advice="Run the build again; if it stays so, choose a builder of the docker-container driver.",
    )
