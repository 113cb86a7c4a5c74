"""One benchmark at a time on one machine: two at once would measure each other.

The lock is advisory, and the operating system gives it back when its holder ends, however it ends.
"""

import contextlib
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.desk import Say

NAME = "model-image-pipeline-benchmark.lock"
LONGEST_WAIT_S = 1800.0
LOOK_EVERY_S = 0.2
SAY_EVERY_S = 5.0
DISTURBED = "another benchmark on this machine went on for {:g} s, so both ran at the same time"


@contextmanager
def our_turn(
    say: Say, folder: Path | None = None, longest_wait_s: float = LONGEST_WAIT_S
) -> Iterator[tuple[str, ...]]:
    """Wait until no other benchmark measures on this machine; yield what is doubtful all the same."""
    descriptor = _open((folder or Path(tempfile.gettempdir())) / NAME)
    if descriptor is None:  # a machine that has no such place knows no other benchmarks either
        yield ()
        return
    try:
        mine = _wait(descriptor, say, longest_wait_s)
        yield () if mine else (DISTURBED.format(longest_wait_s),)
    finally:
        os.close(descriptor)


def _wait(descriptor: int, say: Say, longest_wait_s: float) -> bool:
    import fcntl

    begin = said = time.monotonic()
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pass
        except OSError:  # a file system without locks: here, too, nobody knows of other benchmarks
            return True
        else:
            return True
        now = time.monotonic()
        if now - begin > longest_wait_s:
            return False
        if said == begin or now - said > SAY_EVERY_S:
            said = now
            say(f"waiting for another benchmark on this machine to end, {now - begin:.0f} s")
        time.sleep(LOOK_EVERY_S)


def _open(path: Path) -> int | None:
    """Open the file, which may be another user's: a lock needs no right to write."""
    for flags in (os.O_RDONLY, os.O_RDONLY | os.O_CREAT):
        with contextlib.suppress(OSError):
            return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    return None
