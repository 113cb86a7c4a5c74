"""The files of a commit as the edits see them; what is not here yet is fetched when it is looked at."""

import re
from dataclasses import dataclass, field
from typing import Protocol

from stages.manifests.tree import Kind

_KINDS = {"100644": Kind.FILE, "100755": Kind.FILE, "120000": Kind.LINK, "160000": Kind.SUBMODULE}
_NAMED = {b"a": b"\a", b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}
_ESCAPE = re.compile(rb"\\([0-7]{3}|.)")
UNREADABLE = "\N{REPLACEMENT CHARACTER}"
"""Stands in a name for what is not UTF-8."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a tree object."""

    mode: str
    object_id: str

    @property
    def kind(self) -> Kind:
        """What the mode says it is."""
        return _KINDS.get(self.mode, Kind.FOLDER)


class Objects(Protocol):
    """Where a commit's trees and blobs come from."""

    def entry(self, commit: str, path: str) -> Entry | None:
        """Return what stands at a path of a commit; None where nothing does."""
        ...

    def folder_entries(self, commit: str, folder: str) -> dict[str, Entry]:
        """Return what stands in a folder of a commit, by full path."""
        ...

    def fetch_blobs(self, objects: list[str]) -> None:
        """Fetch several blobs in one go."""
        ...

    def read(self, object_id: str) -> bytes:
        """Return a blob's bytes as they are."""
        ...


@dataclass(frozen=True, slots=True)
class CommitTree:
    """The files of a commit."""

    repository: Objects
    commit: str
    _known: dict[str, Entry | None] = field(default_factory=dict)

    def kind(self, path: str) -> Kind | None:
        """Return what stands at the path."""
        if not path:
            return Kind.FOLDER
        entry = self.entry(path)
        return entry.kind if entry is not None else None

    def names(self, folder: str) -> tuple[str, ...]:
        """Return the names in a folder, sorted."""
        found = self.repository.folder_entries(self.commit, folder)
        self._known.update(found)
        return tuple(sorted(path.rpartition("/")[2] for path in found))

    def read(self, path: str) -> bytes:
        """Return the content of a file, or where a symbolic link points to."""
        entry = self.entry(path)
        if entry is None:
            raise FileNotFoundError(path)
        return self.repository.read(entry.object_id)

    def prefetch(self, paths: tuple[str, ...]) -> None:
        """Fetch several files in one go."""
        entries = (self.entry(path) for path in paths)
        self.repository.fetch_blobs([entry.object_id for entry in entries if entry is not None])

    def entry(self, path: str) -> Entry | None:
        """Return what stands at the path, with its mode and its name as an object."""
        if path not in self._known:
            self._known[path] = self.repository.entry(self.commit, path)
        return self._known[path]


def parsed_entry(line: str) -> tuple[str, Entry]:
    """Return the path and the entry of a line of `git ls-tree`."""
    fields, _, path = line.partition("\t")
    mode, _, object_id = fields.split(" ")
    if path.startswith('"'):  # as git writes a name with more than printable ASCII in it
        name = _ESCAPE.sub(lambda found: _unescaped(found[1]), path[1:-1].encode())
        path = name.decode(errors="replace")
    return path, Entry(mode, object_id)


def _unescaped(code: bytes) -> bytes:
    return bytes([int(code, 8)]) if code.isdigit() else _NAMED.get(code, code)
