"""As many open files as the load may need: every connection is one."""

import contextlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager

ENOUGH = 65_536


@contextmanager
def many_open_files() -> Iterator[None]:
    """Raise the limit of this process, which is often 1,024, as far as it may go, and put it back at the end.

    The usual limit is low for the sake of old programs that would break beyond it. Where it stays too low,
    requests that cannot be sent are told as ours.
    """
    if sys.platform == "win32":
        yield
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = ENOUGH if hard == resource.RLIM_INFINITY else min(ENOUGH, hard)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        yield
        return
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    try:
        yield
    finally:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
