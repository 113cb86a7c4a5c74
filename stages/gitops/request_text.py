"""What a pull or merge request says: what is rolled out, why it passed, and what changes, at one look.

Names of branches and files, and whatever tests print, may come from strangers: nothing of it is markup, names
nobody by `@`, or closes an issue.
"""

import html
import re
from collections.abc import Sequence

from pipeline.model import FileChange, PushedImage, Source

MOST_CHARACTERS = 60_000  # GitHub takes 65,536
_MOST_TITLE = 120
_ACTIVE = re.compile(r"([\\`*_\[\]<>|#@!~&])")


def title(image: PushedImage, source: Source) -> str:
    """Return one line for the list of requests."""
    name = image.name.rpartition("/")[2]
    return f"{name}: deploy {source.commit[:12]} (sha256:{image.digest.short})"[:_MOST_TITLE]


def body(
    image: PushedImage, source: Source, evidence: Sequence[tuple[str, str]], files: Sequence[FileChange]
) -> str:
    """Return the text of a request in Markdown; `evidence` are the stages' names with one line each."""
    rows = [
        ("image", ", ".join(_code(f"{one.repository}:{one.tag}") for one in image.references)),
        ("digest", _code(image.digest)),
        ("built from", _commit(source)),
        *((name, plain(line)) for name, line in evidence),
    ]
    table = ["| | |", "|---|---|", *(f"| **{name}** | {text} |" for name, text in rows)]
    text = "\n".join([f"Roll out {_code(image.name)}.", "", *table, "", "### Change", ""])
    return f"{text}\n{_diffs(files, MOST_CHARACTERS - len(text))}\n"


def plain(text: str) -> str:
    """Return a text of one line in which nothing is markup, a mention or a reference."""
    return _ACTIVE.sub(r"\\\1", " ".join(text.split())).replace("\\@", "@\u200b").replace("\\#", "#\u200b")


def _commit(source: Source) -> str:
    version = source.version.replace(source.commit, source.commit[:12])
    branch = f" on {_code(source.branch)}" if source.branch else ""
    url = source.repository_url or ""
    where = f" of {_code(url)}" if url else ""
    return f"{_code(version)}{branch}{where}"


def _code(text: str) -> str:
    """Return a text as it is, in a code span that nothing in it can end."""
    return f"<code>{html.escape(' '.join(text.split())).replace('|', '&#124;').replace('@', '&#64;')}</code>"


def _diffs(files: Sequence[FileChange], room: int) -> str:
    """Return the diffs, each in a fence longer than any inside it; what has no room is named alone."""
    parts: list[str] = []
    for file in files:
        fence = "`" * (max((len(run) for run in re.findall(r"`+", file.diff)), default=0) + 3)
        part = f"{fence}diff\n{file.diff.rstrip()}\n{fence}\n"
        if len(part) > room:
            part = f"{_code(file.path)}: the diff is too long to be shown here.\n"
        parts.append(part)
        room -= len(part)
    return "\n".join(parts)
