import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from pipeline.disk import existing, forecast, records
from pipeline.model import DiskForecast, DiskNeed, Problem

MEMORY = Path("/dev/shm")  # noqa: S108 - a file system of its own on every Linux machine


def need(path: Path | None, size_bytes: int, purpose: str = "layers", *, at_least: bool = False) -> DiskNeed:
    return DiskNeed(
        purpose=purpose,
        path=path,
        size_bytes=size_bytes,
        at_least=at_least,
        reason="as the last build's",
        advice="Make it smaller.",
    )


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    folder = MEMORY / f"disk-{uuid4().hex}"
    folder.mkdir()
    assert folder.stat().st_dev != tmp_path.stat().st_dev
    yield folder
    shutil.rmtree(folder)


def numbers(*needs: DiskNeed) -> list[DiskForecast]:
    return [check.disk for check in forecast(needs) if check.disk is not None]


def test_needs_are_added_up_for_each_file_system(tmp_path: Path, elsewhere: Path) -> None:
    here = (need(tmp_path / "a/b", 1000), need(tmp_path / "c", 30_000, "engine"))
    first, second = numbers(here[0], need(elsewhere / "not/yet", 7), here[1])
    assert (first.needed_bytes, second.needed_bytes) == (31_000, 7)
    assert [one.purpose for one in first.needs] == ["engine", "layers"]
    assert second.mount_point == MEMORY
    assert second.free_bytes == pytest.approx(free(elsewhere), rel=0.2)


def free(path: Path) -> int:
    status = os.statvfs(path)
    return status.f_bavail * status.f_frsize


def test_one_line_says_it_all(tmp_path: Path) -> None:
    (check,) = forecast(
        (need(tmp_path, 1_500_000_000), need(tmp_path, 2_000_000, "context"), need(tmp_path, 1, "layers"))
    )
    assert check.passed
    assert check.subject.startswith("disk at /")
    assert check.found.endswith("free, 1.5 GB needed (layers 1.5 GB, context 2.0 MB)")


def test_too_little_room_names_what_is_missing_and_the_largest_part(tmp_path: Path, elsewhere: Path) -> None:
    fits, full = forecast((need(elsewhere, 1), need(tmp_path, 10**16, "engine"), need(tmp_path, 5)))
    assert fits.passed
    assert full.problem is Problem.DISK
    assert "10000.0 TB needed (engine 10000.0 TB, layers 5 B)" in full.found
    assert "The most is for: engine (10000.0 TB, as the last build's). Make it smaller." in full.advice


def test_what_cannot_be_known_is_said(tmp_path: Path) -> None:
    (check,) = forecast((need(tmp_path, 1000, at_least=True), need(tmp_path, 1000)))
    assert "at least 2.0 kB needed" in check.found


def test_other_machines_are_not_counted_but_named(tmp_path: Path) -> None:
    here, there = forecast((need(tmp_path, 5), need(None, 10**18, "engine")))
    assert here.found.endswith("5 B needed (layers 5 B)")
    assert there.passed
    assert (there.subject, there.found[:14]) == ("disk elsewhere", "not looked at;")


def test_what_needs_nothing_is_left_out(tmp_path: Path) -> None:
    assert forecast((need(tmp_path, 0), need(None, 0))) == ()
    (check,) = forecast((need(tmp_path, 0, at_least=True),))
    assert check.found.endswith("at least 0 B needed")


def test_a_place_that_is_not_there_yet_is_on_the_disk_above_it(tmp_path: Path) -> None:
    assert existing(tmp_path / "not/yet/made") == tmp_path
    assert records(tmp_path).size_bytes > 0
