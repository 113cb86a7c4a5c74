"""When requests are due, in an open loop: however slow the answers are."""

import random
from collections.abc import Iterator
from itertools import count
from typing import Literal

Shape = Literal["constant", "poisson"]
SEED = 20_260  # the same arrivals in every run: what differs between two runs is then not the load


def due_times(shape: Shape, rate_rps: float, duration_s: float) -> Iterator[float]:
    """Yield the seconds after the start at which requests are due, at least one.

    constant: evenly spaced; poisson: gaps drawn from an exponential distribution, as of many independent
    clients.
    """
    if shape == "constant":
        for number in range(max(1, round(rate_rps * duration_s))):
            yield number / rate_rps
        return
    draw = random.Random(SEED)  # noqa: S311 - arrivals, no secrets
    due = 0.0
    for number in count():
        if due > duration_s and number:
            return
        yield due
        due += draw.expovariate(rate_rps)
