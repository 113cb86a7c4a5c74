"""Loads on one server, one after the other, with a line of progress every second."""

import asyncio
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from itertools import count

from pipeline.model import LoadResult, Sweep
from stages.load.closed_loop import ClosedLoop, drive_closed
from stages.load.measured import Measured
from stages.load.open_loop import OpenLoop, drive
from stages.load.result import result_of
from stages.load.sending import Sender
from stages.load.sweep import SweepPlan, long_enough, sweep
from stages.load.validity import is_late
from stages.servers.answers import with_expectations
from stages.servers.interface import ModelServer, Payload
from stages.servers.resources import Window
from stages.servers.warming import Timed

Load = OpenLoop | ClosedLoop

Watch = Callable[[], AbstractContextManager[Window]]

ATTEMPTS = 3  # a machine that was busy with something else for a moment is no reason to fail
SHOWN_ERRORS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """A load that is over."""

    result: LoadResult
    samples: tuple[str, ...]
    """The commonest errors in words, with their numbers."""
    good: int
    elapsed_s: float
    window: Window
    """What the server used meanwhile, where somebody watched."""


@dataclass(slots=True)
class Loads:
    """Puts one server under loads."""

    server: ModelServer
    request_timeout_s: float
    say: Callable[[str], None]
    _payloads: tuple[Payload, ...] = field(default=(), init=False)

    async def ask_alone(self, *, compare: bool) -> None:
        """Learn what answers to expect."""
        self._payloads = await with_expectations(self.server, self.request_timeout_s, compare=compare)

    async def warm_up(self, load: Load) -> tuple[Timed, int]:
        """Return each answer's time, and how many requests there were."""
        timed = Timed(self.server)
        return timed, (await self._drive(load, "warm-up", timed)).due

    async def steady(self, load: Load, what: str, watch: Watch) -> Done:
        """Return the first load during which nothing else kept this machine busy, or the last one."""
        for attempt in count(1):
            with watch() as window:  # what an attempt that does not count used is not charged to the next one
                measured = await self._drive(load, what, self.server)
            if attempt == ATTEMPTS or not is_late(measured):
                break
            self.say(f"the load generator was late (p99 {measured.send_lag_p99_ms:.0f} ms): once more")
        return _done(load, measured, window)

    async def sweep(self, plan: SweepPlan, step_s: float) -> Sweep:
        """Return the highest rate that fits, of open loops of so many seconds, or as many as a p99 needs."""

        async def attempt(rate_rps: float) -> LoadResult:
            load = OpenLoop(rate_rps=rate_rps, duration_s=long_enough(step_s, rate_rps))
            return (await self.steady(load, f"sweep at {rate_rps:.0f}/s", unwatched)).result

        return await sweep(plan, attempt)

    async def _drive(self, load: Load, what: str, server: ModelServer) -> Measured:
        measured = Measured()
        sender = Sender(
            server=server,
            request_timeout_s=self.request_timeout_s,
            measured=measured,
            payloads=self._payloads,
        )
        narrator = asyncio.create_task(self._narrate(what, load, measured))
        try:
            if isinstance(load, ClosedLoop):
                await drive_closed(sender, load)
            else:
                await drive(sender, load)
        finally:
            narrator.cancel()
        return measured

    async def _narrate(self, what: str, load: Load, measured: Measured) -> None:
        begin = time.perf_counter()
        while True:
            spent = time.perf_counter() - begin
            done = f"{measured.good} good answers, {measured.failed} errors"
            self.say(f"{what}: {min(spent, load.duration_s):.0f} of {load.duration_s:g} s, {done}")
            await asyncio.sleep(1.0)


def unwatched() -> AbstractContextManager[Window]:
    """Watch nobody."""
    return nullcontext(Window())


def shortened(load: Load, duration_s: float) -> Load:
    """Return the load with another duration: that of its warm-up."""
    return replace(load, duration_s=duration_s)


def _done(load: Load, measured: Measured, window: Window) -> Done:
    samples = measured.errors.most_common(SHOWN_ERRORS)
    return Done(
        result=result_of(load, measured),
        samples=tuple(f"{count} times: {message}" for message, count in samples),
        good=measured.good,
        elapsed_s=measured.elapsed_s,
        window=window,
    )
