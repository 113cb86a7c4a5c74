"""Times in a tar's headers, in tars of every kind and in tars that nobody should have written."""

import io
import random
import tarfile
from collections.abc import Iterator

import pytest

from pipeline.errors import StageFailed
from stages.oci.layer_times import clamp_times

NEWEST = 315_619_200
YOUNG = 1_790_000_000


def clamped(tar: bytes) -> bytes:
    return b"".join(clamp_times(io.BytesIO(tar), NEWEST))


def entry(
    name: str, kind: bytes = tarfile.REGTYPE, *, time: float = YOUNG, **said: object
) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.mtime = kind, time
    for key, value in said.items():
        setattr(made, key, value)
    return made


def tar(*entries: tarfile.TarInfo, format: int = tarfile.PAX_FORMAT, content: bytes = b"x" * 700) -> bytes:  # noqa: A002
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=format) as archive:
        for one in entries:
            has_content = one.type not in {
                tarfile.DIRTYPE,
                tarfile.LNKTYPE,
                tarfile.SYMTYPE,
                tarfile.FIFOTYPE,
            }
            one.size = len(content) if has_content else 0
            archive.addfile(one, io.BytesIO(content) if has_content else None)
    return buffer.getvalue()


def read(content: bytes) -> Iterator[tuple[object, bytes]]:
    """Yield all that a tar says of each file, times apart, and its content."""
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        for member in archive:
            file = archive.extractfile(member) if member.isreg() else None
            pax = {key: value for key, value in member.pax_headers.items() if "time" not in key}
            information = {
                **member.get_info(),
                "mtime": None,
                "chksum": None,
                "pax": pax,
                "link": member.linkname,
            }
            yield information, file.read() if file else b""


def times(content: bytes) -> list[float]:
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        return [member.mtime for member in archive]


ATTRIBUTES = {"SCHILY.xattr.security.capability": "\x01\x00\x02", "SCHILY.xattr.user.note": "a=b\nc"}
ENTRIES = (
    entry("folder", tarfile.DIRTYPE, mode=0o1777),
    entry("folder/plain", uid=1000, gid=1000),
    entry("folder/old", time=1000),
    entry("folder/fraction", time=YOUNG + 0.123456),
    entry("folder/old with a fraction", time=1000.5),
    entry("folder/attributes", pax_headers=ATTRIBUTES),
    entry("folder/" + "long " * 60),
    entry("folder/größe"),
    entry("hard", tarfile.LNKTYPE, linkname="folder/plain"),
    entry("soft", tarfile.SYMTYPE, linkname="../" * 60),
    entry("pipe", tarfile.FIFOTYPE),
    entry("huge owner", uid=2**31, gid=2**31),
    entry(".wh.removed"),
)


