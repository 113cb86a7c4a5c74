"""How the new image compares with the deployed one, and where a change lies against its limit."""

from collections.abc import Mapping
from typing import Literal, NamedTuple

from pydantic import Field

from pipeline.model.base import Value

Metric = Literal[
    "p50_ms",
    "p95_ms",
    "p99_ms",
    "throughput_rps",
    "cpu_seconds_per_1000_requests",
    "peak_memory_bytes",
    "cold_start_ms",
]


class Meaning(NamedTuple):
    """What a metric is called, and how its numbers are written."""

    words: str
    unit: str
    higher_is_better: bool = False
    divisor: float = 1.0
    """What its numbers are divided by before the unit fits."""


METRICS: Mapping[Metric, Meaning] = {
    "p50_ms": Meaning("p50", "ms"),
    "p95_ms": Meaning("p95", "ms"),
    "p99_ms": Meaning("p99", "ms"),
    "throughput_rps": Meaning("throughput", "requests/s", higher_is_better=True),
    "cpu_seconds_per_1000_requests": Meaning("processor time", "s per 1,000 requests"),
    "peak_memory_bytes": Meaning("peak memory", "MB", divisor=1e6),
    "cold_start_ms": Meaning("cold start", "ms"),
}


class RegressionLimit(Value):
    """How much worse a metric may become: only what lies beyond both parts is too much."""

    metric: Metric
    relative: float = Field(default=0.0, description="0.1 is 10 % worse")
    least: float = Field(default=0.0, description="a difference below this, in the metric's unit, is none")


class MetricComparison(Value):
    """One metric of the delivered image against the deployed one, over rounds that took turns."""

    metric: Metric
    baseline: float = Field(gt=0, description="the geometric mean of the rounds")
    candidate: float = Field(gt=0)
    relative_low: float | None = Field(
        default=None, description="of the interval of the relative change: 0.2 is 20 % more; None: one run"
    )
    relative_high: float | None = None
    confidence: float = 0.95
    rounds: int
    baseline_rounds: tuple[float, ...] = Field(default=(), description="each round's value, in their order")
    candidate_rounds: tuple[float, ...] = ()

    @property
    def change(self) -> float:
        """The relative change: 0.2 is 20 % more."""
        return self.candidate / self.baseline - 1

    @property
    def worse(self) -> bool:
        """Tell whether it changed for the worse at all."""
        return self.change < 0 if METRICS[self.metric].higher_is_better else self.change > 0

    def standing(self, limit: RegressionLimit) -> Literal["within", "beyond", "inconclusive"]:
        """Tell where the interval of the change for the worse lies; one run alone is never beyond."""
        most = max(limit.relative, limit.least / self.baseline)
        sign = -1 if METRICS[self.metric].higher_is_better else 1
        if self.relative_low is None or self.relative_high is None:
            return "within" if sign * self.change <= most else "inconclusive"
        low, high = sorted((sign * self.relative_low, sign * self.relative_high))
        if low > most:
            return "beyond"
        return "within" if high <= most else "inconclusive"

    def __str__(self) -> str:
        name, unit, _, divisor = METRICS[self.metric]
        verb = "rose" if self.change > 0 else "fell"
        before, after = (_number(value / divisor) for value in (self.baseline, self.candidate))
        return f"{name} {verb} from {before} {unit} to {after} {unit} ({percent(self.change)}, {self._how()})"

    def _how(self) -> str:
        if self.relative_low is None or self.relative_high is None:
            return "one run each, at different times"
        interval = f"{percent(self.relative_low)} to {percent(self.relative_high)}"
        return f"{self.confidence:.0%} interval {interval}, {self.rounds} rounds in turn".replace(
            "%", " %", 1
        )


class Comparison(Value):
    """The deployed image, measured in turn with the new one; or its recorded benchmark."""

    reference: str = Field(description="of the deployed image, with digest")
    how: Literal["in turn", "recorded", "same digest"]
    rounds: int
    metrics: tuple[MetricComparison, ...] = ()
    ended: str = Field(default="", description="why there were no more rounds; empty: all was decided")
    notes: tuple[str, ...] = Field(default=(), description="what somebody should know of the numbers")

    def metric(self, name: Metric) -> MetricComparison | None:
        """Return the comparison of one metric; None where it could not be compared."""
        return next((one for one in self.metrics if one.metric == name), None)


def percent(share: float) -> str:
    """Return a relative change as people read it: `+22 %`; with a decimal where it is small."""
    told = f"{share * 100:+.0f}" if abs(share) >= 0.0995 else f"{share * 100:+.1f}"
    return f"{'0' if float(told) == 0 else told} %"


def _number(value: float) -> str:
    """Return a number with three significant digits at least, and no exponent."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 1 else f"{value:.3g}"
