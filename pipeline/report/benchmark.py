"""What a benchmark measured, row by row: for the job's summary, and wherever one line is too little."""

from collections.abc import Iterator, Sequence
from statistics import median

from pipeline.model import (
    BenchmarkReport,
    ColdStart,
    Latency,
    LoadResult,
    Pull,
    Resources,
    Shutdown,
    TokenTimes,
)
from pipeline.report.phrases import duration, plural, size

Row = tuple[str, str]


def benchmark_rows(report: BenchmarkReport) -> Iterator[Row]:
    """Yield names and texts, in the order of what happened; what was not measured is left out."""
    if report.pull is not None:
        yield "pull", _pull(report.pull)
    yield "first start", _start(report.cold_start)
    if warm := report.starts[1:]:
        first = median(each.first_answer_ms for each in warm)
        yield "warm starts", f"{len(warm)}, first answer after {first:.0f} ms (median)"
    loads = (*(() if report.load is None else (report.load,)), *report.further_loads)
    for load in loads:
        yield str(load), _load(load)
    if report.load is not None:
        yield "generator", _generator(loads)
    if (sweep := report.sweep) is not None:
        best = "no rate" if sweep.best_rps is None else f"{sweep.best_rps:.0f} requests/s"
        yield "sweep", f"{best} within p99 {sweep.budget_p99_ms:g} ms; then {sweep.limit}"
    yield from _resources(report)
    if report.shutdown is not None:
        yield "stop", _stop(report.shutdown)
    yield from _machine(report)


def _pull(pull: Pull) -> str:
    parts = [f"{size(pull.total_bytes)} in all, {size(pull.application_bytes)} without the weights"]
    if pull.estimated_s is not None and pull.bandwidth_bytes_per_s:
        parts.append(f"{duration(pull.estimated_s)} at {size(pull.bandwidth_bytes_per_s)}/s")
    if pull.measured_s is not None:
        parts.append(f"{duration(pull.measured_s)} measured")
    if pull.not_measured:
        parts.append(f"not measured: {pull.not_measured}")
    return ", ".join(parts)


def _start(start: ColdStart) -> str:
    return " → ".join(f"{name} {ms:.0f} ms" for name, ms in start.steps())


def _load(load: LoadResult) -> str:
    parts = [f"{load.throughput_rps:.1f} good answers/s", _latency(load.latency)]
    kinds = ", ".join(f"{count} {kind}" for kind, count in load.errors_by_kind.items())
    parts.append(f"{plural(load.errors, 'error')}{f' ({kinds})' if kinds else ''}")
    if load.checked_answers:
        parts.append(
            f"{plural(load.checked_answers, 'answer')} compared, {load.wrong_answers or 'none'} wrong"
        )
    if (tokens := load.tokens) is not None:
        parts.append(", ".join(_tokens(tokens)))
    parts += [f"not to be trusted: {why}" for why in load.invalid]
    return "; ".join(parts)


def _generator(loads: Sequence[LoadResult]) -> str:
    """Return how honest the loads were: how late they were sent, and what that cost."""
    lag, cores = max(load.send_lag_p99_ms for load in loads), max(load.generator_cpu for load in loads)
    return f"sent at most {lag:.1f} ms late (p99), {cores:.0%} of a core"


def _tokens(tokens: TokenTimes) -> Iterator[str]:
    of_one = f", {tokens.request_tokens_per_s:.0f} of one request" if tokens.per_token is not None else ""
    yield f"{tokens.tokens_per_s:.0f} tokens/s{of_one}"
    yield f"first after p50 {tokens.first_token.p50_ms:.0f} ms, p99 {tokens.first_token.p99_ms:.0f} ms"
    if (each := tokens.per_token) is not None:
        yield f"each further one after p50 {each.p50_ms:.1f} ms, p99 {each.p99_ms:.1f} ms"


def _latency(latency: Latency | None) -> str:
    if latency is None:
        return "no answer"
    told = (
        ("p50", latency.p50_ms),
        ("p90", latency.p90_ms),
        ("p95", latency.p95_ms),
        ("p99", latency.p99_ms),
        ("p99.9", latency.p99_9_ms),
        ("max", latency.max_ms),
    )
    return ", ".join(f"{name} {ms:.1f}" for name, ms in told if ms is not None) + " ms"


def _resources(report: BenchmarkReport) -> Iterator[Row]:
    used = report.resources or Resources()
    yield "memory", f"{', '.join(_memory(report.peak_memory_bytes, used))} ({report.memory_source})"
    if processors := tuple(_processors(used)):
        yield "processors", ", ".join(processors)
    for gpu in used.gpus:
        yield gpu.name, f"peak {size(gpu.peak_memory_bytes)}, {gpu.mean_utilisation:.0%} busy"
    if report.sizing is not None:
        yield "sizing", "; ".join(report.sizing.because)


def _memory(peak_bytes: int, used: Resources) -> Iterator[str]:
    yield f"peak {size(peak_bytes)}"
    if used.steady_memory_bytes is not None:
        yield f"{size(used.steady_memory_bytes)} under load"
    if used.page_cache_bytes is not None:
        yield f"beside it {size(used.page_cache_bytes)} of page cache"
    if used.out_of_memory_kills:
        yield f"{plural(used.out_of_memory_kills, 'kill')} for want of memory"


def _processors(used: Resources) -> Iterator[str]:
    if used.cpu_seconds_per_1000_requests is not None:
        yield f"{used.cpu_seconds_per_1000_requests:.2f} CPU s per 1,000 requests"
    if used.cpu_cores is not None:
        yield f"{used.cpu_cores:.2f} in use"
    if used.throttled_share is not None:
        yield f"throttled in {used.throttled_share:.0%} of the periods"


def _stop(end: Shutdown) -> str:
    how = f"killed after {duration(end.duration_s)}" if end.killed else duration(end.duration_s)
    parts = [f"{how}, exit code {end.exit_code}"]
    if end.in_flight:
        parts.append(f"{end.finished} of {end.in_flight} requests on their way were answered")
    if end.with_connection_s is not None:
        parts.append(f"{duration(end.with_connection_s)} while a client keeps its connection")
    return ", ".join(parts)


def _machine(report: BenchmarkReport) -> Iterator[Row]:
    machine = report.machine
    if machine is None:
        return
    parts = [machine.kind]
    if machine.calibration_spread is not None:
        parts.append(f"the same work took {machine.calibration_spread:.0%} more or less")
    if machine.steal_share is not None:
        parts.append(f"{machine.steal_share:.1%} of the time taken away by its host")
    if machine.frequency_mhz is not None:
        parts.append(f"{machine.frequency_mhz:.0f} MHz")
    if machine.load_before is not None:
        parts.append(f"load {machine.load_before:.1f} before")
    yield "machine", ", ".join(parts)
