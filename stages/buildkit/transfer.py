"""How many bytes of a context a build will fetch: what .dockerignore leaves, and the Dockerfile names.

Sources: the Dockerfile reference (COPY, ADD, RUN --mount, .dockerignore) and moby/patternmatcher, whose rules
for `.dockerignore` are Go's `filepath.Match` with `**`, tried on every path and on the folders above it.
"""

import json
import os
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from stages.buildkit.dockerfile import instructions

_SET = re.compile(r"\[\^?(?:\\.|[^\\\]])+\]")
_WILDCARDS = frozenset("*?[$")


def transferred_bytes(
    context: Path, dockerfile_text: str, ignore_text: str, left_out: Collection[Path] = ()
) -> int:
    """Return the size of the files that a build can ask for; a little more than it does, never less.

    What vanishes or may not be looked at meanwhile counts as nothing.
    """
    ignored, wanted = Ignored.of(ignore_text), _wanted(dockerfile_text)
    context = context.resolve()
    return sum(
        _size(context / path)
        for path in _files(context, ignored, left_out)
        if wanted is None or any(path == one or path.startswith(f"{one}/") for one in wanted)
    )


@dataclass(frozen=True, slots=True)
class Ignored:
    """The patterns of a .dockerignore; the last one that matches decides."""

    patterns: tuple[tuple[str, re.Pattern[str], bool], ...]
    """As written, as an expression of what fits and all below that, and whether it takes back what an earlier
    one leaves out."""

    @classmethod
    def of(cls, text: str) -> Self:
        """Read a .dockerignore."""
        lines = (line.strip() for line in text.removeprefix("\ufeff").splitlines() if line[:1] != "#")
        found = ((line.removeprefix("!").strip(), line.startswith("!")) for line in lines)
        clean = ((os.path.normpath(line).lstrip("/"), back) for line, back in found if line)
        return cls(tuple((line, _expression(line), back) for line, back in clean if line != "."))

    def leaves_out(self, path: str) -> bool:
        """Tell whether a path is no part of the context."""
        found = False
        for _, expression, back in self.patterns:
            if back is found and expression.fullmatch(path):
                found = not back
        return found

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
        if found := re.match(r"\*\*(/?)", rest):
            parts += "(?:.*/)?" if found[1] else ".*"
        elif found := _SET.match(rest):
            parts += found[0]
        elif found := re.match(r"\\(.)", rest):
            parts += re.escape(found[1])
        else:
            found = re.match(r".", rest, re.DOTALL)
            parts += {"*": "[^/]*", "?": "[^/]"}.get(rest[0], re.escape(rest[0]))
        place += len(found[0]) if found else 1
    try:
        return re.compile(f"{parts}(?:/.*)?", re.DOTALL)
    except re.error:  # BuildKit will refuse it
        return re.compile(r"(?!)")


def _files(context: Path, ignored: Ignored, left_out: Collection[Path]) -> Iterator[str]:
    for name, folders, files in os.walk(context):
        above = Path(name).relative_to(context)
        folders[:] = [
            folder
            for folder in folders
            if Path(name, folder) not in left_out
            and not ignored.leaves_out_all_of((above / folder).as_posix())
        ]
        paths = ((above / file).as_posix() for file in files)
        yield from (path for path in paths if not ignored.leaves_out(path))


def _wanted(text: str) -> frozenset[str] | None:
    """Return the paths of the context that a Dockerfile names; None where that may be any."""
    found: set[str] = set()
    for keyword, rest in instructions(text):
        does, words = (*rest.split(maxsplit=1), "")[:2] if keyword == "ONBUILD" else (keyword, rest)
        sources = _sources(does.upper(), words)
        clean = {os.path.normpath(source.strip("\"'")).lstrip("/") for source in sources}
        if "" in clean or "." in clean or any(_WILDCARDS & set(source) for source in clean):
            return None
        found |= clean
    return frozenset(found)


def _sources(keyword: str, rest: str) -> tuple[str, ...]:
    if keyword == "RUN":
        mounts = (dict(part.partition("=")[::2] for part in one.split(",")) for one in _mounts(rest))
        return tuple(
            mount.get("source") or mount.get("src") or "."
            for mount in mounts
            if mount.get("type", "bind") == "bind" and "from" not in mount
        )
    if keyword not in {"COPY", "ADD"} or re.search(r"(?:^|\s)--from=", rest):
        return ()
    words = re.sub(r"^(?:--\S+\s+)+", "", rest)
    try:
        given = json.loads(words) if words.startswith("[") else words.split()
    except ValueError:
        return (".",)
    return tuple(str(word) for word in given[:-1] if "://" not in word and not word.startswith("<<"))


def _mounts(rest: str) -> Iterator[str]:
    yield from re.findall(r"(?:^|\s)--mount=(\S+)", rest)


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        return 0
