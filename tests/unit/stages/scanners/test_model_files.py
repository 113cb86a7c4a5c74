"""The scanner of model files: a hostile corpus, its benign twins, and files of gigabytes in little memory."""

import io
import json
import struct
import subprocess
import sys
import tarfile
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from stages.scanners.model_files.result import look_into
from tests.support.benign_models import write
from tests.support.hostile_models import array, corpus, safetensors
from tests.support.hostile_pickles import Sample
from tests.support.protobuf_bytes import number, text, varint

CORPUS = corpus()
ROOT = Path(__file__).parents[4]
MOST_MIB = 300
LOOK = """
import sys
from pathlib import Path
from stages.scanners.model_files.result import look_into

for name in sys.argv[1:]:
    result = look_into(Path(name), 240)
    print(Path(name).name, result.format, *sorted({fact.code for fact in result.facts}))
# not ru_maxrss: that begins with what the process was forked from
highest = Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]
print(int(highest) // 1024)
"""


def looked_at(*paths: Path) -> tuple[list[list[str]], int]:
    """Return what another process finds in each file, and the most memory that it took, in MiB."""
    command = [sys.executable, "-c", LOOK, *map(str, paths)]
    outcome = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    *lines, peak = outcome.stdout.splitlines()
    return [line.split() for line in lines], int(peak)


def test_the_corpus_is_large_and_every_name_in_it_its_own() -> None:
    assert len(CORPUS) > 150
    assert len({sample.name for sample in CORPUS}) == len(CORPUS)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("sample", CORPUS, ids=lambda sample: sample.name)
def test_a_hostile_file_is_found_out(sample: Sample, tmp_path: Path) -> None:
    result = look_into(sample.write(tmp_path), 50)
    assert sample.code in {fact.code for fact in result.facts}
    assert "scanner-failed" not in {fact.code for fact in result.facts}
    assert result.model_validate_json(result.model_dump_json()) == result  # it can be written down


def test_no_hostile_file_takes_much_memory(tmp_path: Path) -> None:
    found, peak = looked_at(*(sample.write(tmp_path / str(n)) for n, sample in enumerate(CORPUS)))
    assert len(found) == len(CORPUS)
    assert peak <= MOST_MIB


def test_nothing_is_found_in_what_libraries_write(tmp_path: Path) -> None:
    formats = write(tmp_path)
    results = {name: look_into(tmp_path / name, 60) for name in formats}
    assert {name: result.facts for name, result in results.items() if result.facts} == {}
    assert {name: result.format_of(name) for name, result in results.items()} == formats


def sparse(path: Path, begin: bytes, size_bytes: int, end: bytes = b"") -> Path:
    with path.open("wb") as file:
        file.write(begin)
        file.truncate(size_bytes - len(end))
        file.seek(0, 2)
        file.write(end)
    return path


def sparse_archive(path: Path, size_bytes: int) -> Path:
    """Write an archive with one stored member of zeros, whose sizes stand in the ZIP64 fields."""
    name, unsaid = b"numbers", 2**32 - 1
    sizes = struct.pack("<HHQQ", 1, 16, size_bytes, size_bytes)
    told = struct.pack("<IIIHH", 0, unsaid, unsaid, len(name), len(sizes))
    begin = struct.pack("<4sHHHHH", b"PK\x03\x04", 45, 0, 0, 0, 0) + told + name + sizes
    table = struct.pack("<4sHHHHHH", b"PK\x01\x02", 45, 45, 0, 0, 0, 0) + told
    table += struct.pack("<HHHII", 0, 0, 0, 0, 0) + name + sizes
    at = len(begin) + size_bytes
    end = struct.pack("<4sQHHIIQQQQ", b"PK\x06\x06", 44, 45, 45, 0, 0, 1, 1, len(table), at)
    end += struct.pack("<4sIQI", b"PK\x06\x07", 0, at + len(table), 1)
    end += struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, unsaid, unsaid, 0)
    return sparse(path, begin, at + len(table + end), table + end)


def with_names(path: Path, begin: bytes, heads: Iterator[bytes], size_bytes: int, tail: bytes = b"") -> Path:
    """Write names of zeros and a number, each behind its head; the zeros take no room on the disk."""
    with path.open("wb") as file:
        file.write(begin)
        for count, head in enumerate(heads):
            file.write(head)
            file.seek(size_bytes - 8, 1)
            file.write(f"{count:08}".encode() + tail)
    return path


@pytest.mark.timeout(240)
def test_many_names_take_little_memory(tmp_path: Path) -> None:
    keys = (struct.pack("<Q", 60_000) for _ in range(6_000))
    gguf = b"GGUF" + struct.pack("<IQQ", 3, 0, 6_000)
    size = 900_000
    node = varint(1 << 3 | 2) + varint(size + len(varint(size)) + 1) + varint(2 << 3 | 2) + varint(size)
    found, peak = looked_at(
        with_names(tmp_path / "keys.gguf", gguf, keys, 60_000, struct.pack("<IB", 0, 1)),
        with_names(tmp_path / "operators.pb", text(1, text(2, "MatMul")), iter([node] * 400), size),
    )
    assert found == [["keys.gguf", "unknown", "gguf-bounds"], ["operators.pb", "tensorflow-graph"]]
    assert peak <= MOST_MIB


def test_fields_that_nobody_knows_take_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "numbers.pb"
    path.write_bytes(b"".join(number(count, 1) for count in range(1, 100_000)))
    tracemalloc.start()
    try:
        result = look_into(path, 120)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert result.format == "unknown"
    assert peak < 5 * 1024**2


@pytest.mark.timeout(280)
def test_files_of_gigabytes_take_little_memory(tmp_path: Path) -> None:
    ten = 10 * 1024**3
    entry = {"dtype": "U8", "shape": [ten], "data_offsets": [0, ten]}
    header = safetensors(json.dumps({"a": entry}).encode())
    numbers = array("|u1", (ten,))
    blob = b"\x80\x04\x8e" + struct.pack("<Q", ten)
    found, peak = looked_at(
        sparse(tmp_path / "a.safetensors", header, len(header) + ten),
        sparse(tmp_path / "a.npy", numbers, len(numbers) + ten),
        sparse(tmp_path / "a.pkl", blob, len(blob) + ten + 1, b"."),
        sparse_archive(tmp_path / "a.zip", 5 * 1024**3),
        sparse(tmp_path / "a.bin", b"\xff\xff\x00\x01", 1024**3),
    )
    assert found == [
        ["a.safetensors", "safetensors"],
        ["a.npy", "npy"],
        ["a.pkl", "pickle"],
        ["a.zip", "zip", "archive-checksum"],
        ["a.bin", "unknown"],
    ]
    assert peak <= MOST_MIB


def test_the_time_limit_is_a_finding(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"\xff\x00" * 1000)
    result = look_into(path, -1)
    assert [(fact.kind, fact.code) for fact in result.facts] == [("unread", "time-limit")]
    assert not result.lasts


def test_a_report_has_room_for_every_name(tmp_path: Path) -> None:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name in "abc":
            link = tarfile.TarInfo(name)
            link.type, link.linkname = tarfile.SYMTYPE, "x" * 1_000_000
            archive.addfile(link)
    path = tmp_path / "links.tar"
    path.write_bytes(stream.getvalue())
    result = look_into(path, 60)
    assert [fact.code for fact in result.facts] == ["archive-link"] * 3
    assert len(result.model_dump_json()) < 10_000


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("/etc/passwd")
    with pytest.raises(OSError, match="symbolic links"):
        look_into(tmp_path / "a", 1)
