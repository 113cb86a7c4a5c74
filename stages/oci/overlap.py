"""Finds what of the application layers a model layer would hide or change, from the tar headers alone."""

import stat
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from pipeline.errors import StageFailed
from pipeline.model import Descriptor
from stages.oci.layout import Layout
from stages.oci.model_tar import FOLDER_MODE, parents

_HIDDEN, _OPAQUE = ".wh.", ".wh..wh..opq"


def refuse_overlap(layout: Layout, layers: Sequence[Descriptor], path: str) -> None:
    """Check that the application image has room for a model at `path`.

    Raises:
        StageFailed: there is something at the path, or a folder above it is not a plain one of root's.
    """
    place = PurePosixPath(path)
    found = _entries(layout, layers, place)
    *above, own = parents(place)
    for name in above:
        if name in found and (reason := _unlike_ours(found[name])):
            raise StageFailed(
                f"/{name} in the image {reason}; the model layer would make it a plain folder of root's",
                advice=f"Choose a `model.path` whose parents are root's, such as /models/{place.name}.",
            )
    inside = sorted(name for name in found if name.startswith(f"{own}/"))
    if inside or (own in found and not found[own].isdir()):
        raise StageFailed(
            f"the application image already has /{inside[0] if inside else own}, where the model goes",
            advice="Take the model out of the Dockerfile, or choose another `model.path`.",
        )


def _unlike_ours(entry: tarfile.TarInfo) -> str:
    if not entry.isdir():
        return f"is a link to {entry.linkname}" if entry.issym() else "is not a folder"
    if (entry.uid, entry.gid, entry.mode & 0o7777) == (0, 0, FOLDER_MODE):
        return ""
    mode = stat.filemode(stat.S_IFDIR | entry.mode)
    return f"belongs to {entry.uid}:{entry.gid} with mode {mode}"


def _entries(
    layout: Layout, layers: Sequence[Descriptor], place: PurePosixPath
) -> dict[str, tarfile.TarInfo]:
    """Return what the layers together have on the way to the path, at it and below it."""
    way = parents(place)
    found: dict[str, tarfile.TarInfo] = {}
    for layer in layers:
        for entry in _headers(layout, layer):
            name = PurePosixPath("/", entry.name).as_posix().lstrip("/")
            folder, _, base = name.rpartition("/")
            if base.startswith(_HIDDEN):
                gone = (
                    f"{folder}/" if base == _OPAQUE else f"{folder}/{base.removeprefix(_HIDDEN)}".lstrip("/")
                )
                found = {name: kept for name, kept in found.items() if not _below(name, gone)}
            elif name in way or name.startswith(f"{way[-1]}/"):
                found[name] = entry
    return found


def _below(name: str, gone: str) -> bool:
    return name.startswith(gone) if gone.endswith("/") else name == gone or name.startswith(f"{gone}/")


def _headers(layout: Layout, layer: Descriptor) -> Iterator[tarfile.TarInfo]:
    if layer.media_type.endswith("+zstd"):
        raise StageFailed(
            f"the application layer {layer.digest.short} is compressed with zstd, which cannot be read here",
            advice="Use gzip, BuildKit's default.",
        )
    try:
        with tarfile.open(layout.blob_path(layer.digest), mode="r|*") as tar:
            for entry in tar:
                tar.members = []  # type: ignore[attr-defined]  # it would remember every header
                yield entry
    except (tarfile.TarError, OSError, EOFError) as error:
        raise StageFailed(
            f"the application layer {layer.digest.short} cannot be read: {error}",
            advice="Run the build again.",
        ) from error
