"""Is the model server quick, steady and small enough?"""

from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import ByteSize, Field, NonNegativeInt, PositiveFloat

from pipeline.model import Artifact, BenchmarkReport, LoadResult, Metric, Reason, RegressionLimit, Verdict
from policies import regression
from policies.rule import Rule, size

KEPT_UP = 0.99  # of the requests that were due in a second: the last answers are slower now and then
_STREAMED = "Tokens are timed where `benchmark.protocol` is `openai` and the answers are streamed."


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
    """Good answers per second that some load has to reach, or the rate that a sweep found."""
    maximum_first_token_p99_ms: PositiveFloat | None = None
    """Time to the first token of a language model's answer that 99 % of the requests stay below."""
    maximum_token_p99_ms: PositiveFloat | None = None
    """Time for each further token, the mean of an answer, that 99 % of the requests stay below."""
    minimum_tokens_per_s: PositiveFloat | None = None
    """Tokens per second of all requests together that some load has to reach."""
    maximum_error_share: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of requests without a good answer, from 0 to 1, of each load but the sweep's."""
    maximum_wrong_answers: NonNegativeInt = 0
    """Answers under load that are not the expected ones, of all that were compared."""
    maximum_memory_kills: NonNegativeInt = 0
    """Processes in the container that were killed for want of memory while the server lived on."""
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
            *self._of_answers(artifact),
            *self._of_latency(artifact),
            *self._of_throughput(artifact),
            *self._of_tokens(artifact),
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
        samples = f": {'; '.join(report.error_samples[:2])}" if report.error_samples else ""
        yield from self._of_share("", report.errors, report.requests, samples)
        for load in report.further_loads:
            kinds = ", ".join(f"{count} {kind}" for kind, count in load.errors_by_kind.items())
            yield from self._of_share(f"with {load} ", load.errors, load.requests, f": {kinds}" * bool(kinds))

    def _of_share(self, where: str, errors: int, requests: int, samples: str) -> Iterator[Reason]:
        share = errors / max(1, requests)
        if share > self.maximum_error_share:
            yield Reason(
                message=f"{where}{errors} of {requests} requests failed ({share:.2%});"
                f" at most {self.maximum_error_share:.2%} may{samples}",
                advice="The log of the container says why the server failed.",
            )

    def _of_answers(self, report: BenchmarkReport) -> Iterator[Reason]:
        """Yield what is wrong, however quick: a share of errors that may be allows no wrong answers."""
        wrong = [load for load in report.all_loads if load.wrong_answers]
        if sum(load.wrong_answers for load in wrong) > self.maximum_wrong_answers:
            told = ", ".join(f"{load.wrong_answers} of {load.checked_answers} with {load}" for load in wrong)
            yield Reason(
                message=f"of the answers that were compared {told} are wrong; "
                f"{_at_most(self.maximum_wrong_answers)}",
                advice="A server that is right when it is asked alone mixes up requests, or shares what it "
                "must not share. Where answers may vary, set `benchmark.check_answers: false`.",
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
        least, most = self.minimum_throughput_rps, _highest(report)
        if least is None or most >= least:
            return
        asked = _asked_for(report)
        due = f"; only {asked:g} were asked for" if asked is not None and asked < least else ""
        yield Reason(
            message=f"{most:.1f} good answers/s; at least {least:g} are needed{due}",
            advice="Raise `benchmark.rate_rps`, or let clients ask for all that they can get: "
            "`further_loads: [{concurrency: 8}]`."
            if due
            else "Give the server more workers or processors.",
        )

    def _of_tokens(self, report: BenchmarkReport) -> Iterator[Reason]:
        steady = None if report.load is None else report.load.tokens
        first, each = (None, None) if steady is None else (steady.first_token, steady.per_token)
        for what, budget, measured in (
            ("the first token", self.maximum_first_token_p99_ms, first),
            ("each further token", self.maximum_token_p99_ms, each),
        ):
            if budget is not None and measured is None:
                yield Reason(message=f"{what} was not timed; the budget is {budget:g} ms", advice=_STREAMED)
            elif budget is not None and measured is not None and measured.p99_ms > budget:
                yield Reason(
                    message=f"{what} takes {measured.p99_ms:.1f} ms (p99); at most {budget:g} ms is allowed",
                    advice="Lower the load on a replica, give it more processors, or raise the budget.",
                )
        least, most = self.minimum_tokens_per_s, max(map(_tokens_per_s, _loads(report)), default=0.0)
        if least is not None and most < least:
            yield Reason(
                message=f"{most:.1f} tokens/s; at least {least:g} are needed",
                advice="Give the server more processors, or let more clients ask at once: "
                "`further_loads: [{concurrency: 8}]`.",
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
        kills = (report.resources.out_of_memory_kills or 0) if report.resources is not None else 0
        if kills > self.maximum_memory_kills:
            yield Reason(
                message=f"{kills} of the container's processes were killed for want of memory, while the "
                f"server lived on; {_at_most(self.maximum_memory_kills)}",
                advice="Raise `benchmark.memory_limit` and the deployment's limit, or use fewer workers.",
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


def _highest(report: BenchmarkReport) -> float:
    """Return the most good answers per second that were seen; a slow generator can only have seen too few."""
    found = report.sweep.best_rps if report.sweep is not None else None
    return max(report.throughput_rps, *map(_shown, _loads(report)), found or 0.0)


def _loads(report: BenchmarkReport) -> tuple[LoadResult, ...]:
    """Return the loads that were asked for, without the steps of the sweep."""
    return (*(() if report.load is None else (report.load,)), *report.further_loads)


def _tokens_per_s(load: LoadResult) -> float:
    return 0.0 if load.tokens is None else load.tokens.tokens_per_s


def _shown(load: LoadResult) -> float:
    """Return the rate that a load shows: the one asked for, where only the last answers came later."""
    due = load.requests / load.duration_s
    kept_up = not load.errors and load.throughput_rps >= KEPT_UP * due
    return max(load.throughput_rps, load.rate_rps if kept_up and load.rate_rps is not None else 0.0)


def _asked_for(report: BenchmarkReport) -> float | None:
    """Return the highest rate that was due; None where something asked for as much as there was."""
    if report.sweep is not None or any(load.shape == "closed" for load in report.all_loads):
        return None
    return max(report.rate_rps, *(load.rate_rps or 0.0 for load in report.further_loads), 0.0)


def _at_most(count: int) -> str:
    return f"at most {count} may be" if count else "none may be"
