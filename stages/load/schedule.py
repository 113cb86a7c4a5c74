"""When requests are due, in an open loop: however slow the answers are."""

import random
from collections.abc import Iterator
from typing import Literal

Shape = Literal["constant", "poisson"]
SEED = 20_260  # the same arrivals in every run: what differs between two runs is then not the load


def count_due(rate_rps: float, duration_s: float) -> int:
    """Return how many requests fall due, at least one: as many as were asked for, whatever the shape."""
    return max(1, round(rate_rps * duration_s))


def due_times(shape: Shape, rate_rps: float, duration_s: float) -> Iterator[float]:
    """Yield the seconds after the start at which requests are due, at least one.

    constant: evenly spaced; poisson: as of many independent clients, given that so many requests come in this
    time: a short load of another seed would be a tenth more or less than was asked for. Such moments are
    independent and uniform; they are drawn in their order (J. Bentley and J. Saxe, Generating Sorted Lists of
    Random Numbers, ACM Transactions on Mathematical Software 6, 1980).
    """
    count = count_due(rate_rps, duration_s)
    if shape == "constant":
        for number in range(count):
            yield number / rate_rps
        return
    draw = random.Random(SEED)  # noqa: S311 - arrivals, no secrets
    left = 1.0
    for remaining in range(count, 0, -1):
        left *= (1.0 - draw.random()) ** (1.0 / remaining)
        yield duration_s * (1.0 - left)
