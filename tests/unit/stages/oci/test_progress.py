from __future__ import annotations

import pytest

from pipeline.reference import Digest
from stages.oci.progress import Progress, duration, in_words

ONE, TWO = Digest.of(b"1"), Digest.of(b"2")


def test_a_line_tells_bytes_rate_and_time_left_of_all_and_each() -> None:
    said: list[str] = []
    progress = Progress("registry/model", 40_000_000, said.append, interval_s=0)
    progress.sent(ONE, 10_000_000)
    assert "10.0 MB of 40.0 MB there, 10.0 MB sent at " in said[-1]
    assert "/s, " in said[-1]
    assert f" left ({ONE.short} 10.0 MB)" in said[-1]
    progress.there(TWO, 20_000_000, "mounted")
    assert f"registry/model: {TWO.short} 20.0 MB mounted" in said
    assert "30.0 MB of 40.0 MB there, 10.0 MB sent" in said[-1]


def test_a_blob_that_is_sent_again_does_not_count_twice() -> None:
    said: list[str] = []
    progress = Progress("x", 40_000_000, said.append, interval_s=0)
    progress.sent(ONE, 10_000_000)
    progress.sent(ONE, 5_000_000)
    assert "5.0 MB of 40.0 MB there" in said[-1]


def test_small_blobs_have_no_line_of_their_own() -> None:
    said: list[str] = []
    Progress("x", 2000, said.append).there(ONE, 1000, "exists")
    assert said == []


@pytest.mark.parametrize(
    ("seconds", "text"), [(-1, "0 s"), (0, "0 s"), (45, "45 s"), (600, "10 min"), (7500, "2 h 5 min")]
)
def test_durations_for_people(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_sizes_for_people() -> None:
    assert [in_words(size) for size in (1, 1500, 2_500_000, 3e9)] == ["1 B", "1.5 kB", "2.5 MB", "3.0 GB"]
