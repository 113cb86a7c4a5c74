"""What every rule has in common: options that are read from YAML, a level, and where it stands."""

from collections.abc import Iterable
from typing import Self

from pydantic import BaseModel, ByteSize, ConfigDict, PrivateAttr

from pipeline.model import Level, Reason, Verdict


class Options(BaseModel):
    """Options as they are written in YAML: frozen, and without unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Rule(Options):
    """A policy with options; a subclass says what it judges, and how."""

    rule: str
    """Which rule this is."""
    level: Level = Level.ENFORCE
    """What follows when it is not met: `enforce` stops the run, `warn` only says so."""
    _origin: str = PrivateAttr(default="")

    @property
    def name(self) -> str:
        """The name in the pack and in the verdict."""
        return self.rule

    @property
    def origin(self) -> str:
        """Pack or file and line where the rule stands."""
        return self._origin

    def standing_at(self, origin: str) -> Self:
        """Return the same rule with the place where it was written."""
        copy = self.model_copy()
        copy._origin = origin
        return copy

    def verdict(self, reasons: Iterable[Reason], summary: str, notes: Iterable[str] = ()) -> Verdict:
        """Return the verdict of this rule."""
        return Verdict(
            policy=self.name,
            level=self.level,
            reasons=tuple(reasons),
            summary=summary,
            notes=tuple(notes),
            origin=self.origin,
        )


def size(size_bytes: int) -> str:
    """Return a size as people read it: `1.5GiB`."""
    return ByteSize(size_bytes).human_readable()


def plural(count: int, word: str) -> str:
    """Return a count with its word: `1 test`, `2 tests`."""
    if count == 1:
        return f"1 {word}"
    return f"{count} {word[:-1]}ies" if word.endswith("ty") else f"{count} {word}s"
