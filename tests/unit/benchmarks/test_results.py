"""Medians, ratios, and reports that are kept and read again."""

from pathlib import Path

import pytest

from benchmarks.results import merge, read, write
from tests.unit.benchmarks.reports import MIB, left_out, report, sample

SIZE = 256 * MIB


def test_the_median_is_that_of_the_measures_alone() -> None:
    made = report(sample("docker", 9), sample("docker", 1), left_out("docker", "failed"), sample("docker", 2))
    assert made.median_of(SIZE, "cold", "docker") == 2
    assert made.notes(SIZE, "cold", "docker") == ("failed",)


def test_nothing_measured_is_no_number() -> None:
    made = report(left_out("docker", "failed"))
    assert made.median_of(SIZE, "cold", "docker") is None
    assert made.ratio(SIZE, "cold", "docker") is None
    assert made.highest_memory(SIZE, "cold", "docker") is None


def test_a_ratio_is_of_medians_at_one_size_and_scenario() -> None:
    other = sample("docker", 1000, size_bytes=2 * SIZE)
    made = report(sample("pipeline", 2), sample("docker", 7), sample("docker", 5), other)
    assert made.ratio(SIZE, "cold", "docker") == pytest.approx(3)


def test_memory_is_the_highest_of_all_rounds() -> None:
    made = report(
        sample("docker", 1, memory_bytes=5), sample("docker", 1, memory_bytes=7), sample("docker", 1)
    )
    assert made.highest_memory(SIZE, "cold", "docker") == (7, 0)


def test_a_report_is_read_as_it_was_written(tmp_path: Path) -> None:
    made = report(sample("pipeline", 2), left_out("docker", "left out"))
    write(made, tmp_path / "samples.json")
    assert read(tmp_path / "samples.json") == made
    assert [path.name for path in tmp_path.iterdir()] == ["samples.json"]


def test_runs_of_several_sizes_become_one_report() -> None:
    merged = merge([report(sample("pipeline", 1)), report(sample("pipeline", 2, size_bytes=2 * SIZE))])
    assert merged.sizes == (SIZE, 2 * SIZE)
    assert merged.median_of(2 * SIZE, "cold", "pipeline") == 2
