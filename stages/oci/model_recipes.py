"""Turns a model's files into layers: each is read at most once, and not at all when it is known."""

import hashlib
import json
import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import PurePosixPath

from pipeline.desk import Desk
from pipeline.errors import Interrupted, StageFailed
from pipeline.model import Descriptor, ModelFile, ModelLayer
from pipeline.reference import Digest
from stages.models.interface import Files, SourceFile
from stages.models.names import image_path, in_order
from stages.oci.known_digests import KnownDigests
from stages.oci.model_groups import group
from stages.oci.model_tar import LAYER_TYPE, length, pieces
from stages.oci.parallel import for_each
from stages.oci.reading_progress import ReadingProgress

FORM = 1
"""Counts up when the same files begin to give another tar, so that no older digest is taken for it."""
FILES_AT_A_TIME = max(2, min(8, os.cpu_count() or 1))


def describe(files: Files, path: str, desk: Desk, known: KnownDigests) -> tuple[ModelLayer, ...]:
    """Return the layers that put the files below `path` in the image, in their order in the manifest.

    Raises:
        ConfigurationError: a file or the path cannot go into a layer.
        StageFailed: a file changed while it was read, or is not what its source says.
        PipelineError: the source cannot be read.
    """
    place = image_path(path)
    groups = tuple(_Group(files, place, known, members) for members in group(in_order(files.list(desk))))
    layers = {one.members: one.find() for one in groups}
    unknown = [one for one in groups if layers[one.members] is None]
    unknown.sort(key=lambda one: one.size_bytes, reverse=True)  # the longest work begins first
    try:
        layers |= zip((one.members for one in unknown), _read(unknown, files, desk), strict=True)
    finally:
        known.save()
    return tuple(layer for one in groups if (layer := layers[one.members]) is not None)


def known_layers(
    files: Files, path: str, desk: Desk, known: KnownDigests
) -> tuple[tuple[int, ModelLayer | None], ...]:
    """Return the size of every layer-to-be, and the layer where it is known; no file is read.

    Raises:
        PipelineError: the source cannot be asked, or a file cannot go into a layer.
    """
    place = image_path(path)
    groups = (_Group(files, place, known, members) for members in group(in_order(files.list(desk))))
    return tuple((sum(map(length, pieces(place, one.members))), one.find()) for one in groups)


def recipe_name(place: PurePosixPath, files: Sequence[ModelFile]) -> str:
    """Return the name under which the digest of the layer of these files is known."""
    contents = [[file.path, file.size_bytes, file.digest] for file in files]
    return f"layer:{Digest.of(json.dumps([FORM, str(place), contents]).encode())}"


@dataclass(frozen=True, slots=True)
class _Group:
    """The files of one layer-to-be."""

    files: Files
    place: PurePosixPath
    known: KnownDigests
    members: tuple[SourceFile, ...]

    @property
    def size_bytes(self) -> int:
        return sum(file.size_bytes for file in self.members)

    def find(self) -> ModelLayer | None:
        """Return the layer if all digests are known, without reading anything."""
        found: list[ModelFile] = []
        for file in self.members:
            digest = file.digest or (self.known.find(file.identity) if file.settled else None)
            if digest is None:
                return None
            found.append(self._file(file, digest))
        layer = self.known.find(recipe_name(self.place, found))
        return None if layer is None else self._layer(layer, tuple(found))

    def read(self, reading: "_Reading") -> ModelLayer:
        """Read every file once, for its own digest and the layer's at the same time."""
        layer = hashlib.sha256()
        found: list[ModelFile] = []
        for piece in pieces(self.place, self.members):
            if isinstance(piece, bytes):
                layer.update(piece)
            else:
                found.append(self._file(piece, self._content(piece, layer, reading)))
        digest = _digest(layer)
        self.known.learn(recipe_name(self.place, found), digest)
        return self._layer(digest, tuple(found))

    def _content(self, file: SourceFile, layer: "hashlib._Hash", reading: "_Reading") -> Digest:
        own = hashlib.sha256()
        for chunk in self.files.read(file):
            other = reading.hashers.submit(own.update, chunk)  # hashing lets the other threads run
            layer.update(chunk)
            other.result()
            reading.note(len(chunk))
        digest = _digest(own)
        if file.digest not in {None, digest}:
            raise StageFailed(
                f"{self.files.name}: {file.path} is {digest}, and its source says {file.digest}",
                advice="It was changed or damaged on its way. Run again; if it stays so, mend the source.",
            )
        if file.settled:
            self.known.learn(file.identity, digest)
        return digest

    def _file(self, file: SourceFile, digest: Digest) -> ModelFile:
        # what `stat` says of a file here would mean nothing elsewhere, and the digest says more
        identity = file.identity if self.files.local_folder is None else ""
        return ModelFile(path=file.path, size_bytes=file.size_bytes, digest=digest, identity=identity)

    def _layer(self, digest: Digest, found: tuple[ModelFile, ...]) -> ModelLayer:
        size_bytes = sum(map(length, pieces(self.place, self.members)))
        descriptor = Descriptor(media_type=LAYER_TYPE, digest=digest, size_bytes=size_bytes)
        return ModelLayer(descriptor=descriptor, source=self.files.name, path=str(self.place), files=found)


@dataclass(frozen=True, slots=True)
class _Reading:
    """What the threads that read share."""

    hashers: ThreadPoolExecutor
    progress: ReadingProgress
    stopped: threading.Event

    def note(self, count: int) -> None:
        if self.stopped.is_set():
            raise Interrupted("reading the model was stopped")
        self.progress.read(count)


def _read(groups: Sequence[_Group], files: Files, desk: Desk) -> Iterator[ModelLayer]:
    if not groups:
        return
    progress = ReadingProgress(f"reading {files.name}", sum(one.size_bytes for one in groups), desk.say)
    stopped = threading.Event()
    with ThreadPoolExecutor(FILES_AT_A_TIME, thread_name_prefix="hash") as hashers:
        reading = _Reading(hashers, progress, stopped)
        yield from for_each(lambda one: one.read(reading), groups, threads=FILES_AT_A_TIME, stopped=stopped)
    progress.done()


def _digest(state: "hashlib._Hash") -> Digest:
    return Digest(f"sha256:{state.hexdigest()}")
