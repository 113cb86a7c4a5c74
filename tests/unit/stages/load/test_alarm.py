"""Moments that are waited for: never too early, and never alone."""

import asyncio
import time
from collections.abc import Callable

import pytest
import uvloop

from stages.load.alarm import Alarm


@pytest.mark.parametrize(
    "make_loop", [uvloop.new_event_loop, asyncio.new_event_loop], ids=["uvloop", "asyncio"]
)
def test_it_never_rings_too_early(make_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    async def play() -> list[float]:
        early = []
        async with Alarm() as alarm:
            for wait_s in (0.0003, 0.0007, 0.0011, 0.02, 0.0):
                due = time.perf_counter() + wait_s
                await alarm.until(due)
                early.append(due - time.perf_counter())
        return early

    with asyncio.Runner(loop_factory=make_loop) as runner:
        assert max(runner.run(play())) <= 0


def test_others_get_their_turn_also_when_the_moment_is_over() -> None:
    async def play() -> bool:
        others = asyncio.create_task(asyncio.sleep(0))
        async with Alarm() as alarm:
            for _ in range(3):
                await alarm.until(time.perf_counter() - 1)
        return others.done()

    assert asyncio.run(play())


def test_a_wait_can_be_given_up() -> None:
    async def play() -> None:
        async with Alarm() as alarm:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await alarm.until(time.perf_counter() + 0.02)
            due = time.perf_counter() + 0.03
            await alarm.until(due)
            assert time.perf_counter() >= due

    asyncio.run(play())
