"""The bytes of a model layer, straight from the source of its files: nothing is written to disk again."""

import hashlib
from collections.abc import Iterator
from pathlib import PurePosixPath

from pipeline.errors import StageFailed
from pipeline.model import ModelFile, ModelLayer
from pipeline.reference import Digest
from stages.models.interface import Files, SourceFile
from stages.oci.model_tar import length, pieces


def stream(layer: ModelLayer, files: Files, offset: int = 0) -> Iterator[bytes]:
    """Yield the bytes of the layer from `offset` on, in pieces of at most a megabyte.

    A file of several that is read whole is compared with its digest. A layer of one file is not hashed twice:
    who takes the bytes compares the digest of the layer, which says the same.

    Raises:
        StageFailed: a file is gone, unreadable, or is no longer what was described.
        PipelineError: the source cannot be read.
    """
    skip = offset
    for piece in pieces(PurePosixPath(layer.path), layer.files):
        if skip >= length(piece):
            skip -= length(piece)
            continue
        if isinstance(piece, bytes):
            yield piece[skip:]
        elif skip or len(layer.files) == 1:
            yield from files.read(_listed(piece), skip)
        else:
            yield from _checked(piece, files)
        skip = 0


def _checked(file: ModelFile, files: Files) -> Iterator[bytes]:
    digest = hashlib.sha256()
    for chunk in files.read(_listed(file)):
        digest.update(chunk)
        yield chunk
    if (found := Digest(f"sha256:{digest.hexdigest()}")) != file.digest:
        raise StageFailed(
            f"{files.name}: {file.path} changed since its layer was described ({file.digest}, now {found})",
            advice="Let nothing write to the model during a run, and run again.",
        )


def _listed(file: ModelFile) -> SourceFile:
    return SourceFile(path=file.path, size_bytes=file.size_bytes, identity=file.identity, digest=file.digest)
