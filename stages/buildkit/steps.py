"""What BuildKit's plain progress tells of a build: the steps it remembered, what became of the cache."""

import re
from dataclasses import dataclass, field

_STEP = re.compile(r"#(\d+) \[(?:[^\]]* )?\d+/\d+\] (?!FROM\b)")
_REMEMBERED = re.compile(r"#(\d+) (?:CACHED$|(?:pulling |extracting )?sha256:[0-9a-f]{64}\b)")
"""Marked so; or its layer is fetched, for a step that runs prints a time before each of its lines."""
_TRANSFER = re.compile(r"#(\d+) (importing|exporting) cache\b")
_ERROR = re.compile(r"#(\d+) ERROR: (.+)")
_WORDS = {"importing": "not read", "exporting": "not written"}


@dataclass(slots=True)
class Steps:
    """Counts while a build goes on."""

    all: set[str] = field(default_factory=set)
    """Numbers of the instructions of the Dockerfile, FROM aside."""
    cached: set[str] = field(default_factory=set)
    problems: dict[str, str] = field(default_factory=dict)
    """By `importing` and `exporting`, what went wrong, which BuildKit takes lightly."""
    _transfers: dict[str, str] = field(default_factory=dict)

    def read(self, line: str) -> None:
        """Take in one line."""
        if found := _STEP.match(line):
            self.all.add(found[1])
        elif (found := _REMEMBERED.match(line)) and found[1] in self.all:
            self.cached.add(found[1])
        elif found := _TRANSFER.match(line):
            self._transfers[found[1]] = found[2]
        elif (found := _ERROR.match(line)) and found[1] in self._transfers:
            self.problems[self._transfers[found[1]]] = found[2].strip()

    @property
    def notes(self) -> tuple[str, ...]:
        """What went wrong with the cache, in words."""
        return tuple(f"{_WORDS[what]}: {why}" for what, why in self.problems.items())
