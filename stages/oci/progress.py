"""What is shown while blobs travel: how much is there, how much was sent, how fast."""

import threading
import time
from collections.abc import Callable

from pipeline.reference import Digest

INTERVAL_S = 0.5


class Progress:
    """Adds up what several threads send, and says it now and then."""

    def __init__(self, subject: str, total_bytes: int, say: Callable[[str], None]) -> None:
        self._subject, self._total_bytes, self._say = subject, total_bytes, say
        self._lock = threading.Lock()
        self._sent: dict[Digest, int] = {}
        self._there: dict[Digest, int] = {}
        self._begin = time.monotonic()
        self._next = self._begin + INTERVAL_S

    def sent(self, digest: Digest, count: int) -> None:
        """Note how many bytes of a blob are sent; fewer than before when it is sent again."""
        with self._lock:
            self._sent[digest] = count
            self._say_sometimes()

    def there(self, digest: Digest, size_bytes: int) -> None:
        """Note that the registry has all of a blob, wherever it got it from."""
        with self._lock:
            self._there[digest] = size_bytes
            self._say_sometimes()

    def _say_sometimes(self) -> None:
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + INTERVAL_S
        sent = sum(self._sent.values())
        there = sum((self._sent | self._there).values())
        rate = in_words(sent / (now - self._begin))
        self._say(
            f"{self._subject}: {in_words(there)} of {in_words(self._total_bytes)} there, "
            f"{in_words(sent)} sent at {rate}/s"
        )


def in_words(size_bytes: float) -> str:
    """Return a size for people, in powers of ten: `1.2 GB`."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size_bytes >= size:
            return f"{size_bytes / size:.1f} {unit}"
    return f"{size_bytes:.0f} B"
