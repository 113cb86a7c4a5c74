"""A tree of files as the edits see it: a folder on disk, a commit, or either with changes on top."""

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from stages.manifests.refusal import refusal

_MOST_LINKS = 40  # as many as Linux follows


class Kind(StrEnum):
    """What stands at a path."""

    FILE = "file"
    FOLDER = "folder"
    LINK = "symbolic link"
    SUBMODULE = "submodule"


class Tree(Protocol):
    """Files below one root; paths are relative, with forward slashes, and the root is the empty path."""

    def kind(self, path: str) -> Kind | None:
        """Return what stands at the path, without following a link there; None where nothing does."""
        ...

    def names(self, folder: str) -> tuple[str, ...]:
        """Return the names in a folder, sorted."""
        ...

    def read(self, path: str) -> bytes:
        """Return the content of a file, or where a symbolic link points to."""
        ...

    def prefetch(self, paths: tuple[str, ...]) -> None:
        """Get ready to read these files."""
        ...


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder on disk."""

    root: Path

    def kind(self, path: str) -> Kind | None:
        """Return what stands at the path."""
        found = self.root / path
        if found.is_symlink():
            return Kind.LINK
        if found.is_dir():
            return Kind.SUBMODULE if path and (found / ".git").exists() else Kind.FOLDER
        return Kind.FILE if found.is_file() else None

    def names(self, folder: str) -> tuple[str, ...]:
        """Return the names in a folder, sorted."""
        return tuple(sorted(found.name for found in (self.root / folder).iterdir()))

    def read(self, path: str) -> bytes:
        """Return the content of a file, or where a symbolic link points to."""
        found = self.root / path
        try:
            return str(found.readlink()).encode() if found.is_symlink() else found.read_bytes()
        except OSError as error:
            raise refusal(
                path, None, f"cannot be read: {error.strerror}", advice="Check the file's permissions."
            ) from error

    def prefetch(self, paths: tuple[str, ...]) -> None:
        """Do nothing: the files are here."""


@dataclass(frozen=True, slots=True)
class Changed:
    """A tree with the content of some files replaced."""

    below: Tree
    contents: Mapping[str, bytes] = field(default_factory=dict)

    def kind(self, path: str) -> Kind | None:
        """Return what stands at the path."""
        return self.below.kind(path)

    def names(self, folder: str) -> tuple[str, ...]:
        """Return the names in a folder, sorted."""
        return self.below.names(folder)

    def read(self, path: str) -> bytes:
        """Return the content of a file, or where a symbolic link points to."""
        content = self.contents.get(path)
        return content if content is not None else self.below.read(path)

    def prefetch(self, paths: tuple[str, ...]) -> None:
        """Get ready to read these files."""
        self.below.prefetch(paths)


def resolve(tree: Tree, path: str) -> str:
    """Return where a path leads to inside the tree, symbolic links followed.

    Raises:
        ConfigurationError: there is nothing, or it leads out of the tree or into a submodule.
    """
    todo = _inside(path, path).split("/")
    done = ""
    links = 0
    while todo:
        name = todo.pop(0)
        if name in {"", "."}:
            continue
        done = posixpath.join(done, name)
        kind = tree.kind(done)
        if kind is Kind.LINK:
            links += 1
            if links > _MOST_LINKS:
                raise refusal(
                    path,
                    None,
                    f"goes in a circle of symbolic links at {done}",
                    advice="Name the file itself.",
                )
            pointed = posixpath.join(posixpath.dirname(done), tree.read(done).decode("utf-8", "replace"))
            todo, done = [*_inside(pointed, done).split("/"), *todo], ""
        elif kind is None:
            pointed = "" if f"{_inside(path, path)}/".startswith(f"{done}/") else f"leads to {done}, which "
            raise refusal(path, None, f"{pointed}does not exist", advice=_nearest(tree, done))
        elif kind is Kind.SUBMODULE:
            raise refusal(
                path,
                None,
                f"is in the submodule {done}",
                advice="Name the submodule's own repository as the one to update.",
            )
    return done


def _inside(path: str, named: str) -> str:
    clean = posixpath.normpath(path)
    if clean.startswith(("/", "../")) or clean == "..":
        raise refusal(
            named,
            None,
            f"leads out of the tree, to {path}" if path != named else "leads out of the tree",
            advice="Name a file or folder inside it, by its path from the root.",
        )
    return clean


def _nearest(tree: Tree, missing: str) -> str:
    folder = posixpath.dirname(missing)
    if folder and tree.kind(folder) is not Kind.FOLDER:
        return "Name a file or folder that exists, by its path from the root."
    names = tree.names(folder)
    shown = ", ".join(names[:12]) + (" …" if len(names) > 12 else "")
    return f"In {folder or 'the root'} there is: {shown or 'nothing'}."
