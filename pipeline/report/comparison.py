"""The new image beside the deployed one: a line, a table, and each round of both as a bar."""

from collections.abc import Iterable, Iterator, Sequence

from pipeline.markup import code, plain
from pipeline.model import METRICS, BenchmarkReport, Comparison, MetricComparison, percent
from pipeline.record import Record

BARS = "▁▂▃▄▅▆▇█"
HEADS = ("metric", "deployed", "new", "change", "95 % interval", "rounds: deployed, new")
HOW = {
    "in turn": "in turn on the same machine",
    "recorded": "with its recorded benchmark",
    "same digest": "the same digest, so there is nothing to compare",
}


def in_words(report: BenchmarkReport) -> Iterator[str]:
    """Yield how the report's image compares, in a few words; nothing where nobody asked."""
    comparison = report.comparison
    if comparison is None:
        if report.comparison_missing:
            yield f"not compared: {report.comparison_missing}"
        return
    if comparison.how == "same digest":
        yield "the deployed image is this one"
        return
    wanted = (comparison.metric("p99_ms"), comparison.metric("throughput_rps"))
    told = [f"{METRICS[one.metric].words} {percent(one.change)}" for one in wanted if one is not None]
    yield f"against the deployed image {', '.join(told) or 'nothing could be measured'}"


def markdown(record: Record) -> Iterator[str]:
    """Yield the comparison of a run as a table."""
    for made in record.made():
        if isinstance(made, BenchmarkReport) and (comparison := made.comparison) is not None:
            yield f"**Compared with {code(comparison.reference)}**, {_how(comparison)}\n"
            yield from _table(comparison)
            if notes := told(comparison):
                yield "\n".join(f"- {plain(note)}" for note in notes) + "\n"


def rows(comparison: Comparison) -> Iterator[tuple[str, ...]]:
    """Yield the cells of each metric, under `HEADS`."""
    for one in comparison.metrics:
        name, unit, _, divisor = METRICS[one.metric]
        before, after = (_number(value / divisor) for value in (one.baseline, one.candidate))
        yield (
            f"{name} ({unit})",
            before,
            after,
            percent(one.change),
            _interval(one),
            bars(one.baseline_rounds, one.candidate_rounds),
        )


def told(comparison: Comparison) -> tuple[str, ...]:
    """Return what somebody should know beside the numbers."""
    return tuple(filter(None, (comparison.ended, *comparison.notes)))


def bars(*series: Sequence[float]) -> str:
    """Return one bar for each value, from zero to the largest of all: two series can be compared by eye."""
    largest = max((value for values in series for value in values), default=0.0)
    return " ".join("".join(_bar(value, largest) for value in values) for values in series if values)


def _bar(value: float, largest: float) -> str:
    return BARS[min(len(BARS) - 1, int(value / largest * len(BARS)))]


def _how(comparison: Comparison) -> str:
    rounds = f"{comparison.rounds} rounds " if comparison.how == "in turn" else ""
    return f"{rounds}{HOW[comparison.how]}"


def _table(comparison: Comparison) -> Iterator[str]:
    if comparison.metrics:
        head = (_line(HEADS), "|---|---:|---:|---:|---|---|")
        yield "\n".join((*head, *(_line(row) for row in rows(comparison)))) + "\n"


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(map(plain, cells))} |"


def _interval(one: MetricComparison) -> str:
    if one.relative_low is None or one.relative_high is None:
        return "one run each"
    return f"{percent(one.relative_low)} to {percent(one.relative_high)}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
