"""What a server uses: the peak over its life, the rest over one load."""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from stages.servers.memory import Usage
from stages.servers.resources import Sampler, Window, resources_of


@dataclass
class Source:
    """A source that says what it is told to say."""

    usage: Usage | None = field(default_factory=lambda: Usage(memory_bytes=7000))
    name: str = "cgroup v2"

    def read(self) -> Usage:
        if self.usage is None:
            raise OSError("gone")
        return self.usage


def wait_for(found: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not found() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert found()


def test_the_peak_is_kept_when_the_use_falls_again() -> None:
    source = Source()
    with Sampler(source) as sampler:
        source.usage = Usage(memory_bytes=87000)
        wait_for(lambda: sampler.peak_bytes == 87000)
        source.usage = Usage(memory_bytes=20000)
        time.sleep(0.3)
    assert sampler.peak_bytes == 87000
    assert sampler.doubts() == ()


def test_a_container_that_is_gone_leaves_the_peak_so_far() -> None:
    source = Source()
    with Sampler(source) as sampler:
        wait_for(lambda: sampler.peak_bytes == 7000)
        source.usage = None
        time.sleep(0.3)
    assert sampler.peak_bytes == 7000
    assert sampler.doubts() == ("the container's memory could not be read from cgroup v2 until the end",)


def test_reads_that_mostly_fail_are_a_doubt() -> None:
    source = Source(usage=None)
    with Sampler(source) as sampler:
        time.sleep(1)
        source.usage = Usage(memory_bytes=7000)
        wait_for(lambda: sampler.peak_bytes == 7000)
    (doubt,) = sampler.doubts()
    assert re.search(r"could not be read from cgroup v2 \d+ of \d+ times", doubt)


def test_memory_that_could_not_be_read_is_a_doubt() -> None:
    with Sampler(Source(usage=None)) as sampler:
        pass
    assert "could not be read" in sampler.doubts()[0]


def test_a_load_is_charged_with_what_was_used_while_it_lasted() -> None:
    source = Source(usage=Usage(memory_bytes=5, cpu_s=100, periods=10, throttled=1, kills=0))
    with Sampler(source) as sampler:
        with sampler.window() as window:
            source.usage = Usage(memory_bytes=9, cpu_s=103, periods=110, throttled=26, kills=1)
            wait_for(lambda: len(window.samples) >= 3)
        source.usage = Usage(memory_bytes=1, cpu_s=900, periods=999, throttled=999, kills=7)
    used = resources_of(window, good=1500, elapsed_s=2.0, source="cgroup v2")
    assert used.steady_memory_bytes == 9
    assert used.cpu_cores == pytest.approx(1.5)
    assert used.cpu_seconds_per_1000_requests == pytest.approx(2.0)
    assert used.throttled_share == pytest.approx(0.25)
    assert used.out_of_memory_kills == 1


def test_a_source_that_counts_no_time_tells_the_processors_in_use() -> None:
    samples = [Usage(memory_bytes=1, cores=0.5), Usage(memory_bytes=1, cores=1.5)]
    used = resources_of(Window(samples=samples), good=100, elapsed_s=10, source="engine statistics")
    assert (used.cpu_cores, used.cpu_seconds_per_1000_requests) == (1.0, 100.0)
    assert used.throttled_share is None


def test_without_a_limit_nothing_is_throttled_and_nothing_said_of_it() -> None:
    same = Usage(memory_bytes=1, cpu_s=1, periods=0, throttled=0)
    assert resources_of(Window(same, same), good=1, elapsed_s=1, source="").throttled_share is None


def test_what_was_in_use_before_and_after_a_load_is_not_averaged_into_it() -> None:
    idle, busy = Usage(memory_bytes=1, cores=0.0), Usage(memory_bytes=1, cores=2.0)
    window = Window(before=idle, samples=[busy, busy], after=idle)
    assert resources_of(window, good=100, elapsed_s=10, source="engine statistics").cpu_cores == 2.0


def test_a_kill_after_the_load_is_known_too() -> None:
    source = Source(usage=Usage(memory_bytes=5, kills=0))
    with Sampler(source) as sampler:
        with sampler.window():
            pass
        source.usage = Usage(memory_bytes=5, kills=2)
        wait_for(lambda: sampler.kills == 2)


def test_memory_that_grows_during_a_load_is_told() -> None:
    samples = [Usage(memory_bytes=used) for used in (*range(100, 120), 9_000)]
    used = resources_of(Window(samples=samples), good=1, elapsed_s=1, source="")
    assert used.memory_growth_bytes == 17  # one peak is no growth
    few = resources_of(Window(samples=samples[:9]), good=1, elapsed_s=1, source="")
    assert few.memory_growth_bytes is None
