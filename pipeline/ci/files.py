"""Files through which a CI host takes what is longer than a command."""

from pathlib import Path

from pipeline.errors import DiskFull

MOST_SUMMARY_BYTES = 1024 * 1024 - 1024  # GitHub takes 1 MiB of a step; a little is left for the note
_CUT = "_The summary is too long to be shown whole; the record has everything._\n\n"
"""It comes first: at the end it might stand in a folded part, or in a block of code, that was cut."""


def append(path: Path, text: str) -> None:
    """Add text to a file that other steps of the job may have begun.

    Raises:
        DiskFull: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8", newline="\n") as stream:
            stream.write(text if text.endswith("\n") else f"{text}\n")
    except OSError as error:
        raise DiskFull(f"cannot write {path}: {error.strerror}", advice="The CI host named it.") from error


def shortened(text: str, most_bytes: int) -> str:
    """Return as many whole lines as fit, below a note where there are more; nothing where it has no room."""
    if len(text.encode()) <= most_bytes:
        return text
    if most_bytes < len(_CUT):
        return ""
    kept = text.encode()[: most_bytes - len(_CUT.encode())].decode(errors="ignore")
    return _CUT + kept.rpartition("\n")[0]


def write(path: Path, text: str) -> None:
    """Write a file anew.

    Raises:
        DiskFull: it cannot be written.
    """
    path.unlink(missing_ok=True)
    append(path, text)
