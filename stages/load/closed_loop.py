"""A closed-loop load: so many clients, each of which sends its next request when it has the answer.

It tells what the server can do at most; it tells no latency that users of an open system would see, because
clients that wait send nothing meanwhile.
"""

import asyncio
import time
from dataclasses import dataclass

from stages.load.sending import Sender
from stages.load.stopwatch import Stopwatch


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosedLoop:
    """What is asked of the server: so many clients, for a time."""

    concurrency: int
    duration_s: float


async def drive_closed(sender: Sender, load: ClosedLoop) -> None:
    """Let every client send until the time is over; ends within the duration and one time limit."""
    stopwatch = Stopwatch(load.duration_s)
    async with asyncio.TaskGroup() as tasks:
        for _ in range(load.concurrency):
            tasks.create_task(_client(sender, stopwatch.begin + load.duration_s))
    stopwatch.stop(sender.measured)


async def _client(sender: Sender, end: float) -> None:
    while (now := time.perf_counter()) < end:
        sender.measured.due += 1
        if not await sender.send(now, now):
            await asyncio.sleep(0.001)  # a server that refuses at once is no reason to hammer it
