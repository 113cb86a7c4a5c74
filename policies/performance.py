"""Is the model server quick, steady and small enough?"""

from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import ByteSize, Field, PositiveFloat

from pipeline.model import Artifact, BenchmarkReport, Metric, Reason, RegressionLimit, Verdict
from policies import regression
from policies.rule import Rule, size


class PerformanceRule(Rule):
    """Budgets for what the benchmark measured; numbers that must not be trusted are refused."""

    rule: Literal["performance"]
    maximum_p50_ms: PositiveFloat | None = None
    """Latency that half of the requests stay below."""
    maximum_p95_ms: PositiveFloat | None = None
    """Latency that 95 % of the requests stay below."""
    maximum_p99_ms: PositiveFloat | None = None
    """Latency that 99 % of the requests stay below."""
    minimum_throughput_rps: PositiveFloat | None = None
    """Good answers per second."""
    maximum_error_share: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of requests without a good answer, from 0 to 1."""
    maximum_cold_start_ms: PositiveFloat | None = None
    """Time from the start of the container to its first answer."""
    maximum_peak_memory: ByteSize | None = None
    """Peak memory of the container, such as 2GiB."""
    maximum_regression: Mapping[Metric, regression.Share] = Field(default={})
    """How much worse than the deployed image each metric may be, such as {p99_ms: 10%}. It is refused when
    the whole interval of the change lies beyond; needs `benchmark.baseline`."""
    least_difference: Mapping[Metric, PositiveFloat] = Field(default={})
    """Differences below this do not count, in the metric's unit, such as {p99_ms: 1.0}."""
    inconclusive: Literal["fail", "warn", "more-rounds"] = "more-rounds"
    """What follows when the interval lies on both sides of the limit; `more-rounds` lets the benchmark go on,
    up to `benchmark.most_rounds`."""
    still_inconclusive: Literal["fail", "warn"] = "warn"
    """What follows when more rounds did not decide it either."""
    missing_comparison: Literal["fail", "warn"] = "warn"
    """What follows when the deployed image could not be compared with: nothing is deployed yet, say."""

    judges: ClassVar[type[Artifact]] = BenchmarkReport
    why: ClassVar[str] = (
        "A model that answers too late is as good as one that is down, and a server that needs more memory "
        "than its pod has is killed under load, not in the test."
    )
    example: ClassVar[str] = """\
rule: performance
maximum_p99_ms: 80
minimum_throughput_rps: 50
maximum_cold_start_ms: 20000
maximum_peak_memory: 3GiB
"""
    remedy: ClassVar[str] = (
        "Make the server quicker (batching, workers, a smaller model), or change the budget together with "
        "the people who rely on it. Numbers that must not be trusted come from a busy machine: run again."
    )
    exception: ClassVar[str] = "a higher budget"

    def judge(self, artifact: BenchmarkReport) -> Verdict:
        """Return the verdict on a benchmark."""
        reasons = (
            *_untrusted(artifact),
            *self._of_errors(artifact),
            *self._of_latency(artifact),
            *self._of_throughput(artifact),
            *self._of_container(artifact),
            *regression.worse(artifact, self.limits),
        )
        doubtful = (*self._undecided(artifact), *self._missing(artifact))
        failing = [reason for fails, reason in doubtful if fails]
        notes = [reason.message for fails, reason in doubtful if not fails]
        return self.verdict((*reasons, *failing), _summary(artifact), notes)

    @property
    def limits(self) -> tuple[RegressionLimit, ...]:
        """What the comparison with the deployed image has to keep to."""
        return regression.limits_of(self.maximum_regression, self.least_difference)

    @property
    def to_decide(self) -> tuple[RegressionLimit, ...]:
        """The limits for whose sake the benchmark is to go on; nothing unless `more-rounds` is set."""
        return self.limits if self.inconclusive == "more-rounds" else ()

    def _undecided(self, report: BenchmarkReport) -> Iterator[tuple[bool, Reason]]:
        then = self.still_inconclusive if self.inconclusive == "more-rounds" else self.inconclusive
        yield from ((then == "fail", reason) for reason in regression.undecided(report, self.limits))

    def _missing(self, report: BenchmarkReport) -> Iterator[tuple[bool, Reason]]:
        fails = self.missing_comparison == "fail"
        yield from ((fails, reason) for reason in regression.missing(report, self.limits))

    def _of_errors(self, report: BenchmarkReport) -> Iterator[Reason]:
        if report.requests == 0:
            yield Reason(
                message="no request was sent; at least one has to be answered",
                advice="Raise `benchmark.duration_s` or `rate_rps`.",
            )
            return
        share = report.errors / report.requests
        if share > self.maximum_error_share:
            samples = f": {'; '.join(report.error_samples[:2])}" if report.error_samples else ""
            yield Reason(
                message=f"{report.errors} of {report.requests} requests failed ({share:.2%});"
                f" at most {self.maximum_error_share:.2%} may{samples}",
                advice="The log of the container says why the server failed.",
            )

    def _of_latency(self, report: BenchmarkReport) -> Iterator[Reason]:
        budgets = {"p50": self.maximum_p50_ms, "p95": self.maximum_p95_ms, "p99": self.maximum_p99_ms}
        for name, budget in budgets.items():
            if budget is None:
                continue
            measured = getattr(report.latency, f"{name}_ms", None)
            if measured is None:
                yield Reason(
                    message=f"there is no {name}, as no request was answered; the budget is {budget:g} ms",
                    advice="The log of the container says why the server did not answer.",
                )
            elif measured > budget:
                yield Reason(
                    message=f"{name} is {measured:.1f} ms; at most {budget:g} ms is allowed"
                    f" (at {report.rate_rps:g} requests/s)",
                    advice="Make the server quicker (batching, workers, smaller model), or raise the budget.",
                )

    def _of_throughput(self, report: BenchmarkReport) -> Iterator[Reason]:
        least = self.minimum_throughput_rps
        if least is None or report.throughput_rps >= least:
            return
        due = f"; only {report.rate_rps:g} were asked for" if report.rate_rps < least else ""
        yield Reason(
            message=f"{report.throughput_rps:.1f} good answers/s; at least {least:g} are needed{due}",
            advice="Raise `benchmark.rate_rps`." if due else "Give the server more workers or processors.",
        )

    def _of_container(self, report: BenchmarkReport) -> Iterator[Reason]:
        first, memory = report.cold_start.first_answer_ms, report.peak_memory_bytes
        if self.maximum_cold_start_ms is not None and first > self.maximum_cold_start_ms:
            yield Reason(
                message=f"the first answer came {first:.0f} ms after the start;"
                f" at most {self.maximum_cold_start_ms:g} ms are allowed",
                advice="Load less at the start, or compile Python files when the image is built.",
            )
        if self.maximum_peak_memory is not None and memory > self.maximum_peak_memory:
            yield Reason(
                message=f"peak memory is {size(memory)}; at most {size(self.maximum_peak_memory)} is allowed",
                advice="Use fewer workers or a smaller model, or raise the limit here and in the manifest.",
            )


def _untrusted(report: BenchmarkReport) -> Iterator[Reason]:
    for why in report.invalid:
        yield Reason(
            message=f"the numbers must not be trusted: {why}; only numbers of a quiet machine are judged",
            advice="Run again on a machine with less load, or lower `benchmark.rate_rps`.",
        )


def _summary(report: BenchmarkReport) -> str:
    latency = f"p99 {report.latency.p99_ms:.1f} ms, " if report.latency else ""
    return f"{latency}{report.throughput_rps:.1f} requests/s, {report.errors} errors"
