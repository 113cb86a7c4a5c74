"""Which files below a folder are opened, by whatever process: the kernel tells (inotify)."""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

IN_OPEN = 0x20
IN_ISDIR = 0x4000_0000
EVENT = struct.Struct("iIII")


@dataclass(slots=True)
class OpenedFiles:
    """Watches the files that are in a folder, and in the folders below it."""

    descriptor: int

    def names(self) -> list[str]:
        """Return the files that were opened since the last call, by name, each once."""
        found: set[str] = set()
        try:
            while events := os.read(self.descriptor, 64 * 1024):
                found |= set(self._files(events))
        except BlockingIOError:
            return sorted(found)
        return sorted(found)

    def _files(self, events: bytes) -> Iterator[str]:
        position = 0
        while position < len(events):
            _, mask, _, length = EVENT.unpack_from(events, position)
            position += EVENT.size
            if not mask & IN_ISDIR and length:
                yield events[position : position + length].rstrip(b"\0").decode()
            position += length


@contextmanager
def opened_files(folder: Path) -> Iterator[OpenedFiles]:
    """Watch for as long as the `with` block lasts."""
    library = ctypes.CDLL(None, use_errno=True)
    descriptor = library.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        for below in (folder, *(path for path in folder.rglob("*") if path.is_dir())):
            if library.inotify_add_watch(descriptor, os.fsencode(below), IN_OPEN) < 0:
                raise OSError(ctypes.get_errno(), f"cannot watch {below}")
        yield OpenedFiles(descriptor)
    finally:
        os.close(descriptor)
