"""The highest rate within a budget, of servers whose limit is known."""

import asyncio

import pytest

from pipeline.model import Latency, LoadResult, Sweep
from stages.load.sweep import SweepPlan, long_enough, sweep
from stages.servers.interface import LACKING


def result(
    rate: float, p99_ms: float, errors: int = 0, invalid: tuple[str, ...] = (), lag_ms: float = 0.0
) -> LoadResult:
    latency = Latency(p50_ms=1, p95_ms=p99_ms, p99_ms=p99_ms, max_ms=p99_ms, mean_ms=1)
    return LoadResult(
        shape="constant",
        rate_rps=rate,
        duration_s=1,
        requests=100,
        errors=errors,
        throughput_rps=rate,
        latency=latency,
        invalid=invalid,
        send_lag_p99_ms=lag_ms,
    )


def swept(
    limit_rps: float,
    begin_rps: float = 10,
    invalid: tuple[str, ...] = (),
    errors: int = 0,
    lag_ms: float = 0.0,
) -> Sweep:
    """Sweep a server that is fast up to a rate, and slow (or failing) above it."""

    async def attempt(rate: float) -> LoadResult:
        return result(rate, 5) if rate <= limit_rps else result(rate, 500, errors, invalid, lag_ms)

    plan = SweepPlan(budget_p99_ms=50, begin_rps=begin_rps, highest_rps=5_000)
    return asyncio.run(sweep(plan, attempt))


@pytest.mark.parametrize("limit_rps", [7, 75, 312, 1999])
def test_the_best_rate_is_near_the_limit_and_not_above_it(limit_rps: float) -> None:
    found = swept(limit_rps)
    assert found.best_rps is not None
    assert 0.85 * limit_rps <= found.best_rps <= limit_rps
    assert found.limit == "latency: p99 500.0 ms"


def test_errors_are_a_limit_too() -> None:
    assert swept(100, errors=3).limit == "errors: 3 of 100 requests"


def test_a_generator_that_is_the_bottleneck_ends_the_sweep() -> None:
    found = swept(100, lag_ms=400)
    assert found.limit == "the generator: the load generator was late"
    assert found.best_rps == 80


def test_what_this_machine_lacks_is_no_limit_of_the_server() -> None:
    async def attempt(rate: float) -> LoadResult:
        lacking = {"errors": 4, "errors_by_kind": {LACKING: 4}}
        return result(rate, 5).model_copy(update=lacking if rate > 100 else {})

    found = asyncio.run(sweep(SweepPlan(budget_p99_ms=50, begin_rps=50), attempt))
    assert found.best_rps == 100
    assert found.limit == "the generator: 4 requests were not sent, for want of open files or ports"


def test_a_server_that_is_too_slow_for_anything_has_no_best_rate() -> None:
    found = swept(0)
    assert found.best_rps is None
    assert found.steps[-1].rate_rps is not None
    assert found.steps[-1].rate_rps <= 1


def test_the_highest_rate_ends_the_sweep() -> None:
    found = swept(1e9)
    assert (found.best_rps, found.limit) == (5_000, "the end: 5000 requests/s was the highest rate to try")


def test_a_step_with_few_answers_is_no_fault_of_the_generator() -> None:
    few = ("the p99 of 50 answers is no more than the slowest of them: at least 100 are needed",)
    found = swept(7, begin_rps=10, invalid=few)
    assert found.best_rps is not None
    assert 0.85 * 7 <= found.best_rps <= 7
    assert found.limit == "latency: p99 500.0 ms"


@pytest.mark.parametrize(("rate_rps", "seconds"), [(10, 10.1), (5, 20.2), (1000, 5), (0.1, 60)])
def test_a_low_rate_is_tried_for_as_long_as_a_p99_needs(rate_rps: float, seconds: float) -> None:
    assert long_enough(5, rate_rps) == pytest.approx(seconds)
