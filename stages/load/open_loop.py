"""An open-loop load: requests are due on a schedule, whatever the server does.

Latency counts from the moment at which a request was due, so a server that stalls for half a second shows
in the latency of every request that fell due in that time ("coordinated omission" is what a closed loop
does: it waits together with the server and misses them). How late the generator itself was is kept apart.
"""

import asyncio
import time
from dataclasses import dataclass

from stages.load.alarm import Alarm
from stages.load.measured import Measured
from stages.load.schedule import Shape, count_due, due_times
from stages.load.sending import Sender
from stages.load.stopwatch import Stopwatch

NOT_SENT = "not sent: the server had not kept up when the time was over"


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenLoop:
    """What is asked of the server: a rate, for a time."""

    rate_rps: float
    duration_s: float
    shape: Shape = "constant"
    in_flight: int = 1024
    """More are never on their way at once; what is due then waits, and the wait counts."""

    @property
    def requests(self) -> int:
        """How many requests fall due."""
        return count_due(self.rate_rps, self.duration_s)


async def drive(sender: Sender, load: OpenLoop) -> None:
    """Send what is due when it is due; ends within the duration and two time limits."""
    measured = sender.measured
    slots = asyncio.Semaphore(load.in_flight)
    stopwatch = Stopwatch(load.duration_s)
    begin = free_since = stopwatch.begin
    cutoff = begin + load.duration_s + sender.request_timeout_s
    moments = due_times(load.shape, load.rate_rps, load.duration_s)
    async with Alarm() as alarm, asyncio.TaskGroup() as tasks:
        for after in moments:
            measured.due += 1
            due = begin + after
            await alarm.until(due)
            if slots.locked():
                await slots.acquire()
                free_since = time.perf_counter()
            else:
                await slots.acquire()
            if time.perf_counter() > cutoff:
                _give_up(measured, due, [begin + later for later in moments])
                break
            task = tasks.create_task(sender.send(due, max(due, free_since)))
            task.add_done_callback(lambda _: slots.release())
        stopwatch.sent()
    # Answers come one latency after their requests, the first one too: who keeps up shows the rate.
    stopwatch.stop(measured, since=measured.first_answer_at)


def _give_up(measured: Measured, due: float, further: list[float]) -> None:
    """Count what is not sent any more: it has waited for longer than any request may."""
    now = time.perf_counter()
    measured.due += len(further)
    measured.note(NOT_SENT, "not sent", 1 + len(further))
    for each in (due, *further):
        measured.latencies.add((now - each) * 1000)
