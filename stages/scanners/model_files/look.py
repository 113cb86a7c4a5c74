"""What one look into a file keeps: its findings, and the limits that it must not go beyond."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from pipeline.model import FindingKind

MOST_READ_BYTES = 16 * 1024 * 1024
"""The most that is ever in memory of one content at once."""
MOST_FINDINGS = 100
LONGEST_TEXT = 2_000
"""Of a message, or of a name in it."""
MOST_DEPTH = 6
"""Archives in archives, pickles in pickles."""
BOMB_BYTES = 256 * 1024 * 1024
BOMB_RATIO = 200
"""What unpacks to more than so many times its size, and to more than `BOMB_BYTES`, is taken for a bomb."""
MOST_UNPACKED_BYTES = 64 * 1024**3
MOST_MEMBERS = 100_000
LONGEST_NAME_BYTES = 4096
"""Of a member of an archive, as file systems have it."""


class Stop(Exception):
    """Ends the look into one content; what was found before counts."""

    def __init__(self, kind: FindingKind, code: str, message: str) -> None:
        super().__init__(message)
        self.kind: FindingKind = kind
        self.code = code
        self.message = message


def truncated(what: str) -> Stop:
    """Return the end of a look into what stops too early."""
    return Stop("unread", "truncated", f"{what} goes beyond the end of the file")


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A finding without the file that it is in."""

    member: str
    format: str
    kind: FindingKind
    code: str
    message: str
    subject: str = ""


@dataclass(slots=True, kw_only=True)
class Look:
    """One file: what was found so far, and what may still be spent on it."""

    size_bytes: int
    deadline: float
    """By `time.monotonic`."""
    found: dict[Found, None] = field(default_factory=dict)
    unpacked_bytes: int = 0
    members: int = 0

    def add(self, found: Found) -> None:
        """Keep a finding, each once; of very many the first, and that there are more.

        The first ones need not refuse the file: somebody may have accepted them.
        """
        if found in self.found:
            return
        if len(self.found) == MOST_FINDINGS - 1:
            message = f"has more findings than the {MOST_FINDINGS - 1} that are told"
            found = Found(
                member="", format=found.format, kind="unread", code="too-many-findings", message=message
            )
        if len(self.found) < MOST_FINDINGS:
            self.found[found] = None

    def unpack(self, count: int) -> None:
        """Count bytes that came out of a compressor.

        Raises:
            Stop: they are far more than the file could honestly hold.
        """
        self.unpacked_bytes += count
        too_many = self.unpacked_bytes > max(BOMB_BYTES, BOMB_RATIO * self.size_bytes)
        if too_many or self.unpacked_bytes > MOST_UNPACKED_BYTES:
            raise Stop(
                "unread",
                "archive-bomb",
                f"unpacks to more than {self.unpacked_bytes} bytes from {self.size_bytes}; at most"
                f" {BOMB_RATIO} times the size is read beyond {BOMB_BYTES} bytes",
            )

    def count_member(self) -> None:
        """Count a member of an archive.

        Raises:
            Stop: there are too many.
        """
        self.members += 1
        if self.members > MOST_MEMBERS:
            raise Stop("unread", "too-many-members", f"has more than {MOST_MEMBERS} members")

    def check_time(self) -> None:
        """See to the time limit.

        Raises:
            Stop: it is over.
        """
        if time.monotonic() > self.deadline:
            raise Stop("unread", "time-limit", "could not be read whole within `scan.timeout_s`")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where in a file we are, and what the format there is."""

    look: Look
    member: str = ""
    """Members of archives in archives, joined by `!`."""
    format: str = "unknown"
    depth: int = 0

    def inside(self, name: str) -> "Place":
        """Return the place of a member.

        Raises:
            Stop: it is too deep inside.
        """
        if self.depth >= MOST_DEPTH:
            raise Stop("unread", "nested-too-deep", f"is nested more than {MOST_DEPTH} levels deep")
        member = f"{self.member}!{name}" if self.member else name
        return Place(look=self.look, member=member, format=self.format, depth=self.depth + 1)

    def as_format(self, name: str) -> "Place":
        """Return the same place, now that the format is known."""
        return Place(look=self.look, member=self.member, format=name, depth=self.depth)

    def unsafe(self, code: str, message: str, subject: str = "") -> None:
        """Report what can run code or reach other files."""
        self._add("unsafe", code, message, subject)

    def malformed(self, code: str, message: str) -> None:
        """Report a broken rule of the format."""
        self._add("malformed", code, message)

    def guard(self, work: Callable[[], object]) -> None:
        """Do a part of the work; where it stops, that is a finding, and the rest goes on."""
        try:
            work()
        except Stop as stop:
            self.stopped(stop)

    def stopped(self, stop: Stop) -> None:
        """Report why a look ended early; the limits of the whole file end all of it.

        Raises:
            Stop: a limit of the whole file.
        """
        if stop.code in {"time-limit", "archive-bomb", "too-many-members"}:
            raise stop
        self._add(stop.kind, stop.code, stop.message)

    def _add(self, kind: FindingKind, code: str, message: str, subject: str = "") -> None:
        self.look.add(
            Found(
                member=_short(self.member),
                format=self.format,
                kind=kind,
                code=code,
                message=_short(message),
                subject=_short(subject),
            )
        )


def _short(text: str) -> str:
    """Return a text of a size that a report can have; a hostile name may have millions of letters."""
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}…"
