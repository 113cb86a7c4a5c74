"""Two images in turn: rounds in which each is started, measured and stopped, until the difference is plain.

Every turn is a start of its own. A second server that only stood by would need twice the memory (or GPU) and
take cache and processor from the one that is measured; and starts differ among themselves (layout of memory,
placement of threads), which rounds on one start would take for a difference between the images.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean

from pipeline.desk import Say
from pipeline.model import (
    METRICS,
    ColdStart,
    Comparison,
    LoadResult,
    Metric,
    MetricComparison,
    RegressionLimit,
    Resources,
)
from stages.load.closed_loop import ClosedLoop
from stages.load.comparing import FEWEST_ROUNDS, compare
from stages.load.validity import FEWEST_FOR_P99, percentile_doubt, throughput_doubt
from stages.servers.loading import Load
from stages.servers.session import Session

CLIENTS = 8
"""Of the closed loop that shows what a server can do at most, where the user asks for none."""
OTHER_WORK = 0.1  # answers that are shorter or longer by more than this share are other work


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundsPlan:
    """How often the two take turns."""

    fewest: int = FEWEST_ROUNDS
    most: int = FEWEST_ROUNDS
    """As far as it goes while a limit is undecided."""
    time_limit_s: float = 1800.0
    limits: tuple[RegressionLimit, ...] = ()
    """What is to be decided; nothing: the fewest rounds are enough."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What one start of one image came to."""

    values: Mapping[Metric, float]
    cold_start: ColdStart
    lacking: Mapping[Metric, str] = field(default_factory=dict)
    """Why a metric has no value."""
    errors: int = 0
    tokens_per_answer: float | None = None
    """Of a language model; who says less is done sooner."""


@dataclass(frozen=True, slots=True)
class Rounds:
    """The turns of both, and why there were no more of them."""

    baseline: Sequence[Turn]
    candidate: Sequence[Turn]
    ended: str

    def comparison(self, reference: str) -> Comparison:
        """Return every metric that can be compared, and why the others cannot."""
        return Comparison(
            reference=reference,
            how="in turn",
            rounds=len(self.candidate),
            metrics=tuple(found for metric in METRICS if (found := self.metric(metric)) is not None),
            ended=self.ended,
            notes=(*self._errors(), *self._tokens(), *self._lacking()),
        )

    def metric(self, metric: Metric) -> MetricComparison | None:
        """Return how a metric changed; None where too few rounds measured it with both images."""
        pairs = [
            (old.values[metric], new.values[metric])
            for old, new in zip(self.baseline, self.candidate, strict=True)
            if metric in old.values and metric in new.values
        ]
        if len(pairs) < FEWEST_ROUNDS:
            return None
        return compare(metric, [old for old, _ in pairs], [new for _, new in pairs])

    def undecided(self, limits: Sequence[RegressionLimit]) -> tuple[str, ...]:
        """Return the metrics whose intervals lie on both sides of their limits."""
        found = ((limit, self.metric(limit.metric)) for limit in limits)
        return tuple(
            METRICS[limit.metric].words
            for limit, known in found
            if known is None or known.standing(limit) == "inconclusive"
        )

    def _errors(self) -> Iterator[str]:
        for words, turns in (("deployed", self.baseline), ("new", self.candidate)):
            if errors := sum(turn.errors for turn in turns):
                yield f"{errors} requests to the {words} image failed in the rounds; their times do not count"

    def _tokens(self) -> Iterator[str]:
        old, new = (
            [turn.tokens_per_answer for turn in turns if turn.tokens_per_answer]
            for turns in (self.baseline, self.candidate)
        )
        if old and new and not 1 - OTHER_WORK < fmean(new) / fmean(old) < 1 + OTHER_WORK:
            yield (
                f"an answer of the new image has {fmean(new):.0f} tokens, one of the deployed image "
                f"{fmean(old):.0f}: their times are not of the same work"
            )

    def _lacking(self) -> Iterator[str]:
        for metric, meaning in METRICS.items():
            why = [
                turn.lacking[metric] for turn in (*self.baseline, *self.candidate) if metric in turn.lacking
            ]
            if why and self.metric(metric) is None:
                yield f"{meaning.words} is not compared: {why[0]}"


