"""An open-loop load generator: requests are due on a fixed schedule, whatever the server does.

Latency counts from the moment at which a request was due, so a server that stalls for half a second shows
in the latency of every request that fell due in that time ("coordinated omission" is what a closed loop
does: it waits together with the server and misses them). How late the generator itself was is kept apart.
"""

import asyncio
import math
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from pipeline.model import Latency
from stages.servers.interface import Answer

Send = Callable[[], Awaitable[Answer]]

NOT_SENT = "not sent: the server had not kept up when the time was over"
KINDS_OF_ERRORS = 100  # each message is kept once, and a server may put something unique into every one
LAG_LIMIT_MS = 20.0
LAG_LIMIT_SHARE = 0.25
CPU_LIMIT = 0.85
FEWEST_FOR_P99 = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What is asked of the server: a rate, for a time."""

    rate_rps: float
    duration_s: float
    request_timeout_s: float
    in_flight: int = 1024
    """More are never on their way at once; what is due then waits, and the wait counts."""

    @property
    def requests(self) -> int:
        """How many requests fall due."""
        return max(1, round(self.rate_rps * self.duration_s))


@dataclass(slots=True)
class Measured:
    """What came of a load; durations in milliseconds, in the order in which the answers came.

    `latencies_ms` and `service_ms` hold the good answers and the requests whose time ran out (with the time
    that they waited, which is less than they would have needed). A quick error has no place among them.
    """

    due: int
    latencies_ms: list[float] = field(default_factory=list)
    service_ms: list[float] = field(default_factory=list)
    lags_ms: list[float] = field(default_factory=list)
    good: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    elapsed_s: float = 0.0
    generator_cpu: float = 0.0

    @property
    def failed(self) -> int:
        """How many requests got no good answer."""
        return self.errors.total()

    @property
    def send_lag_p99_ms(self) -> float:
        """How late the generator was."""
        return percentile(sorted(self.lags_ms), 99) if self.lags_ms else 0.0

    def note(self, error: str) -> None:
        """Count an error."""
        known = error in self.errors or len(self.errors) < KINDS_OF_ERRORS
        self.errors[error if known else "other errors"] += 1


async def drive(send: Send, load: Load, measured: Measured) -> None:
    """Send what is due when it is due, and fill `measured`; ends within the duration and two time limits."""
    slots = asyncio.Semaphore(load.in_flight)
    cpu = time.process_time()
    begin = free_since = time.perf_counter()
    cutoff = begin + load.duration_s + load.request_timeout_s
    async with asyncio.TaskGroup() as tasks:
        for index in range(load.requests):
            due = begin + index / load.rate_rps
            await _until(due)
            if slots.locked():
                await slots.acquire()
                free_since = time.perf_counter()
            else:
                await slots.acquire()
            if time.perf_counter() > cutoff:
                measured.errors[NOT_SENT] += load.requests - index
                break
            task = tasks.create_task(_one(send, load, measured, due, max(due, free_since)))
            task.add_done_callback(lambda _: slots.release())
    measured.elapsed_s = max(time.perf_counter() - begin, load.duration_s)
    measured.generator_cpu = (time.process_time() - cpu) / measured.elapsed_s


async def _until(due: float) -> None:
    """Wait; at least once for the other tasks, also when we are late."""
    await asyncio.sleep(due - time.perf_counter())
    while (left := due - time.perf_counter()) > 0:  # timers of the loop count whole milliseconds
        await asyncio.sleep(left)


async def _one(send: Send, load: Load, measured: Measured, due: float, possible: float) -> None:
    """Send one request; it was due at `due` and could be sent from `possible` on."""
    sent = time.perf_counter()
    measured.lags_ms.append((sent - possible) * 1000)
    try:
        async with asyncio.timeout(load.request_timeout_s):
            answer = await send()
    except TimeoutError:
        measured.note(f"no answer within {load.request_timeout_s:g} s")
    except (
        Exception
    ) as error:  # a protocol from elsewhere may raise anything; one request must not end the run
        measured.note(f"{type(error).__name__}: {error}")
        return
    else:
        if answer.error:
            measured.note(answer.error)
            return
        measured.good += 1
    now = time.perf_counter()
    measured.latencies_ms.append((now - due) * 1000)
    measured.service_ms.append((now - sent) * 1000)


def percentile(ordered: Sequence[float], percent: float) -> float:
    """Return the smallest of the sorted samples that `percent` of them do not exceed (nearest rank)."""
    return ordered[max(0, math.ceil(percent / 100 * len(ordered)) - 1)]


def summarize(samples_ms: Sequence[float]) -> Latency | None:
    """Return the exact percentiles of the samples, or None where there are none."""
    if not samples_ms:
        return None
    ordered = sorted(samples_ms)
    return Latency(
        p50_ms=percentile(ordered, 50),
        p95_ms=percentile(ordered, 95),
        p99_ms=percentile(ordered, 99),
        max_ms=ordered[-1],
        mean_ms=math.fsum(ordered) / len(ordered),
    )


def is_late(measured: Measured) -> bool:
    """Tell whether the generator's own lateness is a noticeable part of the latency."""
    lag, latency = measured.send_lag_p99_ms, summarize(measured.latencies_ms)
    return lag > LAG_LIMIT_MS and (latency is None or lag > LAG_LIMIT_SHARE * latency.p99_ms)


def doubts(measured: Measured) -> tuple[str, ...]:
    """Return why the numbers must not be trusted, if so."""
    found = []
    if measured.good == 0:
        found.append(f"none of {measured.due} requests got a good answer")
    elif len(measured.latencies_ms) < FEWEST_FOR_P99:
        found.append(
            f"the p99 of {len(measured.latencies_ms)} answers is no more than the slowest of them: at least "
            f"{FEWEST_FOR_P99} are needed, so raise `benchmark.duration_s` or `benchmark.rate_rps`"
        )
    if is_late(measured):
        found.append(
            f"the load generator was late (p99 {measured.send_lag_p99_ms:.1f} ms): this machine is too busy, "
            "or the rate too high"
        )
    if measured.generator_cpu > CPU_LIMIT:
        found.append(
            f"the load generator used {measured.generator_cpu:.0%} of a core and may be the bottleneck"
        )
    return tuple(found)
