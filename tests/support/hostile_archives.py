"""Hostile archives: zip, tar, torch."""

import gzip
import io
import struct
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from tests.support.hostile_pickles import HARMLESS, MEBIBYTE, MODERN, SYSTEM, Sample


def zipped(*members: tuple[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return stream.getvalue()


def torch_archive(pickled: bytes, *more: tuple[str, bytes]) -> bytes:
    members = (
        ("archive/data.pkl", pickled),
        ("archive/version", b"3\n"),
        ("archive/data/0", bytes(16)),
        *more,
    )
    return zipped(*members)


def archives() -> Iterator[Sample]:
    deflated = zipfile.ZIP_DEFLATED
    yield Sample("model.pt", "pickle-import", torch_archive(MODERN))
    yield Sample("model.bin", "pickle-import", torch_archive(SYSTEM))
    yield Sample("storage.pt", "pickle-import", torch_archive(HARMLESS, ("archive/data/1", MODERN)))
    yield Sample("extra.pt", "pickle-import", torch_archive(HARMLESS, ("archive/extra/x", MODERN)))
    yield Sample("behind.pt", "trailing-data", torch_archive(HARMLESS + MODERN))
    yield Sample("identity.pt", "pickle-persistent-id", torch_archive(b"\x80\x02X\x01\x00\x00\x00aQ."))
    script = (
        ("archive/constants.pkl", HARMLESS),
        ("archive/code/__torch__.py", b"torch.from_file('/etc/passwd')"),
    )
    yield Sample("script.pt", "torchscript-file-access", torch_archive(HARMLESS, *script))
    yield Sample("script_pickle.pt", "pickle-import", torch_archive(MODERN, script[0]))
    yield Sample("deflated.zip", "pickle-import", zipped(("a.pkl", MODERN), method=deflated))
    yield Sample("in_zip.zip", "pickle-import", zipped(("b.zip", zipped(("a", MODERN))), method=deflated))
    yield Sample("by_lzma.zip", "zip-method", zipped(("a.pkl", MODERN), method=zipfile.ZIP_LZMA))
    yield Sample("tail.zip", "trailing-data", zipped(("a.txt", b"hello")) + MODERN)
    yield Sample("front.zip", "polyglot", HARMLESS + zipped(("a.txt", b"hello")))
    yield Sample("hidden.zip", "zip-hidden-data", _zip_with_hidden())
    yield Sample("traversal.zip", "archive-path", zipped(("../../etc/cron.d/x", b"x")))
    yield Sample("absolute.zip", "archive-path", zipped(("/etc/cron.d/x", b"x")))
    yield Sample("windows.zip", "archive-path", zipped(("..\\..\\x", b"x")))
    yield Sample("link.zip", "archive-link", _zip_with_link())
    yield Sample("duplicate.zip", "archive-duplicate", _zip_twice())
    yield Sample("encrypted.zip", "encrypted", _changed_zip(flags=1))
    yield Sample("two_names.zip", "zip-mismatch", _changed_zip(name=b"b.pkl"))
    yield Sample("two_methods.zip", "zip-mismatch", _changed_zip(method=8))
    yield Sample("checksum.zip", "archive-checksum", _wrong_checksum())
    yield Sample("overlap.zip", "zip-overlap", _overlapping())
    yield Sample("cut.zip", "truncated", zipped(("a.txt", b"hello" * 100))[:-40])
    yield Sample("bomb.zip", "archive-bomb", _zip_bomb)
    yield Sample("bombs.zip", "archive-bomb", zipped(*((f"{n}.gz", _small_bomb()) for n in range(6))))
    yield Sample("payload.tar", "pickle-import", tar(("a.pkl", MODERN)))
    yield Sample("payload.tar.gz", "pickle-import", gzip.compress(tar(("a.pkl", SYSTEM))))
    yield Sample("traversal.tar", "archive-path", tar(("../../x", b"x")))
    yield Sample("link.tar", "archive-link", tar(("a", b""), link="/etc/passwd"))
    yield Sample("behind.tar", "trailing-data", tar(("a.txt", b"x")) + MODERN)
    yield Sample("duplicate.tar", "archive-duplicate", tar(("a", b"x"), ("a", b"y")))
    yield Sample("header.tar", "too-large", _tar_with_huge_header())
    yield Sample("cut.tar", "truncated", tar(("a.txt", b"x" * 50_000))[:20_000])


def tar(*members: tuple[str, bytes], link: str = "") -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, content in members:
            header = tarfile.TarInfo(name)
            header.size = len(content)
            if link:
                header.type, header.linkname = tarfile.SYMTYPE, link
            archive.addfile(header, io.BytesIO(content))
    return stream.getvalue()


def _tar_with_huge_header() -> bytes:
    """Return a tar whose first member says that its extended header has a gigabyte."""
    header = tarfile.TarInfo("pax")
    header.type, header.size = tarfile.XHDTYPE, 2**30
    return header.tobuf(tarfile.USTAR_FORMAT) + bytes(10_240)


def _zip_with_hidden() -> bytes:
    """Return an archive with a member before the others that its table does not name."""
    both = io.BytesIO()
    with zipfile.ZipFile(both, "w") as archive:
        archive.writestr("hidden.pkl", MODERN)
        archive.writestr("a.txt", b"hello")
        archive.filelist.pop(0)
    return both.getvalue()


def _zip_with_link() -> bytes:
    entry = zipfile.ZipInfo("link")
    entry.create_system, entry.external_attr = 3, 0o120777 << 16
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(entry, "/etc/passwd")
    return stream.getvalue()


def _zip_twice() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("a.txt", b"one")
        archive.writestr("b.txt", b"two")
    return stream.getvalue().replace(b"b.txt", b"a.txt")


def _changed_zip(flags: int | None = None, name: bytes | None = None, method: int | None = None) -> bytes:
    """Return an archive whose member's own header says something else than the table (flags: both do)."""
    content = bytearray(zipped(("a.pkl", HARMLESS)))
    if flags is not None:
        table = content.index(b"PK\x01\x02")
        content[6:8] = content[table + 8 : table + 10] = flags.to_bytes(2, "little")
    if method is not None:
        content[8:10] = method.to_bytes(2, "little")
    if name is not None:
        content[30:35] = name
    return bytes(content)


def _wrong_checksum() -> bytes:
    content = bytearray(zipped(("a.txt", b"hello")))
    content[content.index(b"hello")] ^= 1
    return bytes(content)


def _overlapping() -> bytes:
    """Return an archive whose second entry is the same bytes as the first."""
    content = zipped(("a.txt", b"hello"))
    table, end = content.index(b"PK\x01\x02"), content.index(b"PK\x05\x06")
    entry = content[table:end]
    tail = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, 2, 2, 2 * len(entry), table, 0)
    return content[:table] + entry + entry.replace(b"a.txt", b"b.txt") + tail


def _zip_bomb(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("zeros", "w") as member:
        for _ in range(400):
            member.write(bytes(MEBIBYTE))


def _small_bomb() -> bytes:
    return gzip.compress(bytes(60 * MEBIBYTE), 9)
