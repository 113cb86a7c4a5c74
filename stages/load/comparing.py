"""Whether two servers that were measured in turn differ, and between what and what the difference lies.

Each round measures both, so what the machine did meanwhile hits both alike. A round gives the logarithm of
candidate over baseline; the interval of their mean comes from a bootstrap on the rounds. Plain percentile
intervals are too narrow for few rounds, so the percentiles are widened as for Student's t and for the
divisor n-1 (T. Hesterberg, What Teachers Should Know About the Bootstrap, The American Statistician 69,
2015, section 5.3.2: "expanded percentile").
"""

import math
import random
from collections.abc import Sequence
from statistics import NormalDist, geometric_mean

from pipeline.model import Metric, MetricComparison

RESAMPLES = 10_000
SEED = 20_262  # the same rounds give the same verdict, on every machine
CONFIDENCE = 0.95
# Student's t with 1, 2, 3 … degrees of freedom that 2.5 % exceed; beyond the table it hardly changes.
STUDENT_T = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228),
    *(2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086),
)
FEWEST_ROUNDS = 5


def interval(ratios: Sequence[float]) -> tuple[float, float]:
    """Return the interval of the relative change, such as (-0.02, 0.05), from one ratio for each round.

    Raises:
        ValueError: there are fewer than two rounds, or a ratio is not above zero.
    """
    if len(ratios) < 2 or min(ratios) <= 0:
        raise ValueError("an interval needs at least two rounds with values above zero")
    logs = [math.log(ratio) for ratio in ratios]
    means = _means(logs)
    tail = _expanded_tail(len(logs))
    low, high = _quantile(means, tail), _quantile(means, 1 - tail)
    return math.expm1(low), math.expm1(high)


def compare(metric: Metric, baseline: Sequence[float], candidate: Sequence[float]) -> MetricComparison:
    """Return how a metric changed, from one value above zero for each round and image.

    What stands for the rounds is their geometric mean: the ratio of the two is then the mean ratio, which
    lies inside the interval.

    Raises:
        ValueError: there are fewer than two rounds, or a value is not above zero.
    """
    low, high = interval([new / old for old, new in zip(baseline, candidate, strict=True)])
    return MetricComparison(
        metric=metric,
        baseline=geometric_mean(baseline),
        candidate=geometric_mean(candidate),
        relative_low=low,
        relative_high=high,
        confidence=CONFIDENCE,
        rounds=len(baseline),
        baseline_rounds=tuple(baseline),
        candidate_rounds=tuple(candidate),
    )


def _means(logs: Sequence[float]) -> list[float]:
    draw = random.Random(SEED)  # noqa: S311 - resampling, no secrets
    count = len(logs)
    drawn = draw.choices(logs, k=count * RESAMPLES)  # at once: ten thousand calls would take a second
    return sorted(sum(drawn[begin : begin + count]) / count for begin in range(0, len(drawn), count))


def _expanded_tail(count: int) -> float:
    """Return the percentile to cut at: Phi(-sqrt(n / (n - 1)) * t), t of Student with n - 1 degrees."""
    t = STUDENT_T[min(count - 1, len(STUDENT_T)) - 1]
    return NormalDist().cdf(-math.sqrt(count / (count - 1)) * t)


def _quantile(ordered: Sequence[float], share: float) -> float:
    """Return a quantile with linear interpolation between the neighbours."""
    at = share * (len(ordered) - 1)
    below = math.floor(at)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (at - below)
