"""The same work on several things at a time, in few threads; the first error ends it all."""

import queue
import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def for_each(
    work: Callable[[T], R], things: Sequence[T], *, threads: int, stopped: threading.Event
) -> tuple[R, ...]:
    """Return what `work` makes of each thing, in their order.

    On an error, or when we are interrupted, `stopped` is set, nothing new begins, and the first error is
    raised. The threads are daemons: one that waits for a silent peer does not keep the process alive.
    """
    waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
    done: queue.SimpleQueue[tuple[int, R | BaseException]] = queue.SimpleQueue()
    for number in range(len(things)):
        waiting.put(number)

    def take_turns() -> None:
        while not stopped.is_set():
            try:
                number = waiting.get_nowait()
            except queue.Empty:
                return
            try:
                done.put((number, work(things[number])))
            except BaseException as error:
                done.put((number, error))
                return

    made: dict[int, R] = {}
    try:
        for _ in range(min(threads, len(things))):
            threading.Thread(target=take_turns, name="push", daemon=True).start()
        while len(made) < len(things):
            number, result = done.get()
            if isinstance(result, BaseException):
                raise result
            made[number] = result
    except BaseException:
        stopped.set()
        raise
    return tuple(made[number] for number in range(len(things)))
