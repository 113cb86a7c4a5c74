"""A content read forward from some place on, byte by byte or in stretches."""

from stages.scanners.model_files.content import PIECE_BYTES, Content
from stages.scanners.model_files.look import MOST_READ_BYTES, Stop, truncated


class Forward:
    """Reads a content from a place on, forward, through a window."""

    def __init__(self, content: Content, position: int = 0) -> None:
        self.content = content
        self._base = position
        self._window = b""
        self._at = 0

    @property
    def position(self) -> int:
        """Offset of the next byte in the content."""
        return self._base + self._at

    @property
    def left(self) -> int:
        """How many bytes follow."""
        return self.content.size - self.position

    def take(self, count: int, what: str = "a value") -> bytes:
        """Return exactly the next bytes.

        Raises:
            Stop: they are not there, or too many to hold.
        """
        begin, end = self._at, self._at + count
        if end <= len(self._window):
            self._at = end
            return self._window[begin:end]
        if count > MOST_READ_BYTES:
            raise Stop("unread", "too-large", f"{what} has {count} bytes; at most {MOST_READ_BYTES} are read")
        position = self.position
        self._window = self.content.read_at(position, max(count, PIECE_BYTES))
        self._base = position
        self._at = 0
        if len(self._window) < count:
            raise truncated(what)
        self._at = count
        return self._window[:count]

    def number(self, count: int, what: str = "a number") -> int:
        """Return a little-endian number without sign."""
        return int.from_bytes(self.take(count, what), "little")

    def line(self, longest: int) -> bytes:
        """Return the bytes up to the next line feed, without it.

        Raises:
            Stop: there is none near enough.
        """
        end = self._window.find(b"\n", self._at)
        if end >= 0:
            piece = self._window[self._at : end]
            self._at = end + 1
            return piece
        piece = self.content.read_at(self.position, longest)
        end = piece.find(b"\n")
        if end < 0:
            raise (
                truncated("a line")
                if len(piece) < longest
                else Stop("unread", "too-large", f"has a line of more than {longest} bytes")
            )
        self.skip(end + 1)
        return piece[:end]

    def skip(self, count: int, what: str = "a value") -> None:
        """Go past bytes without reading them.

        Raises:
            Stop: they are not there.
        """
        if count > self.left:
            raise truncated(what)
        if self._at + count <= len(self._window):
            self._at += count
        else:
            self._base, self._window, self._at = self.position + count, b"", 0
