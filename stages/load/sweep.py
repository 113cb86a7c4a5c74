"""A sweep: the highest rate that the server answers within a budget for its p99."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from pipeline.model import LoadResult, Sweep
from stages.load.validity import FEWEST_FOR_P99, latency_doubt
from stages.servers.interface import LACKING

Try = Callable[[float], Awaitable[LoadResult]]
GROWTH = 2.0
LONGEST_STEP_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepPlan:
    """Where to begin, what is allowed, and how closely the answer is wanted."""

    budget_p99_ms: float
    begin_rps: float
    highest_rps: float = 10_000.0
    within: float = 0.1
    """The answer is at most this share below the rate that no longer fits."""
    most_steps: int = 12


async def sweep(plan: SweepPlan, attempt: Try) -> Sweep:
    """Double the rate until it does not fit, then halve the gap.

    A rate fits when no request fails and the p99 is within the budget.
    """
    steps: list[LoadResult] = []
    fits, too_much, limit = 0.0, 0.0, ""
    rate = min(plan.begin_rps, plan.highest_rps)
    while len(steps) < plan.most_steps:
        result = await attempt(rate)
        steps.append(result)
        why = _misfit(plan, result)
        if why:
            too_much, limit = rate, why
        else:
            fits = rate
        if why.startswith("the generator"):  # a higher rate would measure us, and a lower one is known
            break
        if fits >= plan.highest_rps:
            limit = f"the end: {plan.highest_rps:g} requests/s was the highest rate to try"
            break
        if too_much and fits and too_much - fits <= plan.within * too_much:
            break
        if too_much and not fits and too_much <= 1.0:
            break
        rate = min(_next(fits, too_much), plan.highest_rps)
    return Sweep(
        budget_p99_ms=plan.budget_p99_ms,
        best_rps=fits or None,
        limit=limit or f"the end: {plan.most_steps} rates were tried",
        steps=tuple(steps),
    )


def long_enough(step_s: float, rate_rps: float) -> float:
    """Return how long a rate is tried: until there are answers enough for a p99, if that takes no ages.

    Of fewer answers the p99 is the slowest: one hiccup at a low rate would hide all the higher ones.
    """
    return max(step_s, min(LONGEST_STEP_S, 1.01 * FEWEST_FOR_P99 / rate_rps))


def _next(fits: float, too_much: float) -> float:
    if not too_much:
        return fits * GROWTH
    return (fits + too_much) / 2 if fits else too_much / GROWTH


def _misfit(plan: SweepPlan, result: LoadResult) -> str:
    """Return why a rate does not fit; nothing when it does."""
    if lacking := result.errors_by_kind.get(LACKING):
        return f"the generator: {lacking} requests were not sent, for want of open files or ports"
    if result.errors:
        return f"errors: {result.errors} of {result.requests} requests"
    if result.latency is None:
        return "errors: no answer"
    if result.latency.p99_ms > plan.budget_p99_ms:
        if doubt := latency_doubt(result):
            return f"the generator: {doubt}"
        return f"latency: p99 {result.latency.p99_ms:.1f} ms"
    return ""
