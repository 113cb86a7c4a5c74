"""One run at a time in a scanner's cache: two that write to it would spoil it."""

import contextlib
import fcntl
import time
from collections.abc import Iterator
from pathlib import Path

from pipeline.desk import Desk
from pipeline.errors import StageFailed

LOCK_TIMEOUT_S = 600.0


@contextlib.contextmanager
def alone(cache: Path, desk: Desk) -> Iterator[None]:
    """Keep another run's Trivy away from this cache: both would write to it.

    Raises:
        StageFailed: the other run does not end.
    """
    cache.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + LOCK_TIMEOUT_S
    with (cache / "lock").open("w") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise StageFailed(
                        f"another run uses {cache} and does not end", advice="End it, then run again."
                    ) from None
                desk.say("waiting for the scan of another run")
                time.sleep(0.5)
        yield  # closing the file gives it free
