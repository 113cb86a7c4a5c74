"""What a comparison with the deployed image says against limits: worse, undecided, or not there at all."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated

from pydantic import BeforeValidator, Field

from pipeline.model import (
    METRICS,
    BenchmarkReport,
    Metric,
    MetricComparison,
    Reason,
    RegressionLimit,
)

NOT_ASKED_FOR = "`benchmark.baseline` is not set, so there is nothing to compare with"


def _share(value: object) -> object:
    """Let `10%` stand for 0.1."""
    if isinstance(value, str) and value.strip().endswith("%"):
        try:
            return float(value.strip().removesuffix("%")) / 100
        except ValueError:
            raise ValueError(f"expected a share such as 10% or 0.1, not {value!r}") from None
    return value


Share = Annotated[float, BeforeValidator(_share), Field(ge=0, allow_inf_nan=False)]


def limits_of(relative: Mapping[Metric, float], least: Mapping[Metric, float]) -> tuple[RegressionLimit, ...]:
    """Return one limit for each metric that is named; without a relative part, the absolute one decides."""
    return tuple(
        RegressionLimit(metric=metric, relative=relative.get(metric, 0.0), least=least.get(metric, 0.0))
        for metric in METRICS
        if metric in relative or metric in least
    )


def worse(report: BenchmarkReport, limits: Sequence[RegressionLimit]) -> Iterator[Reason]:
    """Yield a reason for each metric whose whole interval lies beyond its limit."""
    for limit, found in _found(report, limits):
        if found is not None and found.standing(limit) == "beyond":
            yield Reason(
                message=f"{found}; {_allowed(limit)}",
                advice="Make the new image as quick as the deployed one, or allow more in "
                "`maximum_regression`. `pipeline bench NEW --against OLD` repeats the comparison.",
            )


def undecided(report: BenchmarkReport, limits: Sequence[RegressionLimit]) -> Iterator[Reason]:
    """Yield a reason for each metric whose interval lies on both sides of its limit."""
    ended = report.comparison.ended if report.comparison is not None else ""
    for limit, found in _found(report, limits):
        if found is not None and found.standing(limit) == "inconclusive":
            yield Reason(
                message=f"inconclusive: {found}; {_allowed(limit)}{f'; {ended}' if ended else ''}",
                advice="Raise `benchmark.most_rounds` or `duration_s`, or run on a quieter machine.",
            )


def missing(report: BenchmarkReport, limits: Sequence[RegressionLimit]) -> Iterator[Reason]:
    """Yield a reason for what could not be compared although a limit is set for it."""
    comparison = report.comparison
    if not limits or (comparison is not None and comparison.how == "same digest"):
        return
    if comparison is None:
        yield Reason(
            message=f"not compared with the deployed image: {report.comparison_missing or NOT_ASKED_FOR}",
            advice="Set `benchmark.baseline: deployed`, and mend what keeps the deployed image from running "
            "here; `missing_comparison: warn` goes on without it.",
        )
        return
    for limit, found in _found(report, limits):
        if found is None:
            words = METRICS[limit.metric].words
            told = [note for note in comparison.notes if note.startswith(words)]
            yield Reason(
                message=next(iter(told), f"{words} is not compared: no round measured it"),
                advice="Run on a quieter machine, or lower the load, so that the rounds can be used.",
            )


def _found(
    report: BenchmarkReport, limits: Sequence[RegressionLimit]
) -> Iterator[tuple[RegressionLimit, MetricComparison | None]]:
    if report.comparison is not None and report.comparison.how != "same digest":
        yield from ((limit, report.comparison.metric(limit.metric)) for limit in limits)


def _allowed(limit: RegressionLimit) -> str:
    _, unit, higher_is_better, divisor = METRICS[limit.metric]
    relative = f"{limit.relative * (-100 if higher_is_better else 100):+g} %"
    least = f"{limit.least / divisor:g} {unit}"
    if not limit.least:
        return f"at most {relative} is allowed"
    return f"at most {relative} and {least} are allowed" if limit.relative else f"at most {least} is allowed"
