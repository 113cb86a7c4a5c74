"""What is shown while blobs travel: what became of each, how much is there, how fast, and how long yet."""

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from pipeline.reference import Digest

INTERVAL_S = 0.5
NOTABLE_BYTES = 1_000_000  # a smaller blob is not worth a line of its own


@dataclass(slots=True)
class _UnderWay:
    """A blob that is being sent."""

    size_bytes: int
    begin: float
    first_bytes: int
    """What had been sent when it was first heard of, by an earlier run perhaps."""
    sent_bytes: int

    def text(self, now: float) -> str:
        rate = max(0, self.sent_bytes - self.first_bytes) / max(now - self.begin, 0.001)
        done = f"{in_words(self.sent_bytes)} of {in_words(self.size_bytes)}"
        return f"{done}{_pace(rate, self.size_bytes - self.sent_bytes)}"


class Progress:
    """Adds up what several threads send, and says it now and then: a line for all, and one for each blob."""

    def __init__(
        self, subject: str, total_bytes: int, say: Callable[[str], None], *, interval_s: float = INTERVAL_S
    ) -> None:
        self._subject, self._total_bytes, self._say = subject, total_bytes, say
        self._lock = threading.Lock()
        self._blobs: dict[Digest, _UnderWay] = {}
        self._there: dict[Digest, int] = {}
        self._how: Counter[str] = Counter()
        self._begin = time.monotonic()
        self._interval_s = interval_s
        self._next = self._begin + interval_s

    def sent(self, digest: Digest, count: int, size_bytes: int) -> None:
        """Note how many bytes of a blob are sent; fewer than before when it is sent again."""
        with self._lock:
            blob = self._blobs.setdefault(digest, _UnderWay(size_bytes, time.monotonic(), count, count))
            blob.sent_bytes = count
            self._say_sometimes()

    def there(self, digest: Digest, size_bytes: int, how: str = "") -> None:
        """Note that the registry has all of a blob; `how` says where from, if that is worth saying."""
        with self._lock:
            self._there[digest] = size_bytes
            if how:
                self._how[how] += 1
            if how and size_bytes >= NOTABLE_BYTES:
                self._say(f"{digest.short} {in_words(size_bytes)} {how}: {self._subject}")
            self._say_sometimes()

    def _say_sometimes(self) -> None:
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + self._interval_s
        self._say("\n".join((self._total(now), *self._each(now))))

    def _total(self, now: float) -> str:
        """Return what matters most first: a narrow terminal cuts the end."""
        sent = sum(blob.sent_bytes for blob in self._blobs.values())
        there = sum(
            ({digest: blob.sent_bytes for digest, blob in self._blobs.items()} | self._there).values()
        )
        pace = _pace(sent / max(now - self._begin, 0.001), self._total_bytes - there)
        told = ", ".join(f"{count} {how}" for how, count in sorted(self._how.items()))
        blobs = f" ({told})" if told else ""
        return (
            f"{in_words(there)} of {in_words(self._total_bytes)} there{pace}; "
            f"{in_words(sent)} sent{blobs}: {self._subject}"
        )

    def _each(self, now: float) -> tuple[str, ...]:
        """Return how far the blobs are that are on their way."""
        under_way = {digest: blob for digest, blob in self._blobs.items() if digest not in self._there}
        return tuple(f"{digest.short} {blob.text(now)}" for digest, blob in under_way.items())


def _pace(bytes_per_s: float, left_bytes: int) -> str:
    if bytes_per_s <= 0:
        return ""
    return f", {in_words(bytes_per_s)}/s, {duration(left_bytes / bytes_per_s)} left"


def in_words(size_bytes: float) -> str:
    """Return a size for people, in powers of ten: `1.2 GB`."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size_bytes >= size:
            return f"{size_bytes / size:.1f} {unit}"
    return f"{size_bytes:.0f} B"


def duration(seconds: float) -> str:
    """Return a time for people: `45 s`, `3 min`, `2 h 5 min`."""
    if seconds < 90:
        return f"{max(seconds, 0):.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
