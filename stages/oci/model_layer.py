"""The bytes of a model layer, straight from the source of its files: nothing is written to disk again."""

from collections.abc import Iterator
from pathlib import PurePosixPath

from pipeline.model import ModelFile, ModelLayer
from stages.models.interface import Files, SourceFile
from stages.oci.model_tar import length, pieces


def stream(layer: ModelLayer, files: Files, offset: int = 0) -> Iterator[bytes]:
    """Yield the bytes of the layer from `offset` on, in pieces of at most a megabyte.

    Nothing is hashed here: who takes the bytes compares the digest of the layer, which stands for every file.

    Raises:
        StageFailed: a file is gone, unreadable, or no longer as long as was described.
        PipelineError: the source cannot be read.
    """
    skip = offset
    for piece in pieces(PurePosixPath(layer.path), layer.files):
        if skip >= length(piece):
            skip -= length(piece)
            continue
        if isinstance(piece, bytes):
            yield piece[skip:]
        else:
            yield from files.read(_listed(piece), skip)
        skip = 0


def _listed(file: ModelFile) -> SourceFile:
    return SourceFile(path=file.path, size_bytes=file.size_bytes, identity=file.identity, digest=file.digest)
