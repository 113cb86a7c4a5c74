"""Reading a remote file to its last byte: a broken connection goes on where it stopped, bounded in tries."""

import contextlib
import threading
from collections.abc import Callable, Iterator

from pipeline.errors import StageFailed, TemporaryRemoteError
from stages.models.interface import SourceFile
from stages.oci.layout import CHUNK_BYTES
from stages.oci.retries import Retries

Open = Callable[[int], Iterator[bytes]]
"""Opens the file at an offset; raises TemporaryRemoteError where another try may help."""


def read_resuming(
    open_at: Open, file: SourceFile, source: str, offset: int = 0, retries: Retries | None = None
) -> Iterator[bytes]:
    """Yield exactly the bytes from `offset` to the listed size, in pieces of at most a megabyte.

    Raises:
        TemporaryRemoteError: the connection broke again and again without a byte in between.
        StageFailed: there are more bytes than were listed.
        PipelineError: whatever `open_at` raises.
    """
    body = _Body(open_at, file, source, offset)
    retries = retries or Retries()
    stopped = threading.Event()
    while piece := retries.run(body.next_piece, stopped, lambda _: None):
        for begin in range(0, len(piece), CHUNK_BYTES):
            yield piece[begin : begin + CHUNK_BYTES]


class _Body:
    """The rest of a file, whatever becomes of the connections that it comes through."""

    def __init__(self, open_at: Open, file: SourceFile, source: str, offset: int) -> None:
        self.open_at = open_at
        self.file = file
        self.source = source
        self.position = offset
        self.pieces: Iterator[bytes] | None = None

    def next_piece(self) -> bytes:
        """Return some bytes, or none at the end."""
        if self.position >= self.file.size_bytes:
            self._refuse_more()
            return b""
        try:
            if self.pieces is None:
                self.pieces = self.open_at(self.position)
            piece = next(self.pieces, b"")
        except TemporaryRemoteError:
            self.pieces = None
            raise
        if not piece:
            self.pieces = None
            raise TemporaryRemoteError(
                f"{self.source}/{self.file.path} ended after {self.position} of {self.file.size_bytes} bytes",
                advice="Run again; if it stays so, a proxy in between cuts long answers.",
            )
        self.position += len(piece)
        if self.position > self.file.size_bytes:
            raise changed(self.source, self.file.path)
        return piece

    def _refuse_more(self) -> None:
        with contextlib.suppress(TemporaryRemoteError):  # all that was listed is here
            if self.pieces is not None and next(self.pieces, b""):
                raise changed(self.source, self.file.path)


def changed(source: str, path: str) -> StageFailed:
    """Return the error for a file that is not the one that was listed."""
    return StageFailed(
        f"{source}/{path} changed since it was listed",
        advice="Somebody writes to the model while it is delivered. Let them finish, and run again"
        " (with a pipeline.lock: `pipeline lock` first).",
    )
