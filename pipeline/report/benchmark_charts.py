"""A benchmark as charts: starts as waterfalls (Mermaid, "Gantt diagrams"), and a sweep rate by rate."""

from collections.abc import Iterator

from pipeline.model import BenchmarkReport, ColdStart, LoadResult, Pull, Sweep
from pipeline.report.comparison import bars

_HEAD = ("gantt", "  dateFormat x", "  axisFormat %M:%S.%L")


def charts(report: BenchmarkReport) -> Iterator[str]:
    """Yield Markdown: the first start beside the last one, and the sweep if there was one."""
    lines = [*_HEAD, *_section("first start", report.cold_start, report.pull)]
    if report.starts[1:]:
        lines += _section("warm start", report.starts[-1], None)
    yield "```mermaid\n" + "\n".join(lines) + "\n```\n"
    if report.sweep is not None and report.sweep.steps:
        yield from _sweep(report.sweep)


def _section(name: str, start: ColdStart, pull: Pull | None) -> Iterator[str]:
    """Yield a bar for each step, from the end of the one before it on; what has to be pulled comes first."""
    yield f"  section {name}"
    begin_ms = 0.0
    if pull is not None and (pulled_s := pull.measured_s or pull.estimated_s):
        begin_ms = pulled_s * 1000
        yield _bar("pull" if pull.measured_s else "pull (estimated)", 0, begin_ms)
    before_ms = begin_ms
    for step, ms in start.steps():
        yield _bar(step, before_ms, begin_ms + ms)
        before_ms = max(before_ms, begin_ms + ms)


def _bar(name: str, begin_ms: float, end_ms: float) -> str:
    begin = round(begin_ms)
    return f"  {name} :{begin}, {max(begin + 1, round(end_ms))}"


def _sweep(sweep: Sweep) -> Iterator[str]:
    """Yield every rate that was tried, the lowest first; the bars share one scale."""
    steps = sorted(sweep.steps, key=lambda step: step.rate_rps or 0.0)
    drawn = bars([0.0 if step.latency is None else step.latency.p99_ms for step in steps])
    yield f"**Sweep**: the p99 may be {sweep.budget_p99_ms:g} ms\n"
    rows = (_row(step, bar, step.rate_rps == sweep.best_rps) for step, bar in zip(steps, drawn, strict=True))
    head = ("| requests/s | p50 (ms) | p99 (ms) | errors | p99 |", "|---:|---:|---:|---:|---|")
    yield "\n".join((*head, *rows)) + "\n"


def _row(step: LoadResult, bar: str, best: bool) -> str:
    latency = step.latency
    told = (" ", " ") if latency is None else (f"{latency.p50_ms:.1f}", f"{latency.p99_ms:.1f}")
    mark = " the highest that fits" if best else ""
    return f"| {step.rate_rps or 0:.0f} | {told[0]} | {told[1]} | {step.errors} | {bar}{mark} |"