@pytest.mark.parametrize("format", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_young_files_are_clamped_and_nothing_else_changes(format: int) -> None:  # noqa: A002
    before = tar(*ENTRIES, format=format)
    after = clamped(before)
    assert list(read(after)) == list(read(before))
    assert times(after) == [min(time, NEWEST) for time in times(before)]
    assert clamped(after) == after


def test_a_tar_without_young_files_keeps_every_byte() -> None:
    before = tar(*(entry(f"file {number}", time=number * 1.5) for number in range(20)))
    assert clamped(before) == before


def test_the_same_files_written_at_other_times_give_the_same_bytes() -> None:
    one = tar(*(entry("a", time=YOUNG + 0.5), entry("b", time=YOUNG)))
    other = tar(*(entry("a", time=YOUNG + 77.123456), entry("b", time=YOUNG + 1)))
    assert one != other
    assert clamped(one) == clamped(other)


def test_access_and_change_times_are_clamped_too() -> None:
    records = {"atime": f"{YOUNG}.25", "ctime": "1000.25"}
    with tarfile.open(fileobj=io.BytesIO(clamped(tar(entry("a", pax_headers=records))))) as archive:
        assert archive.next().pax_headers == {"atime": str(NEWEST), "ctime": "1000.25"}  # type: ignore[union-attr]


def test_the_size_of_a_pax_record_says_where_the_next_header_is() -> None:
    """The content looks like headers, so that one who goes by the header's own size, zero, is led astray."""
    hidden = tar(entry("inside"))
    before = bytearray(tar(entry("outside", pax_headers={"size": str(len(hidden))}), content=hidden))
    before[1024 + 124 : 1024 + 136] = b"%011o\0" % 0
    seal(before, 1024)
    after = clamped(bytes(before))
    assert after[1536 : 1536 + len(hidden)] == hidden
    assert times(after) == [NEWEST]


def test_the_map_of_an_old_sparse_file_is_no_header() -> None:
    header = bytearray(entry("sparse").tobuf(tarfile.GNU_FORMAT))
    header[156:157], header[482] = b"S", 1
    header[124:136] = b"%011o\0" % 512
    seal(header, 0)
    maps = b"\1" * 504 + b"\1" + bytes(7) + b"\2" * 504 + bytes(8)
    content = b"c" * 512
    after = clamped(bytes(header) + maps + content + tar(entry("next")))
    assert after[512 : 512 + len(maps) + 512] == maps + content
    assert after[512 + len(maps) + 512 :] == clamped(tar(entry("next")))


def test_a_time_too_big_for_octal_digits_is_clamped() -> None:
    before = bytearray(entry("far").tobuf(tarfile.USTAR_FORMAT))
    before[136:148] = b"\x80" + (2**40).to_bytes(11, "big")
    seal(before, 0)
    assert times(clamped(bytes(before) + bytes(1536 - len(before)))) == [NEWEST]


def test_a_time_before_1970_stays() -> None:
    before = tar(entry("old", time=-5), format=tarfile.GNU_FORMAT)
    assert clamped(before) == before


def test_what_follows_the_end_stays() -> None:
    before = tar(entry("a", time=1)) + b"anything" * 1000
    assert clamped(before) == before


def test_it_comes_in_pieces() -> None:
    content = bytes(5_000_000)
    pieces = list(clamp_times(io.BytesIO(tar(entry("big"), content=content)), NEWEST))
    assert max(map(len, pieces)) <= 1024 * 1024
    assert b"".join(pieces) == clamped(tar(entry("big"), content=content))


def seal(tar: bytearray, begin: int) -> None:
    tar[begin + 148 : begin + 156] = b" " * 8
    tar[begin + 148 : begin + 156] = b"%06o\0 " % sum(tar[begin : begin + 512])


def pax(records: bytes, *, size: int | None = None, kind: bytes = b"x") -> bytes:
    header = bytearray(entry("records", kind).tobuf(tarfile.USTAR_FORMAT))
    header[124:136] = b"%011o\0" % (len(records) if size is None else size)
    seal(header, 0)
    return bytes(header) + records.ljust(-(-len(records) // 512) * 512, b"\0") + tar(entry("file"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no tar at all".ljust(512, b"!"), "a size or time is"),
        (b"\1" * 100, "it ends in a header"),
        (tar(entry("a"))[:700], "it ends in a file"),
        (pax(b"", size=2**31), "2147483648 bytes of PAX records"),
        (pax(b"99 mtime=1\n"), "a PAX record is"),
        (pax(b"010 mtime=1\n"), "a PAX record is"),
        (pax(b"3 x"), "a PAX record is"),
        (pax(b"6 a b\n"), "a PAX record is"),
        (pax(b"18 mtime=tomorrow\n"), "a time is b'tomorrow'"),
        (pax(b"10 size=-1\n"[:-1] + b"\n"), "a PAX record"),
        (pax(b"11 size=0x1\n"), "a PAX record"),
        (pax(b"9 size=1\n9 size=2\n"), "says the size b'2'"),
        (pax(b"9 size=1\n", kind=b"g"), "says the size b'1'"),
    ],
)
def test_what_can_be_read_in_two_ways_or_in_none_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(StageFailed, match=message):
        clamped(content)


def test_a_changed_header_is_refused() -> None:
    before = bytearray(tar(entry("a")))
    before[0:1] = b"b"
    with pytest.raises(StageFailed, match="checksum"):
        clamped(bytes(before))


def test_random_damage_ends_in_a_refusal_or_in_a_tar_as_long_as_it_was() -> None:
    chance = random.Random(1)  # noqa: S311 - the same damage each time
    whole = tar(*ENTRIES)
    for _ in range(300):
        damaged = bytearray(whole)
        for _ in range(3):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        try:
            after = clamped(bytes(damaged))
        except StageFailed:
            continue
        assert abs(len(after) - len(whole)) <= 512  # records of times may need a block less
