"""A closed-loop load: so many clients, each of which sends its next request when it has the answer.

It tells what the server can do at most; it tells no latency that users of an open system would see, because
clients that wait send nothing meanwhile.
"""

import asyncio
import time
from dataclasses import dataclass

from stages.load.sending import Sender


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosedLoop:
    """What is asked of the server: so many clients, for a time."""

    concurrency: int
    duration_s: float


async def drive_closed(sender: Sender, load: ClosedLoop) -> None:
    """Let every client send until the time is over; ends within the duration and one time limit."""
    cpu = time.process_time()
    begin = time.perf_counter()
    async with asyncio.TaskGroup() as tasks:
        for _ in range(load.concurrency):
            tasks.create_task(_client(sender, begin + load.duration_s))
    measured = sender.measured
    measured.elapsed_s = max(time.perf_counter() - begin, load.duration_s)
    measured.generator_cpu = (time.process_time() - cpu) / measured.elapsed_s


async def _client(sender: Sender, end: float) -> None:
    while (now := time.perf_counter()) < end:
        sender.measured.due += 1
        failed = sender.measured.failed
        await sender.send(now, now)
        if sender.measured.failed > failed:
            await asyncio.sleep(0.001)  # a server that refuses at once is no reason to hammer it
