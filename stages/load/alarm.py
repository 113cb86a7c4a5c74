"""Waits for a moment more exactly than event loops do, whose timers count whole milliseconds."""

import asyncio
import ctypes
import os
import sys
import time
from types import TracebackType
from typing import Self

CLOCK_MONOTONIC = 1
FLAGS = os.O_NONBLOCK | os.O_CLOEXEC if sys.platform == "linux" else 0


class Alarm:
    """A timer of the kernel that the running event loop watches; elsewhere than on Linux, the loop's own.

    Source: timerfd_create(2). Python's os.timerfd_create begins with 3.13.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._timer = -1
        self._rung = self._loop.create_future()

    async def __aenter__(self) -> Self:
        if sys.platform == "linux":
            self._library = ctypes.CDLL(None)
            self._timer = self._library.timerfd_create(CLOCK_MONOTONIC, FLAGS)
        if self._timer >= 0:
            self._loop.add_reader(self._timer, self._ring)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer >= 0:
            self._loop.remove_reader(self._timer)
            os.close(self._timer)

    async def until(self, due: float) -> None:
        """Wait until a moment of time.perf_counter; others get their turn also when it is over."""
        left = due - time.perf_counter()
        if left <= 0 or self._timer < 0:
            await asyncio.sleep(max(0, left))
            return
        self._rung = self._loop.create_future()
        self._set(left)
        await self._rung

    def _set(self, left: float) -> None:
        seconds, rest = divmod(max(1, round(left * 1e9)), 1_000_000_000)
        # struct itimerspec: the interval, which is none, and the time until it rings
        when = (ctypes.c_long * 4)(0, 0, seconds, rest)
        self._library.timerfd_settime(self._timer, 0, when, None)

    def _ring(self) -> None:
        try:
            os.read(self._timer, 8)
        except BlockingIOError:  # it was set anew since
            return
        if not self._rung.done():
            self._rung.set_result(None)
