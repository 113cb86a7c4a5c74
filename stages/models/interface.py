"""The contract of a model source: which files there are, what names their content, and their bytes."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pipeline.desk import Desk
from pipeline.model import Check
from pipeline.reference import Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFile:
    """A file of the model as its source lists it, before a byte of it is read."""

    path: str
    """Relative to the model folder, with forward slashes; unique in the list."""
    size_bytes: int
    identity: str
    """Names the content for this source: another content, another identity. An object's URL with its version
    and ETag, a Hugging Face LFS object; for a file of this machine, what `stat` says."""
    digest: Digest | None = None
    """The sha256 of the content, where the source knows it without reading."""
    settled: bool = True
    """False: the identity may yet name other bytes (the file was written a moment ago), so nothing may be
    remembered under it."""


class Files(Protocol):
    """Where a model's files are: a small frozen object, one class per kind of source."""

    @property
    def name(self) -> str:
        """The absolute folder, or the URL with its revision; it goes into the record, so no password."""
        ...

    @property
    def local_folder(self) -> Path | None:
        """The folder on this machine that a build must leave out, or None where there is none."""
        ...

    def check(self, desk: Desk) -> tuple[Check, ...]:
        """Return what the source needs and whether it is there; a missing thing is no exception."""
        ...

    def list(self, desk: Desk) -> tuple[SourceFile, ...]:
        """Return all files, in any order; nothing is read but names, sizes and versions.

        Raises:
            PipelineError: the source cannot be reached, or holds what cannot go into a layer.
        """
        ...

    def read(self, file: SourceFile, offset: int = 0) -> Iterator[bytes]:
        """Yield the content from `offset` on, in pieces of at most a megabyte; several threads may do so.

        The content is the one that `file.identity` names. Where the digest is known, the caller compares it,
        so a file that was touched but not changed may be given.

        Raises:
            PipelineError: the file is gone, unreadable, or changed before or while it was read.
        """
        ...
