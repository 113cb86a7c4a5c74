"""What a .dockerignore leaves out of a build's context.

Sources: the Dockerfile reference (.dockerignore) and moby/patternmatcher, whose rules are Go's
`filepath.Match` with `**`, tried on every path and on the folders above it.
"""

import os
import re
from dataclasses import dataclass, field
from typing import Self

_SET = re.compile(r"\[\^?(?:\\.|[^\\\]])+\]")
_ENDING = re.compile(r"\*\*[^/*?\[\]\\][^*?\[\]\\]*")
"""`**.log` is any name that ends so; elsewhere `**` stands for whole folders, whatever follows it."""
_WILDCARDS = frozenset("*?[\\")


@dataclass(frozen=True, slots=True)
class Ignored:
    """The patterns of a .dockerignore; the last one that matches decides."""

    patterns: tuple[tuple[str, re.Pattern[str], bool], ...]
    """As written, as a regular expression, and whether it takes back what an earlier one leaves out."""
    _folders: dict[str, tuple[bool, ...]] = field(default_factory=dict, compare=False, repr=False)
    """Which patterns matched a folder, or one above it."""

    @classmethod
    def of(cls, text: str) -> Self:
        """Read a .dockerignore."""
        lines = (line.strip() for line in text.removeprefix("\ufeff").split("\n") if line[:1] != "#")
        found = ((line.removeprefix("!").strip(), line.startswith("!")) for line in lines)
        clean = ((os.path.normpath(line).lstrip("/"), back) for line, back in found if line)
        return cls(tuple((line, _expression(line), back) for line, back in clean if line != "."))

    def leaves_out(self, path: str) -> bool:
        """Tell whether a path is no part of the context."""
        return self._decide(path)[0]

    def _decide(self, path: str) -> tuple[bool, tuple[bool, ...]]:
        """Tell whether a path is left out, and which patterns matched it or a folder above it.

        As in BuildKit, a pattern that could change nothing for a folder is not asked there, and has then not
        matched the folder for what is below it either.
        """
        folder = path.rpartition("/")[0]
        if folder and folder not in self._folders:
            self._folders[folder] = self._decide(folder)[1]
        above = self._folders[folder] if folder else (False,) * len(self.patterns)
        found, matches = False, []
        for (_, expression, back), known in zip(self.patterns, above, strict=True):
            match = known or (back is found and expression.fullmatch(path) is not None)
            matches.append(match)
            if match:
                found = not back
        return found, tuple(matches)

    def leaves_out_all_of(self, folder: str) -> bool:
        """Tell whether nothing below a folder can be part of the context."""
        return self.leaves_out(folder) and not any(
            back and (_WILDCARDS & set(line) or line.startswith(f"{folder}/"))
            for line, _, back in self.patterns
        )


def _expression(pattern: str) -> re.Pattern[str]:
    parts, place = "", 0
    while place < len(pattern):
        rest = pattern[place:]
        if found := re.match(r"\*\*/?", rest):
            parts += ".*" if rest in {"**", "**/"} or (not place and _ENDING.fullmatch(rest)) else "(?:.*/)?"
        elif found := _SET.match(rest):
            parts += found[0]
        elif found := re.match(r"\\(.)", rest):
            parts += re.escape(found[1])
        else:
            found = re.match(r".", rest, re.DOTALL)
            parts += {"*": "[^/]*", "?": "[^/]"}.get(rest[0], re.escape(rest[0]))
        place += len(found[0]) if found else 1
    try:
        return re.compile(parts, re.DOTALL)
    except re.error:  # BuildKit will refuse it
        return re.compile(r"(?!)")
