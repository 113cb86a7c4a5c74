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
STEP_BITS = 11  # 2,048 steps up to each power of two: the error of a percentile is at most 0.1 %


class Durations:
    """A histogram of durations with three significant digits from 1 µs to an hour (HdrHistogram, G. Tene).

    It is ours because the library's package has no wheel for Linux on arm.
    """

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()  # by the longest duration that is not told apart, in µs
        self._count = 0
        self._sum_ms = 0.0
        self._largest_ms = 0.0

    def add(self, duration_ms: float) -> None:
        """Count one."""
        self._counts[_longest_alike(min(LONGEST_US, max(1, round(duration_ms * 1000))))] += 1
        self._count += 1
        self._sum_ms += duration_ms
        self._largest_ms = max(self._largest_ms, duration_ms)

    def __len__(self) -> int:
        return self._count

    def percentile_ms(self, percent: float) -> float:
        """Return the duration that `percent` of them do not exceed; 0 where there are none."""
        # Not the nearest rank, above which more than the rest may lie, but the next one.
        rank = max(1, math.ceil(percent * self._count / 100 - 1e-9))
        counted = 0
        for duration_us in sorted(self._counts):
            counted += self._counts[duration_us]
            if counted >= rank:
                return min(self._largest_ms, duration_us / 1000)
        return 0.0

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


def _longest_alike(duration_us: int) -> int:
    """Return the longest duration that shares a step with this one; up to 2 ms each has a step of its own."""
    return duration_us | ((1 << max(0, duration_us.bit_length() - STEP_BITS)) - 1)


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
