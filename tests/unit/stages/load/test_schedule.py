"""Arrivals: evenly spaced, or as of many independent clients; the same in every run."""

from itertools import pairwise
from statistics import mean, pstdev

import pytest

from stages.load.open_loop import OpenLoop
from stages.load.schedule import Shape, due_times


def test_constant_arrivals_are_evenly_spaced() -> None:
    assert list(due_times("constant", 10, 0.5)) == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])


def test_at_least_one_request_is_due() -> None:
    assert list(due_times("constant", 0.1, 0.5)) == [0]
    (due,) = due_times("poisson", 0.001, 0.5)
    assert 0 <= due <= 0.5


def test_poisson_gaps_vary_as_much_as_they_last() -> None:
    gaps = [later - earlier for earlier, later in pairwise(due_times("poisson", 100, 100))]
    assert mean(gaps) == pytest.approx(0.01, rel=0.05)
    assert pstdev(gaps) == pytest.approx(0.01, rel=0.05)


@pytest.mark.parametrize("count", [100, 200, 500])
def test_a_load_at_random_is_of_the_rate_that_was_asked_for(count: int) -> None:
    moments = list(due_times("poisson", count / 10, 10))
    assert len(moments) == count
    assert moments == sorted(moments)
    assert 0 <= moments[0] < moments[-1] <= 10
    assert mean(moments) == pytest.approx(5, abs=1)  # neither the beginning nor the end has more of them


def test_two_runs_have_the_same_arrivals() -> None:
    assert list(due_times("poisson", 50, 2)) == list(due_times("poisson", 50, 2))


@pytest.mark.parametrize(("rate_rps", "duration_s"), [(20, 5), (20, 6), (3, 40), (0.01, 1)])
def test_a_load_knows_how_many_requests_will_be_due(rate_rps: float, duration_s: float) -> None:
    shapes: tuple[Shape, ...] = ("constant", "poisson")
    for shape in shapes:
        load = OpenLoop(rate_rps=rate_rps, duration_s=duration_s, shape=shape)
        assert load.requests == len(list(due_times(shape, rate_rps, duration_s)))
