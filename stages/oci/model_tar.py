"""The tar of a model layer: the same files give the same bytes on every machine.

Names come in the order given; mode, owner and time are fixed; nothing is compressed, so the digest of the
layer is its diff id. Every layer names the folders that lead to its files, and all layers name them alike.
"""

import tarfile
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import Protocol, TypeVar

LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar"
FILE_MODE, FOLDER_MODE = 0o644, 0o755


class Sized(Protocol):
    """A file whose content has its place in the tar."""

    @property
    def path(self) -> str: ...  # noqa: D102

    @property
    def size_bytes(self) -> int: ...  # noqa: D102


F = TypeVar("F", bound=Sized)


def pieces(place: PurePosixPath, files: Sequence[F]) -> Iterator[bytes | F]:
    """Yield the tar with the files below `place`: headers and padding as bytes, contents as their files."""
    written = 0
    for piece in _members(place, files):
        written += length(piece)
        yield piece
    end = 2 * tarfile.BLOCKSIZE
    yield bytes(end + -(written + end) % tarfile.RECORDSIZE)


def length(piece: bytes | Sized) -> int:
    """Return how many bytes of the tar a piece is."""
    return len(piece) if isinstance(piece, bytes) else piece.size_bytes


def parents(path: PurePosixPath) -> tuple[str, ...]:
    """Return the folders that lead to an absolute path and the path itself, as a tar names them."""
    return tuple(str(parent).lstrip("/") for parent in (*reversed(path.parents[:-1]), path))


def file_header(name: str, size_bytes: int) -> bytes:
    """Return what stands before a file's content; a PAX record is in it where name or size need one."""
    header = tarfile.TarInfo(name)
    header.size, header.mode = size_bytes, FILE_MODE
    return header.tobuf(tarfile.PAX_FORMAT)


def _folder_header(name: str) -> bytes:
    header = tarfile.TarInfo(name)
    header.type, header.mode = tarfile.DIRTYPE, FOLDER_MODE
    return header.tobuf(tarfile.PAX_FORMAT)


def _members(place: PurePosixPath, files: Sequence[F]) -> Iterator[bytes | F]:
    made: set[str] = set()
    for file in files:
        inside = place / file.path
        for parent in parents(inside.parent):
            if parent not in made:
                made.add(parent)
                yield _folder_header(parent)
        yield file_header(str(inside).lstrip("/"), file.size_bytes)
        yield file
        if padding := -file.size_bytes % tarfile.BLOCKSIZE:
            yield bytes(padding)
