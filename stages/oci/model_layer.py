"""A layer of weights: a tar that is described by its recipe and streamed from the model's own files.

The same files give the same bytes on every machine: sorted names, fixed mode, owner and time. Nothing is
compressed, so the digest is the diff id, and nothing is written to disk a second time.
"""

import hashlib
import os
import stat
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

from pipeline.errors import ConfigurationError, StageFailed
from pipeline.model import Descriptor, ModelFile, ModelLayer
from pipeline.reference import Digest
from stages.oci.layout import CHUNK_BYTES

LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar"
FILE_MODE, FOLDER_MODE = 0o644, 0o755


def describe(folder: Path, path: str) -> ModelLayer:
    """Read every file below `folder` once and return the layer that puts them below `path` in the image.

    Raises:
        ConfigurationError: the folder, one of its entries or the path cannot go into a layer.
        StageFailed: a file changed while it was read.
    """
    place = image_path(path)
    digest, size_bytes = hashlib.sha256(), 0
    files: list[ModelFile] = []
    for part in _tar(folder, place, ((name, _size(folder / name)) for name in list_files(folder)), files):
        digest.update(part)
        size_bytes += len(part)
    descriptor = Descriptor(media_type=LAYER_TYPE, digest=_digest(digest), size_bytes=size_bytes)
    return ModelLayer(descriptor=descriptor, source=folder, path=str(place), files=tuple(files))


def stream(layer: ModelLayer) -> Iterator[bytes]:
    """Yield the bytes of the layer, in pieces of at most a megabyte, straight from the model's files.

    Raises:
        StageFailed: a file is gone, unreadable, or is no longer what was described.
    """
    described = {file.path: file for file in layer.files}
    read: list[ModelFile] = []
    sizes = ((file.path, file.size_bytes) for file in layer.files)
    for part in _tar(layer.source, PurePosixPath(layer.path), sizes, read):
        if read and read[-1] != described[read[-1].path]:
            raise _changed(layer.source / read[-1].path)
        yield part


def list_files(folder: Path) -> tuple[str, ...]:
    """Return the paths of all files below a model folder, relative and sorted by their bytes.

    Raises:
        ConfigurationError: there are none, or there is an entry that is neither file nor folder.
    """
    if not folder.is_dir():
        what = "is not a folder" if folder.exists() else "does not exist"
        raise ConfigurationError(
            f"the model folder {folder} {what}",
            advice="Set `model.source` to the folder of the model's files.",
        )
    names = sorted(_walk(folder, ""), key=os.fsencode)
    if not names:
        raise ConfigurationError(
            f"the model folder {folder} holds no file",
            advice="Train or fetch the model first, or mend `model.source`.",
        )
    return tuple(names)


def image_path(path: str) -> PurePosixPath:
    """Return the folder in the image as a normal absolute path.

    Raises:
        ConfigurationError: it is not absolute, is the root, or climbs with `..`.
    """
    place = PurePosixPath(path)
    if not path.startswith("/") or path.startswith("//") or ".." in place.parts or len(place.parts) < 2:
        raise ConfigurationError(
            f"the model's path in the image is {path!r}, which is not an absolute path below /",
            advice="Set `model.path` to something like /models/digits.",
        )
    return place


def parents(path: PurePosixPath) -> tuple[str, ...]:
    """Return the folders that lead to an absolute path and the path itself, as a tar names them."""
    return tuple(str(parent).lstrip("/") for parent in (*reversed(path.parents[:-1]), path))


def _walk(folder: Path, prefix: str) -> Iterator[str]:
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                name = f"{prefix}{entry.name}"
                _refuse_unfit(entry, Path(entry.path))
                if entry.is_dir(follow_symlinks=False):
                    yield from _walk(Path(entry.path), f"{name}/")
                else:
                    yield name
    except PermissionError as error:
        raise _unreadable(Path(error.filename or folder), error) from error


def _refuse_unfit(entry: "os.DirEntry[str]", path: Path) -> None:
    if entry.is_symlink():
        raise ConfigurationError(
            f"{path} is a symbolic link, which cannot go into a model layer",
            advice="Put the file itself into the model folder (`cp --dereference`).",
        )
    if not entry.is_dir(follow_symlinks=False) and not entry.is_file(follow_symlinks=False):
        kind = stat.filemode(entry.stat(follow_symlinks=False).st_mode)
        raise ConfigurationError(
            f"{path} is neither a file nor a folder ({kind})", advice="Remove it from the model folder."
        )
    try:
        entry.name.encode()
    except UnicodeEncodeError:
        raise ConfigurationError(
            f"the name {os.fsencode(entry.path)!r} is not UTF-8", advice="Rename it."
        ) from None


def _tar(
    folder: Path, place: PurePosixPath, sizes: Iterator[tuple[str, int]], read: list[ModelFile]
) -> Iterator[bytes]:
    """Yield a tar of these files; a file is added to `read` before the piece that follows its content."""
    written = 0
    for part in _members(folder, place, sizes, read):
        written += len(part)
        yield part
    end = 2 * tarfile.BLOCKSIZE
    yield bytes(end + -(written + end) % tarfile.RECORDSIZE)


def _members(
    folder: Path, place: PurePosixPath, sizes: Iterator[tuple[str, int]], read: list[ModelFile]
) -> Iterator[bytes]:
    made: set[str] = set()
    for name, size_bytes in sizes:
        inside = place / name
        for parent in parents(inside.parent):
            if parent not in made:
                made.add(parent)
                yield _folder(parent)
        yield _file(str(inside).lstrip("/"), size_bytes)
        digest = hashlib.sha256()
        for chunk in _read(folder / name, size_bytes):
            digest.update(chunk)
            yield chunk
        read.append(ModelFile(path=name, size_bytes=size_bytes, digest=_digest(digest)))
        if padding := -size_bytes % tarfile.BLOCKSIZE:
            yield bytes(padding)


def _folder(name: str) -> bytes:
    header = tarfile.TarInfo(name)
    header.type, header.mode = tarfile.DIRTYPE, FOLDER_MODE
    return header.tobuf(tarfile.PAX_FORMAT)


def _file(name: str, size_bytes: int) -> bytes:
    header = tarfile.TarInfo(name)
    header.size, header.mode = size_bytes, FILE_MODE
    return header.tobuf(tarfile.PAX_FORMAT)


def _read(path: Path, size_bytes: int) -> Iterator[bytes]:
    """Yield exactly as many bytes as the header promised."""
    with _opened(path) as file:
        left = size_bytes
        while left and (chunk := file.read(min(CHUNK_BYTES, left))):
            left -= len(chunk)
            yield chunk
        if left or file.read(1):
            raise _changed(path)


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    try:
        number = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except PermissionError as error:
        raise _unreadable(path, error) from error
    except OSError as error:
        raise _changed(path) from error
    with os.fdopen(number, "rb", buffering=0) as file:
        yield file


def _digest(state: "hashlib._Hash") -> Digest:
    return Digest(f"sha256:{state.hexdigest()}")


def _size(path: Path) -> int:
    return path.stat(follow_symlinks=False).st_size


def _unreadable(path: Path, error: OSError) -> ConfigurationError:
    return ConfigurationError(
        f"{path} cannot be read: {error.strerror}", advice=f"Try `chmod -R u+rX {path.parent}`."
    )


def _changed(path: Path) -> StageFailed:
    return StageFailed(
        f"{path} changed since its layer was described",
        advice="Let nothing write to the model folder during a run, and run again.",
    )
