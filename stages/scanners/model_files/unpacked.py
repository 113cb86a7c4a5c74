"""What is compressed in another content, to be read as if it were not, and never unpacked as a whole."""

import bz2
import lzma
import zlib
from collections.abc import Callable

from stages.scanners.model_files.content import PIECE_BYTES, Content
from stages.scanners.model_files.look import Look, Stop, truncated

KEPT_BYTES = 512 * 1024
"""How far back one may go without beginning anew."""
MOST_WINDOW_BYTES = 64 * 1024 * 1024
"""The most memory that a decompressor may want."""


class _Zlib:
    """zlib's objects keep what they have not used, the others do it themselves."""

    def __init__(self, wbits: int) -> None:
        self._inner = zlib.decompressobj(wbits)

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    @property
    def waiting(self) -> bool:
        return bool(self._inner.unconsumed_tail)

    def feed(self, data: bytes) -> bytes:
        return self._inner.decompress(self._inner.unconsumed_tail + data, PIECE_BYTES)


class _Blocks:
    """bz2 and lzma."""

    def __init__(self, inner: "bz2.BZ2Decompressor | lzma.LZMADecompressor") -> None:
        self._inner = inner

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    @property
    def waiting(self) -> bool:
        return not self._inner.eof and not self._inner.needs_input

    def feed(self, data: bytes) -> bytes:
        return self._inner.decompress(data, PIECE_BYTES)


CODECS: dict[str, Callable[[], "_Zlib | _Blocks"]] = {
    "deflate": lambda: _Zlib(-zlib.MAX_WBITS),
    "zlib": lambda: _Zlib(zlib.MAX_WBITS),
    "gzip": lambda: _Zlib(zlib.MAX_WBITS | 16),
    "bzip2": lambda: _Blocks(bz2.BZ2Decompressor()),
    "xz": lambda: _Blocks(lzma.LZMADecompressor(memlimit=MOST_WINDOW_BYTES)),
}


class Unpacked:
    """What is compressed in another content; going far back decompresses it once more from its beginning.

    Streams that follow each other are one, as their own programs have it, but for `deflate` (members of zip).
    """

    def __init__(self, packed: Content, codec: str, look: Look, size: int | None = None) -> None:
        self._packed, self._codec, self._look = packed, codec, look
        self._furthest = 0
        self._size = size
        self._begin()

    @property
    def size(self) -> int:
        """The whole size; where nobody has told it, everything is unpacked once to count it."""
        if self._size is None:
            while not self._ended:
                self._advance()
                self._forget(self._start + len(self._window))
            self._size = self._start + len(self._window)
        return self._size

    def read_at(self, offset: int, length: int) -> bytes:
        """Return bytes of what is compressed."""
        if offset < self._start:
            self._begin()
        while self._start + len(self._window) < offset + length and not self._ended:
            self._forget(offset)
            self._advance()
        begin = offset - self._start
        return bytes(self._window[begin : begin + length])

    def require_size(self, size: int) -> None:
        """Unpack everything once.

        Raises:
            Stop: it is not so long, or what is compressed is damaged.
        """
        while not self._ended:
            self._forget(self._start + len(self._window))
            self._advance()
        found = self._start + len(self._window)
        if found != size:
            raise Stop("malformed", "archive-size", f"unpacks to {found} bytes instead of {size}")

    def _begin(self) -> None:
        self._codec_state = CODECS[self._codec]()
        self._taken = 0
        self._start = 0
        self._window = bytearray()
        self._ended = False

    def _forget(self, needed_from: int) -> None:
        """Let go of what lies far behind."""
        spare = min(needed_from, self._start + len(self._window)) - KEPT_BYTES - self._start
        if spare > KEPT_BYTES:
            del self._window[:spare]
            self._start += spare

    def _advance(self) -> None:
        state = self._codec_state
        piece = b"" if state.waiting else self._packed.read_at(self._taken, PIECE_BYTES)
        self._taken += len(piece)
        if not piece and not state.waiting:
            raise truncated(f"what is compressed with {self._codec}")
        try:
            out = state.feed(piece)
        except (zlib.error, OSError, lzma.LZMAError, EOFError, MemoryError) as error:
            raise Stop("unread", "damaged", f"cannot be unpacked with {self._codec}: {error}") from error
        self._window += out
        position = self._start + len(self._window)
        if position > self._furthest:
            self._look.unpack(position - self._furthest)
            self._furthest = position
        self._look.check_time()
        if state.eof:
            self._next_stream(state.unused_data)

    def _next_stream(self, unused: bytes) -> None:
        self._taken -= len(unused)
        rest = self._packed.read_at(self._taken, 512)
        if not rest or (self._codec == "gzip" and not rest.strip(b"\0") and self._only_zeros()):
            self._ended = True
            return
        if self._codec == "deflate":
            raise Stop("malformed", "trailing-data", "has other bytes behind its compressed ones")
        self._codec_state = CODECS[self._codec]()

    def _only_zeros(self) -> bool:
        """Tell whether nothing but padding follows, as tapes have it."""
        position = self._taken
        while piece := self._packed.read_at(position, PIECE_BYTES):
            if piece.strip(b"\0"):
                return False
            position += len(piece)
        return True
