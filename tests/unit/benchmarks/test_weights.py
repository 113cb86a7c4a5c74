"""The weights are like real ones: their size, their format, how well they compress."""

import json
import os
import zlib
from pathlib import Path

import pytest

from benchmarks import weights
from benchmarks.sizes import megabytes, parse_size, size_name

SIZE = 8 << 20


@pytest.fixture
def made(tmp_path: Path) -> Path:
    weights.make(tmp_path / "made", SIZE)
    return tmp_path / "made"


def test_eight_shards_make_the_size(made: Path) -> None:
    shards = sorted((made / "model").glob("*.safetensors"))
    assert [path.name for path in shards] == [weights.shard_name(index) for index in range(8)]
    assert SIZE <= sum(path.stat().st_size for path in shards) < SIZE + 8 * 200


def test_a_shard_is_a_safetensors_file(made: Path) -> None:
    content = (made / "model" / weights.shard_name(0)).read_bytes()
    length = int.from_bytes(content[:8], "little")
    tensor = json.loads(content[8 : 8 + length])["weight"]
    assert tensor["data_offsets"] == [0, len(content) - 8 - length]
    assert tensor["shape"] == [SIZE // 8 // 2]


def test_they_compress_neither_as_zeros_nor_as_chance(made: Path) -> None:
    content = (made / "model" / weights.shard_name(0)).read_bytes()
    assert 0.7 < len(zlib.compress(content, 6)) / len(content) < 0.85


def test_no_two_shards_are_the_same(made: Path) -> None:
    contents = [path.read_bytes() for path in made.rglob("*.safetensors")]
    assert len(set(contents)) == len(contents) == 9


def test_a_project_shares_the_bytes_until_a_shard_is_exchanged(made: Path, tmp_path: Path) -> None:
    weights.place(made, tmp_path)
    placed, original = tmp_path / "model", made / "model"
    assert all(path.samefile(original / path.name) for path in placed.iterdir())
    weights.change_one_shard(made, tmp_path)
    changed = [path.name for path in placed.iterdir() if not path.samefile(original / path.name)]
    assert changed == [weights.shard_name(weights.CHANGED_SHARD)]


def test_a_fresh_model_has_new_times(made: Path, tmp_path: Path) -> None:
    for path in (made / "model").iterdir():
        os.utime(path, (1, 1))
    weights.place(made, tmp_path, fresh=True)
    assert all(path.stat().st_mtime > 1 for path in (tmp_path / "model").iterdir())


@pytest.mark.parametrize(("text", "size_bytes"), [("256M", 256 << 20), ("1g", 1 << 30), (" 64K ", 64 << 10)])
def test_a_size_is_read_and_written(text: str, size_bytes: int) -> None:
    assert parse_size(text) == size_bytes
    assert size_name(size_bytes) == text.strip().upper()


@pytest.mark.parametrize("text", ["", "0M", "1", "1.5G", "-1M", "1T"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no size"):
        parse_size(text)


@pytest.mark.parametrize(
    ("value", "text"), [(67_000_000, "67"), (1_400_000, "1.4"), (3_000, "0.003"), (0, "0.000")]
)
def test_megabytes_have_the_digits_that_say_something(value: int, text: str) -> None:
    assert megabytes(value) == text
