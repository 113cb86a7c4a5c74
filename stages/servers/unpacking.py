"""Weights out of a layer that a registry holds: unpacked as it comes, and compared with its digest."""

import hashlib
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from pipeline.errors import RemoteError
from pipeline.model import Descriptor, ModelFile, ModelLayer
from pipeline.reference import Digest
from stages.oci.layout import CHUNK_BYTES
from stages.oci.model_tar import FILE_MODE, FOLDER_MODE


class _Stream:
    """Pieces of bytes as a file, and the digest of all that was read of them."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._left = b""
        self._digest = hashlib.sha256()

    def read(self, count: int) -> bytes:
        while len(self._left) < count and (piece := next(self._pieces, b"")):
            self._digest.update(piece)
            self._left += piece
        taken, self._left = self._left[:count], self._left[count:]
        return taken

    def digest(self) -> str:
        """Read the rest, and return the digest of everything."""
        for piece in self._pieces:
            self._digest.update(piece)
        return f"sha256:{self._digest.hexdigest()}"


def unpack(pieces: Iterator[bytes], layer: Descriptor, path: str, folder: Path) -> ModelLayer:
    """Write the files of a layer of weights below `folder`, and return the layer as one that is read there.

    Raises:
        RemoteError: the bytes are not those of the digest, or are no layer of weights.
    """
    folder.mkdir(parents=True, exist_ok=True)
    stream = _Stream(pieces)
    try:
        with tarfile.open(fileobj=stream, mode="r|") as archive:  # type: ignore[call-overload] # it reads alone
            files = tuple(_files(archive, PurePosixPath(path), folder))
    except (tarfile.TarError, ValueError) as error:
        raise RemoteError(f"{layer.digest} is no layer of weights: {error}") from error
    if stream.digest() != layer.digest:
        raise RemoteError(f"the registry sent other bytes for {layer.digest}")
    for below in (folder, *(each for each in folder.rglob("*") if each.is_dir())):
        below.chmod(FOLDER_MODE)
    return ModelLayer(descriptor=layer, source=str(folder), path=path, files=files)


def _files(archive: tarfile.TarFile, place: PurePosixPath, folder: Path) -> Iterator[ModelFile]:
    for member in archive:
        if member.isdir():
            continue
        inside = PurePosixPath("/", member.name)
        content = archive.extractfile(member) if member.isreg() else None
        if content is None or ".." in inside.parts:
            raise ValueError(f"{member.name} is no plain file")
        path = inside.relative_to(place)  # ValueError: it is elsewhere
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha256()
        with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, FILE_MODE), "wb") as stream:
            while piece := content.read(CHUNK_BYTES):
                digest.update(piece)
                stream.write(piece)
        target.chmod(FILE_MODE)
        yield ModelFile(path=str(path), size_bytes=member.size, digest=Digest(f"sha256:{digest.hexdigest()}"))
