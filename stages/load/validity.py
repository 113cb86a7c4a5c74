"""Whether the numbers of a load may be trusted: a generator that was the bottleneck measured itself."""

from pipeline.model import LoadResult
from stages.load.measured import Measured

LAG_LIMIT_MS = 10.0  # below, it is what any shared machine does to a process now and then
LAG_LIMIT_SHARE = 0.25
CPU_LIMIT = 0.85
FEWEST_FOR_P99 = 100


def is_late(measured: Measured) -> bool:
    """Tell whether the generator's own lateness is a noticeable part of the latency."""
    return _is_late(measured.send_lag_p99_ms, measured.latencies.percentile_ms(99))


def latency_doubt(load: LoadResult) -> str:
    """Return why the percentiles of a load that is over must not be compared; nothing where they may."""
    if load.latency is None:
        return f"none of {load.requests} requests got a good answer"
    if _is_late(load.send_lag_p99_ms, load.latency.p99_ms):
        return "the load generator was late"
    return throughput_doubt(load)


def throughput_doubt(load: LoadResult) -> str:
    """Return why the throughput of a load that is over must not be compared; nothing where it may."""
    return "the load generator may be the bottleneck" if load.generator_cpu > CPU_LIMIT else ""


def _is_late(lag_ms: float, p99_ms: float) -> bool:
    return lag_ms > LAG_LIMIT_MS and lag_ms > LAG_LIMIT_SHARE * p99_ms


def doubts(measured: Measured) -> tuple[str, ...]:
    """Return why the numbers must not be trusted, if so."""
    found = []
    if measured.good == 0:
        found.append(f"none of {measured.due} requests got a good answer")
    elif len(measured.latencies) < FEWEST_FOR_P99:
        found.append(
            f"the p99 of {len(measured.latencies)} answers is no more than the slowest of them: at least "
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