def take_turns(
    baseline: Callable[[], Turn],
    candidate: Callable[[], Turn],
    plan: RoundsPlan,
    say: Say,
    clock: Callable[[], float] = time.monotonic,
) -> Rounds:
    """Let both take turns, A B B A A B …, so that what drifts meanwhile hits both alike.

    It goes on after the fewest rounds while a limit is undecided, by as many again until the next look, as
    far as rounds are allowed and the time will do.
    """
    begin = clock()
    before: list[Turn] = []
    after: list[Turn] = []
    undecided: tuple[str, ...] = ()
    while True:
        count = len(after)
        spent_s = clock() - begin
        rounds = Rounds(before, after, "")
        # Seldom: each look at an undecided difference is another chance to take noise for a verdict.
        looking = count >= plan.fewest and (count % plan.fewest == 0 or count >= plan.most)
        undecided = rounds.undecided(plan.limits) if looking else undecided
        if looking and not undecided:
            return rounds
        left = f": {', '.join(undecided)} undecided" if undecided else ""
        if count >= max(plan.fewest, plan.most):
            return Rounds(before, after, f"no more than {count} rounds are allowed{left}")
        if count and spent_s * (count + 1) / count > plan.time_limit_s:
            return Rounds(before, after, f"no further round fitted into {plan.time_limit_s:g} s{left}")
        say(f"round {count + 1} of {plan.fewest if count < plan.fewest else plan.most}{left}")
        for turns, take in ((before, baseline), (after, candidate))[:: -1 if count % 2 else 1]:
            turns.append(take())


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnTaker:
    """Measures one image once, from its start on."""

    session: Session
    load: Load
    capacity: ClosedLoop | None
    """The load that shows the throughput; None: the load itself does."""
    warmup: Load | None

    def fair(self) -> "TurnTaker":
        """Return what compares no answers: those of another model may be others."""
        serving = self.session.serving
        payloads = tuple(replace(each, expected=None) for each in serving.payloads)
        open_minded = replace(serving, payloads=payloads, check_answers=False)
        return replace(self, session=replace(self.session, serving=open_minded))

    def take(self) -> Turn:
        """Start the server, warm it up, put it under both loads, and stop it.

        Raises:
            StageFailed: it ended, did not become ready, or answers no inference.
        """
        with self.session.running() as running:
            if self.warmup is not None:
                running.warm_up(self.warmup)
            steady = running.load(self.load, watched=True)
            full = steady if self.capacity is None else running.load(self.capacity, "full load")
            peak_bytes = running.sampler.peak_bytes
            return turn_of(steady.result, full.result, running.used(steady), peak_bytes, running.cold_start)


def turn_of(
    steady: LoadResult, full: LoadResult, used: Resources, peak_bytes: int, cold_start: ColdStart
) -> Turn:
    """Return the values that may be compared, and why others may not."""
    values: dict[Metric, float | None] = {
        "throughput_rps": full.throughput_rps,
        "cpu_seconds_per_1000_requests": used.cpu_seconds_per_1000_requests,
        "peak_memory_bytes": float(peak_bytes),
        "cold_start_ms": cold_start.first_answer_ms,
    }
    lacking: dict[Metric, str] = {}
    percentiles: dict[Metric, float] = {"p50_ms": 50, "p95_ms": 95, "p99_ms": 99}
    for metric, percent in percentiles.items():
        values[metric] = getattr(steady.latency, metric, None)
        if doubt := percentile_doubt(steady, percent):
            lacking[metric] = doubt
    if steady.requests - steady.errors < FEWEST_FOR_P99:
        lacking.setdefault("p99_ms", f"a round has fewer than {FEWEST_FOR_P99} answers")
    if doubt := throughput_doubt(full):
        lacking["throughput_rps"] = doubt
    for metric, value in values.items():
        if not value:
            lacking.setdefault(metric, "a round could not measure it")
    return Turn(
        values={metric: value for metric, value in values.items() if value and metric not in lacking},
        cold_start=cold_start,
        lacking=lacking,
        errors=steady.errors + (full.errors if full is not steady else 0),
        tokens_per_answer=_tokens_per_answer(steady),
    )


def _tokens_per_answer(load: LoadResult) -> float | None:
    good = load.requests - load.errors
    return load.tokens.tokens / good if load.tokens is not None and good > 0 else None
