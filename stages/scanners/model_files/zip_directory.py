"""The table of contents of a zip archive, read strictly: what can be understood in two ways is refused.

Source: PKWARE APPNOTE 6.3.10, sections 4.3 and 4.4.
"""

import stat
import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from stages.scanners.model_files.content import Content, read_exactly
from stages.scanners.model_files.forward import Forward
from stages.scanners.model_files.look import LONGEST_NAME_BYTES, MOST_MEMBERS, Place, Stop

MAGIC = b"PK\x03\x04"
END = b"PK\x05\x06"
_END_BYTES = 22
_LONGEST_COMMENT = 65_535
_END64_LOCATOR = b"PK\x06\x07"
_END64 = b"PK\x06\x06"
_END64_BYTES = 56
_UNICODE_NAME = 0x7075
_ENTRY = b"PK\x01\x02"
_ZIP64 = 0xFFFFFFFF
_ENCRYPTED, _DESCRIPTOR = 0x0001, 0x0008
_MOST_DESCRIPTOR_BYTES = 24
STORED, DEFLATED = 0, 8
METHODS = {STORED: "", DEFLATED: "deflate"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """An entry of the table, and where its bytes are."""

    name: str
    method: int
    crc: int
    packed_size: int
    size: int
    begin: int
    """Offset of the local header."""
    data: int
    """Offset of the bytes."""
    directory: bool


@dataclass(frozen=True, slots=True)
class _End:
    count: int
    size: int
    offset: int
    position: int
    """Where the table has to end."""


def find_end(content: Content) -> int | None:
    """Return the offset of the end record that a reader of zip would find, or None."""
    length = min(content.size, _END_BYTES + _LONGEST_COMMENT)
    tail = content.read_at(content.size - length, length)
    position = tail.rfind(END)
    while position >= 0:
        if len(tail) - position >= _END_BYTES:
            return content.size - length + position
        position = tail.rfind(END, 0, position)
    return None


def holds_archive(content: Content) -> bool:
    """Tell whether a reader of zip would take the end of this content for an archive."""
    position = find_end(content)
    if position is None:
        return False
    try:
        end = _read_end(content, position)
    except Stop:
        return False
    if end.count == 0:
        return False
    begin = end.position - end.size
    return begin >= 0 and content.read_at(begin, 4) == _ENTRY


def members(content: Content, place: Place) -> tuple[Member, ...]:
    """Return what the archive holds; what could be read in another way is reported.

    Raises:
        Stop: it is no archive that can be read.
    """
    position = find_end(content)
    if position is None:
        raise Stop("unread", "truncated", "has no table of contents: the archive is not whole")
    end = _read_end(content, position)
    if end.offset + end.size != end.position:
        raise Stop("malformed", "zip-offset", "has a table of contents that is not where it says")
    comment = int.from_bytes(read_exactly(content, position + 20, 2, "the end of the archive"), "little")
    if position + _END_BYTES + comment != content.size:
        place.malformed("trailing-data", "has other bytes behind the archive")
    if end.count > MOST_MEMBERS:
        raise Stop("unread", "too-many-members", f"has {end.count} members; at most {MOST_MEMBERS} are read")
    found = tuple(_entries(content, end, place))
    _compare_places(found, end, place)
    return found


def _read_end(content: Content, position: int) -> _End:
    record = read_exactly(content, position, _END_BYTES, "the end of the archive")
    disk, start, here, count, size, offset = struct.unpack("<HHHHII", record[4:20])
    if (disk or start or here != count) and (disk, start) != (0xFFFF, 0xFFFF):
        raise Stop("unread", "zip-disks", "is one of several parts")
    locator = content.read_at(position - 20, 20) if position >= 20 else b""
    if locator[:4] != _END64_LOCATOR:
        return _End(count, size, offset, position)
    return _read_large_end(content, position, locator, (count, size, offset))


def _read_large_end(content: Content, position: int, locator: bytes, told: tuple[int, int, int]) -> _End:
    """Return what the ZIP64 record says; some readers take it whatever the smaller one says.

    Some read it right before its locator, and others where that points: it has to be one and the same.
    """
    at = int.from_bytes(locator[8:16], "little")
    if at != position - len(locator) - _END64_BYTES:
        raise Stop("malformed", "zip-offset", "has a large table of contents that is not where it says")
    large = read_exactly(content, at, _END64_BYTES, "the end of the archive")
    if large[:4] != _END64 or int.from_bytes(large[4:12], "little") != _END64_BYTES - 12:
        raise Stop("malformed", "zip-offset", "has no large table of contents where it says")
    here, *values = struct.unpack("<QQQQ", large[24:56])
    if here != values[0]:
        raise Stop("unread", "zip-disks", "is one of several parts")
    unsaid = (0xFFFF, _ZIP64, _ZIP64)
    if any(
        small not in {large_one, none} for small, large_one, none in zip(told, values, unsaid, strict=True)
    ):
        raise Stop("malformed", "zip-mismatch", "has two tables of contents")
    return _End(values[0], values[1], values[2], at)


def _entries(content: Content, end: _End, place: Place) -> Iterator[Member]:
    reader = Forward(content, end.offset)
    for _ in range(end.count):
        place.look.count_member()
        yield _entry(reader, content, place)
    if reader.position != end.position:
        raise Stop("malformed", "zip-offset", "has a table of contents of another length than it says")


def _entry(reader: Forward, content: Content, place: Place) -> Member:
    fixed = reader.take(46, "the table of contents")
    if fixed[:4] != _ENTRY:
        raise Stop("malformed", "zip-offset", "has a broken table of contents")
    made, flags, method = fixed[5], *struct.unpack("<HH", fixed[8:12])
    crc, packed, size, name_size, extra_size, comment_size = struct.unpack("<IIIHHH", fixed[16:34])
    mode, begin = struct.unpack("<II", fixed[38:46])
    raw = reader.take(name_size, "a name")
    extra = reader.take(extra_size, "the table of contents")
    reader.skip(comment_size, "the table of contents")
    size, packed, begin = _large(extra, size, packed, begin)
    if name_size > LONGEST_NAME_BYTES:
        raise Stop("malformed", "archive-name", f"has a name of {name_size} bytes")
    name = _name(raw, place)
    if _other_name(extra, raw):
        place.malformed("zip-mismatch", f"{name} has two names")
    if flags & _ENCRYPTED:
        raise Stop("unread", "encrypted", f"{name} is encrypted")
    if method not in METHODS:
        raise Stop("unread", "zip-method", f"{name} is compressed by method {method}, which is not read")
    if made == 3 and stat.S_IFMT(mode >> 16) == stat.S_IFLNK:
        place.unsafe("archive-link", f"{name} is a symbolic link")
    if name.endswith("/") and (packed or size):
        place.malformed("zip-hidden-data", f"{name} is a folder, and has content")
    data = _data(content, begin, raw, (flags, method, crc, packed, size), place)
    return Member(
        name=name, method=method, crc=crc, packed_size=packed, size=size, begin=begin, data=data,
        directory=name.endswith("/"),
    )  # fmt: skip


def _large(extra: bytes, size: int, packed: int, begin: int) -> tuple[int, int, int]:
    """Return size, packed size and offset, with those that stand in the ZIP64 field."""
    values = [size, packed, begin]
    position = 0
    while position + 4 <= len(extra):
        kind, length = struct.unpack("<HH", extra[position : position + 4])
        if kind == 1:
            field = extra[position + 4 : position + 4 + length]
            for number, value in enumerate(values):
                if value == _ZIP64:
                    if len(field) < 8:
                        raise Stop("malformed", "zip-mismatch", "has a member without its size")
                    values[number], field = int.from_bytes(field[:8], "little"), field[8:]
            break
        position += 4 + length
    return values[0], values[1], values[2]


def _other_name(extra: bytes, raw: bytes) -> bool:
    """Tell whether a field says another name, which newer readers take instead (APPNOTE 4.6.9)."""
    position = 0
    while position + 4 <= len(extra):
        kind, length = struct.unpack("<HH", extra[position : position + 4])
        if kind == _UNICODE_NAME and extra[position + 9 : position + 4 + length] != raw:
            return True
        position += 4 + length
    return False


def _data(
    content: Content, begin: int, raw: bytes, told: tuple[int, int, int, int, int], place: Place
) -> int:
    """Return where a member's bytes begin; its own header must say the same as the table."""
    fixed = read_exactly(content, begin, 30, "the header of a member")
    name = raw.decode("utf-8", "replace")
    if fixed[:4] != MAGIC:
        raise Stop("malformed", "zip-mismatch", f"{name} is not where the table of contents says")
    flags, method = struct.unpack("<HH", fixed[6:10])
    crc, packed, size, name_size, extra_size = struct.unpack("<IIIHH", fixed[14:30])
    extra = read_exactly(content, begin + 30 + name_size, extra_size, "the header of a member")
    own = read_exactly(content, begin + 30, name_size, "the name of a member")
    size, packed, _ = _large(extra, size, packed, 0)
    later = bool(flags & _DESCRIPTOR) and (crc, packed, size) == (0, 0, 0)
    same = (flags & ~0x800, method) == (told[0] & ~0x800, told[1]) and own == raw
    if not same or (not later and (crc, packed, size) != told[2:]):
        place.malformed("zip-mismatch", f"{name} is described in two different ways")
    return begin + 30 + len(own) + len(extra)


def _name(raw: bytes, place: Place) -> str:
    try:
        name = raw.decode()
    except UnicodeDecodeError:
        name = raw.decode("cp437")
    report_name(name, place)
    return name


def report_name(name: str, place: Place) -> None:
    """Report the name of a member that leads out of the folder that it is unpacked into."""
    plain = name.replace("\\", "/")
    if plain.startswith("/") or plain[1:2] == ":" or ".." in plain.split("/") or "\0" in name:
        place.unsafe("archive-path", f"{name!r} leads out of the folder that the archive is unpacked into")


def _compare_places(found: tuple[Member, ...], end: _End, place: Place) -> None:
    """Report members of one name or in one place, and bytes that no member has."""
    for name in (name for name, count in Counter(one.name for one in found).items() if count > 1):
        place.malformed("archive-duplicate", f"has {name} more than once")
    position = 0
    for member in sorted(found, key=lambda one: one.begin):
        gap = member.begin - position
        if gap < 0:
            place.malformed("zip-overlap", f"{member.name} overlaps with another member")
        elif gap > (_MOST_DESCRIPTOR_BYTES if position else 0):
            place.malformed("zip-hidden-data", f"has {gap} bytes before {member.name} that no member has")
        position = max(position, member.data + member.packed_size)
    gap = end.offset - position
    if gap < 0:
        place.malformed("zip-overlap", "has members that overlap with the table of contents")
    elif gap > (_MOST_DESCRIPTOR_BYTES if found else 0):
        place.malformed("zip-hidden-data", f"has {gap} bytes behind its members that none has")
