"""How many bytes of a context a build will fetch: what .dockerignore leaves, and the Dockerfile names.

Source: the Dockerfile reference (COPY, ADD, RUN --mount).
"""

import json
import os
import re
from collections.abc import Collection, Iterator
from pathlib import Path

from stages.buildkit.dockerfile import instructions
from stages.buildkit.dockerignore import Ignored

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
