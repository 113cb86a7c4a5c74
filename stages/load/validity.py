"""Whether the numbers of a load may be trusted: a generator that was the bottleneck measured itself."""

from pipeline.model import LoadResult
from stages.load.measured import Measured
from stages.servers.interface import LACKING

LAG_LIMIT_MS = 10.0  # below, it is what any shared machine does to a process now and then
LAG_LIMIT_SHARE = 0.25
CPU_LIMIT = 0.85
FEWEST_FOR_P99 = 100
FAILED_SHARE = 0.01  # of requests, beyond which throughput is no longer that of the same work


def is_late(measured: Measured) -> bool:
    """Tell whether the generator's own lateness is a noticeable part of the latency."""
    return _is_late(measured.send_lag_p99_ms, measured.latencies.percentile_ms(99))


def latency_doubt(load: LoadResult) -> str:
    """Return why the percentiles of a load that is over must not be compared; nothing where they may."""
    if load.latency is None:
        return f"none of {load.requests} requests got a good answer"
    if _is_late(load.send_lag_p99_ms, load.latency.p99_ms):
        return "the load generator was late"
    return _bottleneck(load)


def percentile_doubt(load: LoadResult, percent: float) -> str:
    """Return why one percentile must not be compared; nothing where it may.

    Requests that fail at once are in no percentile. A tenth of those that may lie above it hardly changes it.
    """
    return latency_doubt(load) or _failures(load, (100 - percent) / 1000)


def throughput_doubt(load: LoadResult) -> str:
    """Return why the throughput of a load that is over must not be compared; nothing where it may."""
    return _bottleneck(load) or _failures(load, FAILED_SHARE)


def _bottleneck(load: LoadResult) -> str:
    return "the load generator may be the bottleneck" if load.generator_cpu > CPU_LIMIT else ""


def _failures(load: LoadResult, allowed_share: float) -> str:
    if load.errors <= allowed_share * load.requests:
        return ""
    return f"{load.errors} of {load.requests} requests failed, and the others alone are no measure"


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
    if lacking := measured.kinds[LACKING]:
        found.append(
            f"{lacking} requests were not sent, for want of open files or ports on this machine (`ulimit -n`)"
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
