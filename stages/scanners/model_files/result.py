"""One file looked into from its beginning to its end, whatever happens."""

import os
import time
from pathlib import Path

from pydantic import Field

from pipeline.model import FindingKind, ModelFileFinding, Value
from stages.scanners.model_files.content import FileContent
from stages.scanners.model_files.look import Found, Look, Place, Stop
from stages.scanners.model_files.scan import UNKNOWN, refine, scan

LASTING = frozenset({"time-limit", "scanner-failed"})
"""Codes of what may turn out otherwise another time."""


class Fact(Value):
    """A finding as it is kept: the file's name is not part of it, since its content may have several."""

    member: str
    format: str
    kind: FindingKind
    code: str
    subject: str
    message: str


class Result(Value):
    """What a content is, and what was found in it."""

    format: str
    facts: tuple[Fact, ...] = Field(default=())

    @property
    def lasts(self) -> bool:
        """Tell whether the same content gives the same result again."""
        return not any(fact.code in LASTING for fact in self.facts)

    def format_of(self, path: str) -> str:
        """Return the format of a file of this name."""
        return refine(self.format, path)

    def findings(self, path: str) -> tuple[ModelFileFinding, ...]:
        """Return the findings of a file of this name."""
        return tuple(ModelFileFinding(path=path, **dict(fact)) for fact in self.facts)


def look_into(path: Path, timeout_s: float) -> Result:
    """Look into a file; it never raises because of what is in there.

    Raises:
        OSError: the file cannot be read.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        size_bytes = os.fstat(descriptor).st_size
        look = Look(size_bytes=size_bytes, deadline=time.monotonic() + timeout_s)
        kind = _scanned(FileContent(descriptor, size_bytes, look), look)
    finally:
        os.close(descriptor)
    return Result(format=kind, facts=tuple(_fact(found) for found in look.found))


def _scanned(content: FileContent, look: Look) -> str:
    place = Place(look=look)
    try:
        return scan(content, place)
    except Stop as stop:
        look.add(Found(member="", format=UNKNOWN, kind=stop.kind, code=stop.code, message=stop.message))
    except OSError:
        raise
    except (Exception, RecursionError) as error:  # whatever a hostile file made us do: it is not read
        message = f"could not be read: {type(error).__name__}: {error}"
        look.add(Found(member="", format=UNKNOWN, kind="unread", code="scanner-failed", message=message))
    kinds = [found.format for found in look.found if found.format != UNKNOWN]
    return kinds[0] if kinds else UNKNOWN


def _fact(found: Found) -> Fact:
    return Fact(
        member=_writable(found.member),
        format=found.format,
        kind=found.kind,
        code=found.code,
        subject=_writable(found.subject),
        message=_writable(found.message),
    )


def _writable(text: str) -> str:
    """Return a text that can stand in a report: what a hostile name has of no letters, by its number."""
    return text.encode("utf-8", "backslashreplace").decode()
