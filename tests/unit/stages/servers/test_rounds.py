"""Turns: their order, when they end, and what may be compared of them."""

import itertools
from collections.abc import Callable, Iterator

import pytest

from pipeline.model import ColdStart, Latency, LoadResult, Metric, RegressionLimit, Resources, TokenTimes
from stages.servers.rounds import Rounds, RoundsPlan, Turn, take_turns, turn_of

START = ColdStart(port_open_ms=300, ready_ms=400, first_answer_ms=500)
P99 = RegressionLimit(metric="p99_ms", relative=0.1)


def turn(p99_ms: float, why: str = "") -> Turn:
    values: dict[Metric, float] = {} if why else {"p99_ms": p99_ms}
    return Turn(values=values, cold_start=START, lacking={"p99_ms": why} if why else {})


def turns(values: Iterator[float], name: str, order: list[str]) -> Callable[[], Turn]:
    def take() -> Turn:
        order.append(name)
        return turn(next(values))

    return take


def ran(
    plan: RoundsPlan, old: Iterator[float], new: Iterator[float], seconds: float = 1.0
) -> tuple[Rounds, str]:
    order: list[str] = []
    ticks = itertools.count(0.0, seconds)
    clock = lambda: next(ticks)  # noqa: E731 - the clock of the test
    rounds = take_turns(turns(old, "A", order), turns(new, "B", order), plan, lambda _: None, clock)
    return rounds, "".join(order)


def test_both_take_turns_so_that_drift_hits_both_alike() -> None:
    drifting = itertools.count(10.0, 0.5)  # the machine gets slower from turn to turn
    rounds, order = ran(RoundsPlan(fewest=6, most=6), drifting, drifting)
    assert order == "ABBAABBAABBA"
    found = rounds.metric("p99_ms")
    assert found is not None
    assert found.relative_low is not None
    assert found.relative_high is not None
    assert found.relative_low < 0 < found.relative_high
    assert abs(found.change) < 0.005
    assert rounds.ended == ""


def test_what_is_plain_after_the_fewest_rounds_needs_no_more() -> None:
    for new in (10.0, 13.0):
        rounds, order = ran(RoundsPlan(most=20, limits=(P99,)), itertools.repeat(10.0), itertools.repeat(new))
        assert (len(order), rounds.ended) == (10, "")


def test_it_goes_on_while_the_interval_lies_on_both_sides_of_the_limit() -> None:
    noise = itertools.cycle([10.0, 12.5, 10.5, 12.0, 11.0, 11.9])
    rounds, _ = ran(RoundsPlan(most=12, limits=(P99,)), itertools.repeat(10.0), noise)
    assert len(rounds.candidate) == 12
    assert rounds.ended == "no more than 12 rounds are allowed: p99 undecided"
    settled = itertools.chain([10.0, 12.5, 10.5, 12.0, 11.0], itertools.repeat(12.4))
    rounds, _ = ran(RoundsPlan(most=40, limits=(P99,)), itertools.repeat(10.0), settled)
    assert 5 < len(rounds.candidate) < 40
    assert rounds.ended == ""


def test_no_round_begins_that_would_end_after_the_time_limit() -> None:
    endless = itertools.cycle([9.0, 13.0])
    plan = RoundsPlan(most=1000, limits=(P99,), time_limit_s=60)
    rounds, _ = ran(plan, itertools.repeat(10.0), endless, seconds=7)
    assert len(rounds.candidate) == 7
    assert rounds.ended == "no further round fitted into 60 s: p99 undecided"
    rounds, _ = ran(RoundsPlan(time_limit_s=20), itertools.repeat(10.0), endless, seconds=7)
    assert len(rounds.candidate) < 5
    assert rounds.comparison("old").metrics == ()


def load(**changes: object) -> LoadResult:
    latency = Latency(p50_ms=5, p95_ms=6, p99_ms=8, max_ms=9, mean_ms=5)
    usual = LoadResult(
        shape="constant", duration_s=5, requests=250, errors=0, throughput_rps=50, latency=latency
    )
    return usual.model_copy(update=changes)


USED = Resources(cpu_seconds_per_1000_requests=1.5)


def test_a_turn_has_every_metric() -> None:
    found = turn_of(load(), load(throughput_rps=800.0, errors=2), USED, 10_000_000, START)
    assert found.values == {
        "p50_ms": 5,
        "p95_ms": 6,
        "p99_ms": 8,
        "throughput_rps": 800,
        "cpu_seconds_per_1000_requests": 1.5,
        "peak_memory_bytes": 10_000_000,
        "cold_start_ms": 500,
    }
    assert (found.errors, found.lacking) == (2, {})


@pytest.mark.parametrize(
    ("steady", "full", "lacking"),
    [
        ({"generator_cpu": 0.95}, {}, {"p50_ms", "p95_ms", "p99_ms"}),
        ({}, {"generator_cpu": 0.95}, {"throughput_rps"}),
        ({"send_lag_p99_ms": 30.0}, {}, {"p50_ms", "p95_ms", "p99_ms"}),
        ({"requests": 60}, {}, {"p99_ms"}),
        ({"errors": 1}, {}, {"p99_ms"}),  # of 250: who fails at once is in no percentile
        ({"errors": 100}, {}, {"p50_ms", "p95_ms", "p99_ms"}),
        ({}, {"errors": 100}, {"throughput_rps"}),
        (
            {"latency": None, "errors": 250},
            {"throughput_rps": 0.0},
            {"p50_ms", "p95_ms", "p99_ms", "throughput_rps"},
        ),
    ],
)
def test_what_measured_something_else_is_not_compared(
    steady: dict[str, object], full: dict[str, object], lacking: set[str]
) -> None:
    assert set(turn_of(load(**steady), load(**full), USED, 1, START).lacking) == lacking


def test_a_metric_is_compared_over_the_rounds_that_have_it() -> None:
    good, bad = [turn(10.0)] * 6, [turn(0.0, why="the load generator was late")]
    some = Rounds([*good, *bad], [*good, turn(10.0)], "").metric("p99_ms")
    assert some is not None
    assert some.rounds == 6
    few = Rounds([*good[:4], *bad], [*good[:4], turn(10.0)], "").comparison("old")
    assert few.metric("p99_ms") is None
    assert few.notes == ("p99 is not compared: the load generator was late",)


def talking(tokens: int) -> Turn:
    each = TokenTimes(
        tokens=tokens,
        tokens_per_s=100,
        first_token=Latency(p50_ms=5, p95_ms=6, p99_ms=8, max_ms=9, mean_ms=5),
        request_tokens_per_s=50,
        counted_by="usage",
    )
    return turn_of(load(tokens=each), load(), USED, 1, START)


def test_a_language_model_that_says_less_is_not_quicker_without_a_word_about_it() -> None:
    def notes(new: int) -> tuple[str, ...]:
        return Rounds([talking(32 * 250)] * 5, [talking(new * 250)] * 5, "").comparison("old").notes

    assert notes(31) == ()
    told = "an answer of the new image has 8 tokens, one of the deployed image 32"
    assert notes(8) == (f"{told}: their times are not of the same work",)
