from pathlib import Path

import pytest

from pipeline.errors import DiskFull
from stages.full_disk import full_disk_named


def test_a_disk_that_fills_is_named() -> None:
    with (
        pytest.raises(DiskFull, match="no room for it") as caught,
        full_disk_named("no room for it", "Free some."),
    ):
        Path("/dev/full").write_bytes(b"w")
    assert caught.value.advice == "Free some."


def test_another_error_stays_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), full_disk_named("no room", ""):
        (tmp_path / "none").read_bytes()
