"""Loads one after the other: what an attempt that does not count used is charged to nobody."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager

from stages.load.open_loop import OpenLoop
from stages.servers.interface import GOOD, Answer, Payload
from stages.servers.loading import Loads
from stages.servers.memory import Usage
from stages.servers.resources import Window, resources_of
from tests.support.answering import Answering

LOAD = OpenLoop(rate_rps=100, duration_s=0.5)


def test_only_the_attempt_that_counts_is_charged() -> None:
    served = 0

    async def answer(_: Payload) -> Answer:
        nonlocal served
        served += 1
        if served == 20:  # something else keeps the generator busy, once
            time.sleep(0.3)
        return GOOD

    @contextmanager
    def watch() -> Iterator[Window]:
        window = Window(before=Usage(memory_bytes=1, cpu_s=served / 1000))  # a millisecond for each answer
        yield window
        window.after = Usage(memory_bytes=1, cpu_s=served / 1000)

    said: list[str] = []
    loads = Loads(Answering(answer), 5.0, said.append)
    done = asyncio.run(loads.steady(LOAD, "load", watch))
    assert any("once more" in line for line in said)
    assert done.good == 50
    used = resources_of(done.window, good=done.good, elapsed_s=done.elapsed_s, source="known")
    assert used.cpu_seconds_per_1000_requests is not None
    assert round(used.cpu_seconds_per_1000_requests, 6) == 1.0
