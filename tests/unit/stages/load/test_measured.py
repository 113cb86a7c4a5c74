"""Counting: percentiles that are right, errors that stay bounded, doubts that say why."""

import pytest

from stages.load.measured import Durations, Measured
from stages.load.validity import doubts


def durations(*values_ms: float) -> Durations:
    made = Durations()
    for value in values_ms:
        made.add(value)
    return made


def test_percentiles_are_right_to_three_digits() -> None:
    latency = durations(*(float(number) for number in range(200, 0, -1))).summary()
    assert latency is not None
    found = (latency.p50_ms, latency.p90_ms, latency.p95_ms, latency.p99_ms, latency.p99_9_ms)
    assert found == pytest.approx((100, 180, 190, 198, 200), rel=0.001)
    assert (latency.max_ms, latency.mean_ms) == (200, 100.5)


def test_nothing_has_no_percentiles() -> None:
    assert durations().summary() is None
    assert durations().percentile_ms(99) == 0


def test_durations_beyond_the_histogram_count_at_its_ends() -> None:
    extremes = durations(0.0, 9e9)
    assert len(extremes) == 2
    assert extremes.percentile_ms(1) <= 0.001
    assert extremes.percentile_ms(100) == pytest.approx(3_600_000, rel=0.001)


def test_errors_of_endless_variety_are_counted_without_keeping_them_all() -> None:
    measured = Measured()
    for number in range(1000):
        measured.note(f"request {number}")
    assert measured.failed == 1000
    assert len(measured.errors) == len(measured.kinds) == 101


def measured_of(count: int, latency_ms: float, lag_ms: float = 0.0, cpu: float = 0.0) -> Measured:
    return Measured(
        due=count,
        good=count,
        latencies=durations(*[latency_ms] * count),
        lags=durations(*[lag_ms] * count),
        generator_cpu=cpu,
    )


@pytest.mark.parametrize(
    ("measured", "words"),
    [
        (measured_of(50, 1.0), "the p99 of 50 answers"),
        (measured_of(200, 10.0, lag_ms=25.0), "was late"),
        (measured_of(200, 1.0, cpu=0.95), "used 95% of a core"),
    ],
    ids=["few", "late", "busy"],
)
def test_numbers_that_must_not_be_trusted_say_why(measured: Measured, words: str) -> None:
    (found,) = doubts(measured)
    assert words in found


def test_a_lag_that_is_small_beside_the_latency_is_no_doubt() -> None:
    assert doubts(measured_of(200, 400.0, lag_ms=25.0)) == ()


def test_no_more_than_the_rest_lies_above_a_percentile() -> None:
    quick = [1.0] * 158  # of 160, 1 % is one and a half
    assert durations(*quick, 50.0, 60.0).percentile_ms(99) == pytest.approx(50, rel=0.001)
    for count in range(1, 400):
        found = durations(*map(float, range(1, count + 1)))
        for percent in (50, 90, 95, 99, 99.9):
            above = count - round(found.percentile_ms(percent))
            assert above <= count * (100 - percent) / 100 + 1e-6, (count, percent)


def test_an_error_of_any_length_is_kept_short() -> None:
    measured = Measured()
    measured.note("x" * 100_000)
    assert len(next(iter(measured.errors))) < 1000
