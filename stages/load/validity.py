"""Whether the numbers of a load may be trusted: a generator that was the bottleneck measured itself."""

from stages.load.measured import Measured

LAG_LIMIT_MS = 20.0
LAG_LIMIT_SHARE = 0.25
CPU_LIMIT = 0.85
FEWEST_FOR_P99 = 100


def is_late(measured: Measured) -> bool:
    """Tell whether the generator's own lateness is a noticeable part of the latency."""
    lag = measured.send_lag_p99_ms
    return lag > LAG_LIMIT_MS and lag > LAG_LIMIT_SHARE * measured.latencies.percentile_ms(99)


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
