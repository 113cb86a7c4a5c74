"""What is shown while blobs travel: what became of each, how much is there, how fast, and how long yet."""

import threading
import time
from collections.abc import Callable

from pipeline.reference import Digest

INTERVAL_S = 0.5
NOTABLE_BYTES = 1_000_000  # a smaller blob is not worth a line of its own


class Progress:
    """Adds up what several threads send, and says it now and then."""

    def __init__(
        self, subject: str, total_bytes: int, say: Callable[[str], None], *, interval_s: float = INTERVAL_S
    ) -> None:
        self._subject, self._total_bytes, self._say = subject, total_bytes, say
        self._lock = threading.Lock()
        self._sent: dict[Digest, int] = {}
        self._there: dict[Digest, int] = {}
        self._begin = time.monotonic()
        self._interval_s = interval_s
        self._next = self._begin + interval_s

    def sent(self, digest: Digest, count: int) -> None:
        """Note how many bytes of a blob are sent; fewer than before when it is sent again."""
        with self._lock:
            self._sent[digest] = count
            self._say_sometimes()

    def there(self, digest: Digest, size_bytes: int, how: str = "") -> None:
        """Note that the registry has all of a blob; `how` says where from, if that is worth saying."""
        with self._lock:
            self._there[digest] = size_bytes
            if how and size_bytes >= NOTABLE_BYTES:
                self._say(f"{self._subject}: {digest.short} {in_words(size_bytes)} {how}")
            self._say_sometimes()

    def _say_sometimes(self) -> None:
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + self._interval_s
        self._say(f"{self._subject}: {self._total(now - self._begin)}{self._each()}")

    def _total(self, elapsed_s: float) -> str:
        sent = sum(self._sent.values())
        there = sum((self._sent | self._there).values())
        rate = sent / elapsed_s
        left = f", {duration((self._total_bytes - there) / rate)} left" if rate else ""
        return (
            f"{in_words(there)} of {in_words(self._total_bytes)} there, "
            f"{in_words(sent)} sent at {in_words(rate)}/s{left}"
        )

    def _each(self) -> str:
        """Return how far the blobs are that are on their way."""
        under_way = {digest: count for digest, count in self._sent.items() if digest not in self._there}
        parts = ", ".join(f"{digest.short} {in_words(count)}" for digest, count in under_way.items())
        return f" ({parts})" if parts else ""


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
