"""Brings the layers that a builder made into the final image: the base's as they are, its own made anew.

Own layers get their times and their compression here and not in BuildKit. Its exporter would read, rewrite
and compress every layer on every build, changed or not (`rewrite-timestamp`), and a classic image store can
do neither. Here a layer that an earlier build had is taken from that one's image.

Source: OCI image specification 1.1, media-types.md.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from pipeline.model import Descriptor
from pipeline.reference import Digest
from stages.oci.layer_compression import Compression, compress, opened
from stages.oci.layer_memory import LayerMemory, Taken
from stages.oci.layer_times import clamp_times
from stages.oci.layout import Layout, read_chunks
from stages.oci.model_tar import LAYER_TYPE

FORM = 1
"""Counts up when the same layer begins to become another one."""
WORTH_A_WORD_BYTES = 50_000_000
_OCI_TYPES = {
    "application/vnd.docker.image.rootfs.diff.tar": LAYER_TYPE,
    "application/vnd.docker.image.rootfs.diff.tar.gzip": f"{LAYER_TYPE}+gzip",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Packing:
    """What the layers that a builder brought out shall become."""

    compression: Compression
    newest_s: int
    """Younger files of own layers get this time, in seconds since 1970."""
    plain_base: bool
    """The base image's layers came out uncompressed, however its registry has them; they are compressed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Packer:
    """Takes layers over from the layout that was built; without `packing` all as they are."""

    built: Layout
    target: Layout
    packing: Packing | None
    memory: LayerMemory
    say: Callable[[str], None]

    def take(self, layer: Descriptor, diff_id: Digest, *, own: bool) -> Taken:
        """Bring a layer over; `own` ones are those of the Dockerfile's instructions.

        Raises:
            StageFailed: a layer that is to be made anew cannot be read.
        """
        media_type = _OCI_TYPES.get(layer.media_type, layer.media_type)
        layer = layer.model_copy(update={"media_type": media_type})
        if self.packing is not None and own:
            return self._remembered(layer, self.packing.compression, self.packing.newest_s)
        if self.packing is not None and self.packing.plain_base:
            return self._remembered(layer, self.packing.compression, None)
        self.target.take(self.built, layer.digest)
        return Taken(descriptor=layer, diff_id=diff_id)

    def _remembered(self, layer: Descriptor, compression: Compression, newest_s: int | None) -> Taken:
        question = f"{FORM} {layer.digest} {newest_s} {compression.kind} {compression.used_level}"
        if (known := self.memory.find(question, self.target)) is not None:
            return known
        taken = self._pack(layer, compression, newest_s)
        self.memory.keep(question, taken, self.target)
        return taken

    def _pack(self, layer: Descriptor, compression: Compression, newest_s: int | None) -> Taken:
        if layer.size_bytes >= WORTH_A_WORD_BYTES:
            self.say(f"packing a layer of {layer.size_bytes / 1e6:.0f} MB ({layer.digest.short})")
        with opened(self.built.blob_path(layer.digest), layer.media_type) as file:
            tar = _Hashed(read_chunks(file) if newest_s is None else clamp_times(file, newest_s))
            descriptor = self.target.write(compress(tar, compression), compression.media_type)
        return Taken(descriptor=descriptor, diff_id=tar.digest)


class _Hashed:
    """Pieces of a tar, whose digest is known once they went by."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = chunks
        self._hash = hashlib.sha256()

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._chunks:
            self._hash.update(chunk)
            yield chunk

    @property
    def digest(self) -> Digest:
        return Digest(f"sha256:{self._hash.hexdigest()}")
