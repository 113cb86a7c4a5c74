"""What a pull or merge request says: what is rolled out, why it passed, and what changes, at one look.

Names of branches and files, and whatever tests print, may come from strangers: nothing of it is markup, names
nobody by `@`, or closes an issue.
"""

from collections.abc import Sequence

from pipeline.markup import code, fenced, plain
from pipeline.model import FileChange, Proof

MOST_CHARACTERS = 60_000  # GitHub takes 65,536
_MOST_TITLE = 200


def title(message: str) -> str:
    """Return one line for the list of requests: the first one of the commit message."""
    return message.partition("\n")[0][:_MOST_TITLE]


def body(
    message: str,
    references: Sequence[str],
    evidence: Sequence[tuple[str, str]],
    files: Sequence[FileChange],
) -> str:
    """Return the text of a request in Markdown.

    It begins with the commit message's own text; `evidence` are the stages' names with one line each.
    """
    images = ", ".join(map(code, dict.fromkeys(references)))
    rows = [("image", images), *((name, plain(line)) for name, line in evidence)]
    table = ["| | |", "|---|---|", *(f"| **{name}** | {text} |" for name, text in rows)]
    text = "\n".join([plain(_paragraph(message)), "", *table, "", "### Change", ""])
    return f"{text}\n{_diffs(files, MOST_CHARACTERS - len(text))}\n"


def proved(proof: Proof) -> str:
    """Return in one line how an edited file was proved."""
    by = {"kustomize": "by kustomize", "helm": "by Helm", "parsed": ""}[proof.how]
    how = f"rendered {by} in {proof.folder or '.'}" if by else "parsed"
    told = f"{proof.file}: {how}, {proof.changed} of {proof.documents} documents change, by the image alone"
    return f"{told}; {proof.note}" if proof.note else told


def _paragraph(message: str) -> str:
    """Return what stands below the subject of a commit message; trailers are for programs."""
    parts = message.split("\n\n")
    return parts[1] if len(parts) > 2 else ""


def _diffs(files: Sequence[FileChange], room: int) -> str:
    """Return the diffs, each in a fence longer than any inside it; what has no room is named alone."""
    parts: list[str] = []
    for file in files:
        part = fenced(file.diff, "diff")
        if len(part) > room:
            part = f"{code(file.path)}: the diff is too long to be shown here.\n"
        parts.append(part)
        room -= len(part)
    return "\n".join(parts)
