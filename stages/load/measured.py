"""What came of a load, in histograms: the memory that they take does not grow with the number of requests."""

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pipeline.model import Latency

if TYPE_CHECKING:
    from stages.servers.interface import Tokens

KINDS_OF_ERRORS = 100  # each message is kept once, and a server may put something unique into every one
LONGEST_ERROR = 500  # characters
LONGEST_US = 3_600_000_000
DIGITS = 3  # the error of a percentile is at most 0.1 %


class Durations:
    """A histogram of durations with three significant digits from 1 µs to an hour (HdrHistogram, G. Tene)."""

    def __init__(self) -> None:
        from hdrh.histogram import HdrHistogram

        self._histogram = HdrHistogram(1, LONGEST_US, DIGITS)
        self._sum_ms = 0.0
        self._largest_ms = 0.0

    def add(self, duration_ms: float) -> None:
        """Count one."""
        self._histogram.record_value(min(LONGEST_US, max(1, round(duration_ms * 1000))))
        self._sum_ms += duration_ms
        self._largest_ms = max(self._largest_ms, duration_ms)

    def __len__(self) -> int:
        return int(self._histogram.get_total_count())

    def percentile_ms(self, percent: float) -> float:
        """Return the duration that `percent` of them do not exceed; 0 where there are none."""
        count = len(self)
        if not count:
            return 0.0
        # The library takes the nearest rank, above which more than the rest may lie: give it the next one.
        rank = max(1, math.ceil(percent * count / 100 - 1e-9))
        value_us = self._histogram.get_value_at_percentile(100 * rank / count)
        return min(self._largest_ms, float(value_us) / 1000)

    def summary(self) -> Latency | None:
        """Return the percentiles, or None where there are none."""
        if not len(self):
            return None
        return Latency(
            p50_ms=self.percentile_ms(50),
            p90_ms=self.percentile_ms(90),
            p95_ms=self.percentile_ms(95),
            p99_ms=self.percentile_ms(99),
            p99_9_ms=self.percentile_ms(99.9),
            max_ms=self._largest_ms,
            mean_ms=self._sum_ms / len(self),
        )


@dataclass(slots=True)
class TokenCounts:
    """What language models generated."""

    tokens: int = 0
    first: Durations = field(default_factory=Durations)
    each: Durations = field(default_factory=Durations)
    counted_by_server: bool = True

    def add(self, found: "Tokens", due: float) -> None:
        """Count the tokens of one answer to a request that was due at a moment of time.perf_counter."""
        self.tokens += found.count
        self.counted_by_server = self.counted_by_server and found.counted_by_server
        self.first.add((found.first_at - due) * 1000)
        spent = found.last_at - found.first_at
        if found.count > 1 and spent > 0:
            self.each.add(spent / (found.count - 1) * 1000)


@dataclass(slots=True)
class Measured:
    """What came of a load.

    `latencies` holds the good answers and the requests whose time ran out, sent or not (with the time that
    they waited, which is less than they would have needed). A quick error has no place among them. `service`
    holds those of them that were sent.
    """

    due: int = 0
    latencies: Durations = field(default_factory=Durations)
    service: Durations = field(default_factory=Durations)
    lags: Durations = field(default_factory=Durations)
    good: int = 0
    checked: int = 0
    wrong: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    tokens: TokenCounts | None = None
    first_answer_at: float = 0.0
    """When the first good answer had come (time.perf_counter); 0: there is none."""
    answered_at: float = 0.0
    """When the last good answer had come (time.perf_counter)."""
    elapsed_s: float = 0.0
    """Until the last good answer (in an open loop from the first one on), and the duration at least."""
    generator_cpu: float = 0.0

    @property
    def failed(self) -> int:
        """How many requests got no good answer."""
        return self.kinds.total()

    @property
    def send_lag_p99_ms(self) -> float:
        """How late the generator itself was."""
        return self.lags.percentile_ms(99)

    def note(self, error: str, kind: str = "", times: int = 1) -> None:
        """Count an error."""
        error = error[:LONGEST_ERROR]
        known = error in self.errors or len(self.errors) < KINDS_OF_ERRORS
        self.errors[error if known else "other errors"] += times
        name = kind or error
        self.kinds[name if name in self.kinds or len(self.kinds) < KINDS_OF_ERRORS else "other"] += times
