"""What goes into a build: the user's context without the weights and without the pipeline's own folder."""

import contextlib
import hashlib
import os
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from stages.buildkit.dockerignore import Ignored

OWN_FOLDER = ".pipeline"  # records and caches of earlier runs
PASSED_OVER = (FileNotFoundError, NotADirectoryError, PermissionError)


def fingerprint(context: Path, left_out: Sequence[Path], ignore_text: str = "") -> str:
    """Tell a context by the names, sizes, times and modes of its files, without reading them.

    Files below the folders that are left out, or that .dockerignore leaves out, do not count: no build sees
    them. Nor does `.git`, which changes with every command of git: the commit stands for it. Files that git
    ignores do count, since a Dockerfile may copy them. What vanishes meanwhile does not; a folder that nobody
    may read counts as empty.
    """
    skip = {str(context.resolve() / ".git"), *map(str, left_out)}
    digest = hashlib.sha256()
    for path, status in sorted(_walk(str(context.resolve()), "", skip, Ignored.of(ignore_text))):
        digest.update(f"{path}\0{status}\0".encode(errors="surrogateescape"))
    return digest.hexdigest()


def write_dockerfile(dockerfile: Path, context: Path, left_out: Sequence[Path], folder: Path) -> Path:
    """Copy a Dockerfile into a folder, beside the list of what its build must not see; return the copy.

    BuildKit prefers `<Dockerfile>.dockerignore` to the context's `.dockerignore`, so the user's own list
    stays in force and the weights never travel through the build, even where it says `COPY . .`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    context = context.resolve()
    copy = folder / dockerfile.name
    copy.write_bytes(dockerfile.read_bytes())
    patterns = ignored(dockerfile, context)
    added = [_pattern(path.relative_to(context)) for path in left_out if path.is_relative_to(context)]
    ignore = copy.with_name(f"{copy.name}.dockerignore")
    text = "\n".join([patterns.rstrip("\n"), *added, ""]).lstrip("\n")
    ignore.write_text(text, encoding="utf-8", errors="surrogateescape")
    return copy


def ignored(dockerfile: Path, context: Path) -> str:
    """Return the list of what the user's build leaves out: the Dockerfile's own before the context's."""
    own = (dockerfile.with_name(f"{dockerfile.name}.dockerignore"), context / ".dockerignore")
    return next((_text(path) for path in own if path.is_file()), "")


def _text(path: Path) -> str:
    """Return a text whose bytes stay as they are when it is written again, whatever its encoding."""
    return path.read_text(encoding="utf-8", errors="surrogateescape")


def _pattern(path: Path) -> str:
    """Return a pattern that matches this path alone."""
    return "".join(f"\\{letter}" if letter in "*?[]\\" else letter for letter in f"/{path.as_posix()}")


def _walk(
    folder: str, above: str, skip: Collection[str], ignored: Ignored
) -> Iterator[tuple[str, tuple[int, int, int]]]:
    """Yield the files below a folder, which has the path `above` in the context."""
    for entry in _entries(folder):
        path = f"{above}{entry.name}"
        if entry.path in skip:
            continue
        if entry.is_dir(follow_symlinks=False):
            if not ignored.leaves_out_all_of(path):
                yield from _walk(entry.path, f"{path}/", skip, ignored)
        elif not ignored.leaves_out(path):
            with contextlib.suppress(*PASSED_OVER):
                status = entry.stat(follow_symlinks=False)
                yield path, (status.st_size, status.st_mtime_ns, status.st_mode)


def _entries(folder: str) -> tuple[os.DirEntry[str], ...]:
    try:
        with os.scandir(folder) as entries:
            return tuple(entries)
    except PASSED_OVER:
        return ()
