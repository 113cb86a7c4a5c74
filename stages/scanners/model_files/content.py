"""Bytes that can be read anywhere, in bounded memory: of a file, or of a part of it."""

import os
from dataclasses import dataclass
from typing import Protocol

from stages.scanners.model_files.look import MOST_READ_BYTES, Look, Stop, truncated

PIECE_BYTES = 256 * 1024


class Content(Protocol):
    """Bytes of a known size."""

    @property
    def size(self) -> int: ...  # noqa: D102

    def read_at(self, offset: int, length: int) -> bytes:
        """Return what is there; less than asked for only at the end."""
        ...


def read_exactly(content: Content, offset: int, length: int, what: str) -> bytes:
    """Return exactly so many bytes.

    Raises:
        Stop: they are not there, or too many to hold.
    """
    if length > MOST_READ_BYTES:
        raise Stop("unread", "too-large", f"{what} has {length} bytes; at most {MOST_READ_BYTES} are read")
    piece = content.read_at(offset, length)
    if len(piece) != length:
        raise truncated(what)
    return piece


@dataclass(frozen=True, slots=True)
class FileContent:
    """An open file, read without moving its position."""

    descriptor: int
    size: int
    look: Look

    def read_at(self, offset: int, length: int) -> bytes:
        """Return bytes of the file."""
        self.look.check_time()
        return os.pread(self.descriptor, max(0, min(length, self.size - offset)), offset)


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of another content."""

    whole: Content
    offset: int
    size: int

    def read_at(self, offset: int, length: int) -> bytes:
        """Return bytes of the stretch."""
        return self.whole.read_at(self.offset + offset, max(0, min(length, self.size - offset)))
