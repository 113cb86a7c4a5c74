"""Verdicts on rounds that a real server was measured in: rarely wrong, and no slowdown is waved through."""

import pytest

from benchmarks.verdicts import JUDGED, VERDICTS, Case, read, simulate, spread
from pipeline.model import Metric

RECORDED = read()
BOTH: tuple[Metric, ...] = ("p99_ms", "throughput_rps")


@pytest.mark.parametrize("metric", BOTH)
def test_identical_images_are_hardly_ever_refused(metric: Metric) -> None:
    found = simulate(RECORDED, Case(metric=metric, slowdown=0.0, limit=0.1, most=5))
    assert found["beyond"] <= 0.05 * VERDICTS


@pytest.mark.parametrize("metric", BOTH)
def test_a_planted_slowdown_is_refused_or_asks_for_more(metric: Metric) -> None:
    found = simulate(RECORDED, Case(metric=metric, slowdown=0.15, limit=0.1, most=5))
    assert found["beyond"] + found["inconclusive"] >= 0.95 * VERDICTS


def test_a_gross_slowdown_is_refused_within_five_rounds() -> None:
    found = simulate(RECORDED, Case(metric="p50_ms", slowdown=4.0, limit=0.1, most=5), 40)
    assert found["beyond"] >= 36


def test_the_rounds_are_real_and_noisy() -> None:
    assert len(RECORDED.turns) >= 20
    assert all(spread(RECORDED, metric) > 0.001 for metric in JUDGED)
