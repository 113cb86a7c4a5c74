"""A disk that fills while it is written: no forecast sees what others write meanwhile, nor a quota."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.errors import DiskFull


@contextmanager
def full_disk_named(message: str, advice: str) -> Iterator[None]:
    """Say what there was no room for.

    Raises:
        DiskFull: inside the `with` block the disk, or the user's share of it, turned out to be full.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
            raise
        raise DiskFull(message, advice=advice) from error
