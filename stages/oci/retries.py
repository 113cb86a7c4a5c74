"""Trying again, for errors that may pass and for no others; bounded in number and in time."""

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from pipeline.errors import Interrupted, TemporaryRemoteError

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Retries:
    """How often to try, and how long to wait in between: doubled each time, with jitter."""

    attempts: int = 7
    first_wait_s: float = 0.5
    longest_wait_s: float = 60.0

    def run(
        self,
        work: Callable[[], T],
        stopped: threading.Event,
        say: Callable[[str], None],
        *,
        progress: Callable[[], int] = lambda: 0,
    ) -> T:
        """Return what `work` returns, as soon as it does; attempts are counted anew when `progress` grew.

        Raises:
            TemporaryRemoteError: it kept failing, or the server asks for a longer wait than is allowed.
            Interrupted: the run was stopped while waiting.
        """
        attempt, furthest = 0, progress()
        while True:
            attempt += 1
            try:
                return work()
            except TemporaryRemoteError as error:
                if progress() > furthest:
                    attempt, furthest = 1, progress()
                wait_s = self._wait_s(attempt, error)
                if attempt >= self.attempts or wait_s > self.longest_wait_s:
                    raise
                say(f"{error.message}; trying again in {wait_s:.0f} s ({attempt} of {self.attempts - 1})")
            if stopped.wait(wait_s):
                raise Interrupted("stopped while waiting for a registry")

    def _wait_s(self, attempt: int, error: TemporaryRemoteError) -> float:
        grown = min(self.first_wait_s * 2.0 ** (attempt - 1), self.longest_wait_s)
        jittered = grown * random.uniform(0.5, 1.0)  # noqa: S311 - spreads clients, guards nothing
        return max(jittered, error.retry_after_s or 0.0)
