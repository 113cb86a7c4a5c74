from __future__ import annotations

import pytest

from pipeline.reference import Digest
from stages.oci.progress import Progress, duration, in_words

ONE, TWO = Digest.of(b"1"), Digest.of(b"2")


def test_bytes_rate_and_time_left_are_told_of_all_and_of_each() -> None:
    said: list[str] = []
    progress = Progress("registry/model", 40_000_000, said.append, interval_s=0)
    progress.sent(ONE, 1, 20_000_000)
    progress.sent(ONE, 10_000_000, 20_000_000)
    total, each = said[-1].splitlines()
    assert total.startswith("10.0 MB of 40.0 MB there, ")
    assert total.endswith(" left; 10.0 MB sent: registry/model")
    assert each.startswith(f"{ONE.short} 10.0 MB of 20.0 MB, ")
    assert each.endswith(" left")
    assert "/s, " in total
    assert "/s, " in each


def test_what_became_of_the_blobs_is_told_apart() -> None:
    said: list[str] = []
    progress = Progress("registry/model", 40_000_000, said.append, interval_s=0)
    progress.there(TWO, 20_000_000, "mounted")
    assert f"{TWO.short} 20.0 MB mounted: registry/model" in said
    progress.sent(ONE, 20_000_000, 20_000_000)
    progress.there(ONE, 20_000_000, "uploaded")
    assert said[-1].startswith("40.0 MB of 40.0 MB there, ")
    assert said[-1].endswith("; 20.0 MB sent (1 mounted, 1 uploaded): registry/model")


def test_a_blob_that_is_sent_again_does_not_count_twice() -> None:
    said: list[str] = []
    progress = Progress("x", 40_000_000, said.append, interval_s=0)
    progress.sent(ONE, 10_000_000, 40_000_000)
    progress.sent(ONE, 5_000_000, 40_000_000)
    assert "5.0 MB of 40.0 MB there" in said[-1]


def test_what_an_earlier_run_sent_makes_no_blob_faster() -> None:
    said: list[str] = []
    Progress("x", 40_000_000, said.append, interval_s=0).sent(ONE, 10_000_000, 40_000_000)
    assert said[-1].splitlines()[1] == f"{ONE.short} 10.0 MB of 40.0 MB"


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
