"""What is shown while weights are read: how much, how fast, and how long it will take."""

import threading
import time

from pipeline.desk import Say
from stages.oci.progress import INTERVAL_S, in_words


class ReadingProgress:
    """Adds up what several threads read, and says it now and then."""

    def __init__(self, subject: str, total_bytes: int, say: Say) -> None:
        self._subject, self._total_bytes, self._say = subject, total_bytes, say
        self._lock = threading.Lock()
        self._read_bytes = 0
        self._begin = time.monotonic()
        self._next = self._begin + INTERVAL_S

    def read(self, count: int) -> None:
        """Note that so many more bytes were read."""
        with self._lock:
            self._read_bytes += count
            if time.monotonic() >= self._next:
                self._next = time.monotonic() + INTERVAL_S
                self._say(f"{self._subject}: {in_words(self._read_bytes)} of {self._so_far()}")

    def done(self) -> None:
        """Say how long it took in all."""
        self._say(f"{self._subject}: {in_words(self._read_bytes)} in {time.monotonic() - self._begin:.1f} s")

    def _so_far(self) -> str:
        rate = self._read_bytes / (time.monotonic() - self._begin)
        left = duration((self._total_bytes - self._read_bytes) / rate)
        return f"{in_words(self._total_bytes)}, {in_words(rate)}/s, {left} left"


def duration(seconds: float) -> str:
    """Return a time for people: `40 s`, `3 min 20 s`, `2 h 05 min`."""
    whole = max(0, round(seconds))
    minutes, rest = divmod(whole, 60)
    if minutes < 1:
        return f"{rest} s"
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
