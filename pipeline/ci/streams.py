"""Standard output and error as a CI host reads them: commands are ours alone.

Whatever tools, tests, branch names and file names bring into the log goes through a guard; only what is told
by `tell` reaches the host as it is.
"""

import io
import os
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, TextIO


class Guarded(io.TextIOWrapper):
    """A text stream over another one's bytes, in which a CI host finds no command but those of `tell`."""

    def __init__(self, stream: io.TextIOWrapper, neutral: Callable[[str], str]) -> None:
        stream.flush()
        super().__init__(
            stream.buffer,
            encoding=stream.encoding,
            errors=stream.errors,
            line_buffering=True,
        )
        self._neutral = neutral

    def write(self, text: str, /) -> int:
        """Write text without commands; say the length of what was given, as streams do."""
        super().write(self._neutral(text))
        return len(text)

    def tell_host(self, text: str) -> None:
        """Write text as it is."""
        super().write(text)
        self.flush()


def tell(stream: IO[str], text: str) -> None:
    """Tell the host something: whole lines, in one piece, since other threads write too."""
    if not text:
        return
    lines = text if text.endswith("\n") else f"{text}\n"
    if isinstance(stream, Guarded):
        stream.tell_host(lines)
    else:
        stream.write(lines)
        stream.flush()


def is_kept(stream: IO[str]) -> bool:
    """Tell whether a stream goes into a file, which no host reads and which may be kept."""
    try:
        return stat.S_ISREG(os.fstat(stream.fileno()).st_mode)
    except (OSError, ValueError):  # closed, or not the process's own
        return True


@contextmanager
def guarded(neutral: Callable[[str], str]) -> Iterator[None]:
    """Guard standard output and error for as long as the block lasts; what goes into files stays as it is."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (_over(stream, neutral) for stream in before)
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, Guarded):
                _let_go(stream)
        sys.stdout, sys.stderr = before


def _over(stream: TextIO, neutral: Callable[[str], str]) -> TextIO:
    return stream if is_kept(stream) or not isinstance(stream, io.TextIOWrapper) else Guarded(stream, neutral)


def _let_go(stream: Guarded) -> None:
    """Leave the bytes below open: they belong to the stream that was there before."""
    try:
        stream.detach()
    except (OSError, ValueError):  # the reader left, or it is closed
        return
