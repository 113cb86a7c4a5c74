"""A commit as `git fast-import` reads it: one program makes blobs, trees and commit, and looks at no more.

Source: git-fast-import(1).
"""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Author:
    """Who a commit is by, as its author or committer."""

    name: str = "Model Image Pipeline"
    email: str = "pipeline@localhost"

    def __str__(self) -> str:
        return f"{self.name} <{self.email}>"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCommit:
    """What a commit says besides the files that it changes."""

    message: str
    author: Author = Author()
    committer: Author | None = None
    """None: the author."""


@dataclass(frozen=True, slots=True)
class NewFile:
    """A file as the commit has it."""

    mode: str
    content: bytes


def stream(parent: str, files: Mapping[str, NewFile], new: NewCommit) -> Iterator[bytes]:
    """Yield the commands that write the commit and then print its name and its root tree."""
    now = int(time.time())
    message = new.message.encode()
    yield b"commit refs/heads/edit\nmark :1\n"
    yield f"author {new.author} {now} +0000\n".encode()
    yield f"committer {new.committer or new.author} {now} +0000\n".encode()
    yield b"data %d\n%s\nfrom %s\n" % (len(message), message, parent.encode())
    for path, file in files.items():
        yield f"M {file.mode} inline {_quoted(path)}\ndata {len(file.content)}\n".encode()
        yield file.content
        yield b"\n"
    yield b'\nget-mark :1\nls :1 ""\ndone\n'


def printed(text: str) -> tuple[str, str]:
    """Return the commit and its root tree, as the program has printed them."""
    commit, _, root = text.strip().partition("\n")
    return commit, root.split()[2]


def _quoted(path: str) -> str:
    plain = path.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{plain}"'
