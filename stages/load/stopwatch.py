"""How long a load lasted, and how busy the generator was meanwhile."""

import time

from stages.load.measured import Measured


class Stopwatch:
    """Runs from its making on; `sent` is pressed when nothing further will be sent, `stop` at the end.

    While the last answers are waited for, the generator is idle: that must not hide how busy it was before.
    """

    def __init__(self, duration_s: float) -> None:
        self.begin = time.perf_counter()
        self._duration_s = duration_s
        self._cpu = time.process_time()
        self._busy = 0.0

    def sent(self) -> None:
        """Look at the processor time until now."""
        self._busy = max(self._busy, self._share())

    def stop(self, measured: Measured, since: float = 0.0) -> None:
        """Note both; a request that hangs after the last good answer makes the load no longer.

        It lasts from its beginning on, or from `since` (time.perf_counter).
        """
        self.sent()
        measured.elapsed_s = max(measured.answered_at - (since or self.begin), self._duration_s)
        measured.generator_cpu = self._busy

    def _share(self) -> float:
        spent_s = max(time.perf_counter() - self.begin, self._duration_s)
        return (time.process_time() - self._cpu) / spent_s
