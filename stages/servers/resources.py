"""What the server used: sampled while it runs, and counted over the loads."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import fmean, median
from types import TracebackType
from typing import Self

from pipeline.errors import PipelineError
from pipeline.model import GpuUse, Resources
from stages.servers.memory import Usage, UsageSource

SAMPLE_EVERY_S = 0.1
FEWEST_SAMPLES = 10  # fewer tell no growth


@dataclass(slots=True)
class Window:
    """The time of one load: what had been used before and after it, and the samples between."""

    before: Usage | None = None
    after: Usage | None = None
    samples: list[Usage] = field(default_factory=list)


class Sampler:
    """Samples a source in a thread of its own for as long as the `with` block lasts."""

    def __init__(self, source: UsageSource) -> None:
        self.source = source.name
        self.peak_bytes = 0
        self.kills: int | None = None
        """Processes killed for want of memory since the start; None where its source does not tell."""
        self._reads = 0
        self._failures = 0
        self._last_failed = False
        self._read = source.read
        self._window: Window | None = None
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._sample, name="usage", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Sample no more: the container is about to end."""
        self._end.set()
        self._thread.join()

    @contextmanager
    def window(self) -> Iterator[Window]:
        """Collect the samples of the time that the `with` block lasts."""
        window = Window(before=self._sample_once())
        self._window = window
        try:
            yield window
        finally:
            self._window = None
            window.after = self._sample_once()

    def doubts(self) -> tuple[str, ...]:
        """Return why the peak must not be trusted, if so."""
        if not self.peak_bytes:
            return (f"the container's memory could not be read from {self.source}",)
        if self._last_failed:
            return (f"the container's memory could not be read from {self.source} until the end",)
        if self._failures * 2 > self._reads:
            share = f"{self._failures} of {self._reads} times"
            return (f"the container's memory could not be read from {self.source} {share}",)
        return ()

    def _sample(self) -> None:
        while True:
            self._sample_once()
            if self._end.wait(SAMPLE_EVERY_S):
                return

    def _sample_once(self) -> Usage | None:
        self._reads += 1
        try:
            usage = self._read()
        except (OSError, ValueError, PipelineError):  # gone for good, or only for now
            self._failures += 1
            self._last_failed = True
            return None
        self._last_failed = False
        self.peak_bytes = max(self.peak_bytes, usage.memory_bytes)
        self.kills = usage.kills
        if (window := self._window) is not None:
            window.samples.append(usage)
        return usage


def resources_of(
    window: Window, *, good: int, elapsed_s: float, source: str, gpus: tuple[GpuUse, ...] = ()
) -> Resources:
    """Return what one load used; `good` is the number of its good answers."""
    used = [each for each in (window.before, *window.samples, window.after) if each is not None]
    caches = [each.page_cache_bytes for each in used if each.page_cache_bytes is not None]
    cores = _cores(window, elapsed_s)
    return Resources(
        steady_memory_bytes=round(median(each.memory_bytes for each in used)) if used else None,
        page_cache_bytes=round(median(caches)) if caches else None,
        memory_growth_bytes=_growth([each.memory_bytes for each in window.samples]),
        cpu_cores=cores,
        cpu_seconds_per_1000_requests=None if cores is None or not good else cores * elapsed_s / good * 1000,
        throttled_share=_throttled(window),
        out_of_memory_kills=None if window.after is None else window.after.kills,
        gpus=gpus,
        source=source,
    )


def _growth(used: Sequence[int]) -> int | None:
    fifth = len(used) // 5
    return None if len(used) < FEWEST_SAMPLES else round(median(used[-fifth:]) - median(used[:fifth]))


def _cores(window: Window, elapsed_s: float) -> float | None:
    before, after = window.before, window.after
    if before is not None and after is not None and before.cpu_s is not None and after.cpu_s is not None:
        return (after.cpu_s - before.cpu_s) / elapsed_s
    told = [each.cores for each in window.samples if each.cores is not None]  # before and after, it was idle
    return fmean(told) if told else None


def _throttled(window: Window) -> float | None:
    """Return the share of the scheduler's periods; None where there is no limit, or nobody counts them."""
    before, after = window.before, window.after
    if before is None or after is None or before.periods is None or after.periods is None:
        return None
    periods = after.periods - before.periods
    return ((after.throttled or 0) - (before.throttled or 0)) / periods if periods else None
