"""The bytes of a blob as an upload wants them: from any offset, hashed once, never held as a whole."""

import hashlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from pipeline.errors import StageFailed
from pipeline.model import Descriptor

SMALLEST_PIECE_BYTES = 64 * 1024


class HashedOnce:
    """Lets one of the streams that read the same bytes hash them; each registry compares in any case."""

    def __init__(self) -> None:
        self._free = threading.Lock()

    def take(self) -> bool:
        """Tell whether the caller shall hash these bytes: nobody else does."""
        return self._free.acquire(blocking=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Blob:
    """Bytes to push, read when they are needed and never held in memory as a whole."""

    descriptor: Descriptor
    read: Callable[[int], Iterator[bytes]]
    """Yields the bytes from an offset on, in pieces of a megabyte or so."""
    name: str = ""
    """The file that it holds, or the first of them, for messages; empty where that is none."""
    hashed: HashedOnce = field(default_factory=HashedOnce, compare=False, repr=False)
    """Tells those who push this blob to several places whether one of them hashes it already."""


class BlobStream:
    """Reads one blob for one push, and knows at the end whether it was what its digest says.

    It goes forward through the source, and opens it anew where a broken upload wants an earlier byte again.
    A byte that is read twice is hashed once: the registry hashes what it got. It costs 0.65 s of processor
    time for a gigabyte, and no time that could be measured: a registry needs 4 to 5 s for the same gigabyte.
    Where several streams read a blob for several registries, the first one alone hashes it.
    `sent_bytes` counts what was handed out, as often as it was.
    """

    def __init__(self, blob: Blob) -> None:
        self.blob = blob
        self.sent_bytes = 0
        self._position = 0
        self._pieces: Iterator[bytes] | None = None
        self._rest = b""
        self._digest = hashlib.sha256()
        self._hashed_bytes = 0
        self._hashes: bool | None = None

    def read(self, begin: int, end: int) -> Iterator[bytes]:
        """Yield the bytes of a range; the last ones of the blob only once all of it is found unchanged.

        Raises:
            StageFailed: the source is no longer what was described.
        """
        if self._hashes is None:
            self._hashes = self.blob.hashed.take()
        if self._pieces is None or begin != self._position:
            self._open(begin)
        while self._position < end:
            piece = self._take(end - self._position)
            if self._position == self.blob.descriptor.size_bytes:
                self._require_unchanged()
            self.sent_bytes += len(piece)
            yield piece

    def _open(self, offset: int) -> None:
        self._pieces = gathered(self.blob.read(offset))
        self._position, self._rest = offset, b""

    def _take(self, limit: int) -> bytes:
        piece = self._rest or self._next()
        if not piece:
            raise changed(self.blob)
        piece, self._rest = piece[:limit], piece[limit:]
        self._hash(piece)
        self._position += len(piece)
        return piece

    def _next(self) -> bytes:
        return next(self._pieces, b"") if self._pieces is not None else b""

    def _hash(self, piece: bytes) -> None:
        """Hash what is new; nothing more once there is a gap, as after an earlier process's upload."""
        known = self._hashed_bytes - self._position
        if self._hashes and 0 <= known < len(piece):
            self._digest.update(piece[known:] if known else piece)
            self._hashed_bytes += len(piece) - known

    def _require_unchanged(self) -> None:
        described = self.blob.descriptor
        too_long = bool(self._rest or self._next())
        whole = self._hashed_bytes == described.size_bytes  # if not, the registry alone compares
        if too_long or (whole and f"sha256:{self._digest.hexdigest()}" != described.digest):
            raise changed(self.blob)


def changed(blob: Blob) -> StageFailed:
    """Return the error for a blob whose source no longer gives the bytes that were described."""
    digest = blob.descriptor.digest
    what = f"{blob.name} (layer {digest})" if blob.name else f"the content of {digest}"
    return StageFailed(
        f"{what} changed since the build",
        advice="Let nothing write to the model and the run's folders during a run, and run again.",
    )


def gathered(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the same bytes without tiny pieces: each costs a packet."""
    small = bytearray()
    for piece in pieces:
        if not small and len(piece) >= SMALLEST_PIECE_BYTES:
            yield piece
            continue
        small += piece
        if len(small) >= SMALLEST_PIECE_BYTES:
            yield bytes(small)
            small.clear()
    if small:
        yield bytes(small)


def skipped(pieces: Iterator[bytes], offset: int) -> Iterator[bytes]:
    """Yield the bytes from an offset on, for a source that can only be read from its beginning."""
    for piece in pieces:
        if offset < len(piece):
            yield piece[offset:] if offset else piece
        offset = max(0, offset - len(piece))
