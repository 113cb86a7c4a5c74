"""A hint for the deployment: requests, limits and requests per replica, each with the numbers behind it."""

import math
from collections.abc import Iterator

from pipeline.model import LoadResult, Resources, Sizing, Sweep

MEBIBYTE = 1024**2
STEP_BYTES = 16 * MEBIBYTE
REQUEST_ROOM = 1.1
LIMIT_ROOM = 1.25  # what a short measurement did not see: longer requests, fragmentation
RATE_ROOM = 0.7  # an autoscaler needs time to start another replica
PROCESSOR_STEP = 0.05
GROWS = 0.1  # of the memory in use, and a step: less is what any server does at first


def sizing_of(
    peak_memory_bytes: int,
    load: LoadResult,
    *,
    resources: Resources,
    sweep: Sweep | None,
    cpus: float | None,
) -> Sizing | None:
    """Return the hint; None where the memory could not be read."""
    if not peak_memory_bytes:
        return None
    steady = resources.steady_memory_bytes or peak_memory_bytes
    request, limit = _rounded(steady * REQUEST_ROOM), _rounded(peak_memory_bytes * LIMIT_ROOM)
    rate, why = _rate(load, resources, sweep, cpus)
    cores, why_cores = _cores(load, resources, rate)
    return Sizing(
        memory_request_bytes=min(request, limit),
        memory_limit_bytes=limit,
        cpu_request_cores=cores,
        requests_per_s_per_replica=rate,
        because=(
            f"memory request: {_mib(steady)} under load and {REQUEST_ROOM - 1:.0%}",
            f"memory limit: the peak of {_mib(peak_memory_bytes)} and {LIMIT_ROOM - 1:.0%}",
            *_growing(steady, resources.memory_growth_bytes or 0),
            *((why_cores,) if why_cores else ()),
            *((why,) if why else ()),
        ),
    )


def _growing(steady_bytes: int, growth_bytes: int) -> Iterator[str]:
    if growth_bytes > max(STEP_BYTES, GROWS * steady_bytes):
        yield (
            f"memory grew by {_mib(growth_bytes)} during the load: where it goes on, no limit is enough "
            "(a longer `benchmark.duration_s` shows it)"
        )


def _rate(
    load: LoadResult, resources: Resources, sweep: Sweep | None, cpus: float | None
) -> tuple[float | None, str]:
    """Return how many requests a replica should get, from the best that is known."""
    if sweep is not None and sweep.best_rps:
        why = f"{sweep.best_rps:.0f}/s is the highest rate with p99 within {sweep.budget_p99_ms:g} ms"
        return sweep.best_rps * RATE_ROOM, f"requests per replica: {why}, and {RATE_ROOM:.0%} of it"
    spent = resources.cpu_seconds_per_1000_requests
    if cpus is not None and spent:
        highest = cpus / (spent / 1000)
        why = f"{cpus:g} processors are enough for {highest:.0f}/s of {spent:.2f} CPU s per 1,000"
        return highest * RATE_ROOM, f"requests per replica: {why}, and {RATE_ROOM:.0%} of it"
    if load.errors or load.invalid:
        return None, ""
    why = f"{load.throughput_rps:.0f}/s were answered well; nobody tried more (`benchmark.sweep` does)"
    return load.throughput_rps, f"requests per replica: {why}"


def _cores(load: LoadResult, resources: Resources, rate: float | None) -> tuple[float | None, str]:
    used, spent = resources.cpu_cores, resources.cpu_seconds_per_1000_requests
    if used is None:
        return None, ""
    if rate is None or spent is None:
        return _up(used), f"processors: {used:.2f} were used at {load.throughput_rps:.0f} requests/s"
    cores = rate * spent / 1000
    return _up(cores), f"processors: {rate:.0f} requests/s at {spent:.2f} CPU s per 1,000"


def _up(cores: float) -> float:
    return round(math.ceil(cores / PROCESSOR_STEP - 1e-9) * PROCESSOR_STEP, 2) or PROCESSOR_STEP


def _rounded(size_bytes: float) -> int:
    return math.ceil(size_bytes / STEP_BYTES) * STEP_BYTES


def _mib(size_bytes: int) -> str:
    return f"{size_bytes / MEBIBYTE:.0f} MiB"
