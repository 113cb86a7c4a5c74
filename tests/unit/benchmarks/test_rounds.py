"""What is expected of a measure, by which slow ones are left out."""

import pytest

from benchmarks.rounds import expected_s
from tests.unit.benchmarks.reports import MIB, report, sample

SIZE = 256 * MIB


def test_a_measure_at_the_same_size_tells() -> None:
    made = report(sample("docker", 3), sample("docker", 5), sample("docker", 50, size_bytes=2 * SIZE))
    assert expected_s(made, SIZE, "cold", "docker") == 4


def test_a_smaller_size_tells_in_proportion() -> None:
    made = report(sample("docker", 3), sample("docker", 8, size_bytes=2 * SIZE))
    assert expected_s(made, 4 * SIZE, "cold", "docker") == pytest.approx(16)


@pytest.mark.parametrize("scenario", ["nothing", "move"])
def test_what_moves_no_weights_is_not_expected_to_grow(scenario: str) -> None:
    assert expected_s(report(sample("docker", 3, scenario=scenario)), 4 * SIZE, scenario, "docker") == 3


def test_a_greater_size_or_somebody_else_tells_nothing() -> None:
    made = report(sample("docker", 3, size_bytes=2 * SIZE), sample("crane", 1))
    assert expected_s(made, SIZE, "cold", "docker") is None
