"""The new image's benchmark beside a recorded one: one run each, so it may warn and never refuses."""

from statistics import median

from pipeline.model import BenchmarkReport, Comparison, LoadResult, Metric, MetricComparison

EARLIER = "its recorded benchmark stands in: one run at another time, so noise may look like a difference"


def against_recorded(
    report: BenchmarkReport, known: BenchmarkReport, reference: str, why: str
) -> tuple[Comparison | None, str]:
    """Return the comparison, or why there is none beside what kept the image from running here."""
    if (misfit := _misfit(report, known)) is not None:
        return None, f"{why}; and its recorded benchmark {misfit}"
    old, new = _values(known), _values(report)
    metrics = tuple(
        MetricComparison(metric=metric, baseline=old[metric], candidate=new[metric], rounds=1)
        for metric in old
        if metric in new
    )
    notes = (f"{why}: {EARLIER}",)
    return Comparison(reference=reference, how="recorded", rounds=1, metrics=metrics, notes=notes), ""


def _misfit(report: BenchmarkReport, known: BenchmarkReport) -> str | None:
    if known.machine is None or report.machine is None or known.machine.kind != report.machine.kind:
        told = "unknown" if known.machine is None else known.machine.kind
        return f"is of another kind of machine ({told})"
    if not known.settings or known.settings != report.settings:
        return "was made with other settings"
    if known.invalid:
        return f"must not be trusted: {known.invalid[0]}"
    return None


def _values(report: BenchmarkReport) -> dict[Metric, float]:
    percentiles: tuple[Metric, ...] = ("p50_ms", "p95_ms", "p99_ms")
    found: dict[Metric, float | None] = {each: getattr(report.latency, each, None) for each in percentiles}
    full = _full_load(report)
    found["throughput_rps"] = None if full is None else full.throughput_rps
    used = report.resources
    found["cpu_seconds_per_1000_requests"] = None if used is None else used.cpu_seconds_per_1000_requests
    found["peak_memory_bytes"] = float(report.peak_memory_bytes)
    warm = report.starts[1:] or (report.cold_start,)
    found["cold_start_ms"] = median(each.first_answer_ms for each in warm)
    return {metric: value for metric, value in found.items() if value}


def _full_load(report: BenchmarkReport) -> LoadResult | None:
    """Return the first closed loop: an open one shows the rate that was asked for."""
    loads = (*([report.load] if report.load is not None else []), *report.further_loads)
    return next((each for each in loads if each.shape == "closed"), None)
