"""The interval holds what is true about as often as it says, and narrows with the rounds."""

import math
import random

import pytest

from stages.load.comparing import FEWEST_ROUNDS, compare, interval


def rounds(count: int, spread: float, change: float, seed: int) -> list[float]:
    draw = random.Random(seed)  # noqa: S311 - noise, no secrets
    return [(1 + change) * math.exp(draw.gauss(0, spread)) for _ in range(count)]


@pytest.mark.parametrize("count", [FEWEST_ROUNDS, 10])
def test_the_interval_holds_the_true_change_about_as_often_as_it_says(count: int) -> None:
    intervals = [interval(rounds(count, 0.08, 0.15, seed)) for seed in range(150)]
    held = sum(low <= 0.15 <= high for low, high in intervals)
    assert held / len(intervals) == pytest.approx(0.95, abs=0.06)


def test_more_rounds_and_less_noise_narrow_it() -> None:
    few, many, quiet = (rounds(5, 0.1, 0, 1), rounds(20, 0.1, 0, 1), rounds(5, 0.01, 0, 1))
    widths = [high - low for low, high in map(interval, (few, many, quiet))]
    assert widths[0] > widths[1] > widths[2]


def test_the_same_rounds_give_the_same_interval() -> None:
    assert interval([1.1, 1.2, 1.15, 1.12, 1.18]) == interval([1.1, 1.2, 1.15, 1.12, 1.18])


def test_rounds_that_agree_leave_no_doubt() -> None:
    assert interval([1.2] * 5) == pytest.approx((0.2, 0.2))


def test_the_change_lies_inside_its_interval() -> None:
    before, after = [8.0, 8.3, 7.9, 30.0, 8.1], [9.9, 10.1, 9.7, 12.0, 9.8]
    found = compare("p99_ms", before, after)
    assert found.relative_low is not None
    assert found.relative_high is not None
    assert found.relative_low < found.change < found.relative_high
    assert found.change == pytest.approx(found.candidate / found.baseline - 1)
    assert (found.baseline_rounds, found.rounds) == (tuple(before), 5)


@pytest.mark.parametrize("ratios", [[], [1.0], [1.0, 0.0]])
def test_there_is_no_interval_of_too_little(ratios: list[float]) -> None:
    with pytest.raises(ValueError, match="at least two rounds"):
        interval(ratios)
