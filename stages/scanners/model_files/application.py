"""Model files that a Dockerfile brought into the application's layers, recognised by content and by name.

Layers are read as streams, each once: what was found is remembered by the layer's digest. What a package
manager installed (site-packages, the system's Python) is left out: the scanner of packages looks there, and
whoever may write there needs no pickle.
"""

import hashlib
import posixpath
import re
import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from pipeline.desk import Desk
from pipeline.errors import StageFailed
from pipeline.model import BuiltImage, Descriptor, Value
from pipeline.reference import Digest
from stages.oci.layer_compression import opened
from stages.oci.layout import Layout
from stages.scanners.model_files.candidates import HEAD_BYTES, is_model, likelihood, worth_a_look
from stages.scanners.model_files.memory import Memory
from stages.scanners.model_files.result import Result, look_into
from stages.scanners.model_files.weights import Looked

_INSTALLED = re.compile(r"(^|/)(site-packages|dist-packages)/|^(usr/)?lib(64)?/python\d|^(proc|sys|dev)/")
_COPIED_BYTES = 1024 * 1024


class _Found(Value):
    path: str
    digest: Digest
    size_bytes: int
    result: Result


class LayerFiles(Value):
    """The model files of a layer."""

    files: tuple[_Found, ...]

    @property
    def lasts(self) -> bool:
        """Tell whether the same layer gives the same again."""
        return all(file.result.lasts for file in self.files)


@dataclass(frozen=True, slots=True)
class Application:
    """The layers of the image but for the weights, and of the weights' own image."""

    timeout_s: float = 600.0

    def look(self, image: BuiltImage, memory: Memory, desk: Desk) -> tuple[Looked, ...]:
        """Return the model files in all layers, each layer once; paths are absolute.

        Raises:
            StageFailed: a layer cannot be read.
        """
        layout = Layout.open(image.layout)
        return tuple(
            looked for layer in _layers(image) for looked in self._of_layer(layout, layer, memory, desk)
        )

    def _of_layer(self, layout: Layout, layer: Descriptor, memory: Memory, desk: Desk) -> Iterator[Looked]:
        known = memory.find(layer.digest, LayerFiles)
        made = known
        if made is None:
            made = LayerFiles(files=tuple(self._read(layout, layer, desk)))
            if made.lasts:
                memory.keep(layer.digest, made)
        for file in made.files:
            yield Looked(
                path=file.path,
                digest=file.digest,
                size_bytes=file.size_bytes,
                result=file.result,
                reused=known is not None,
            )

    def _read(self, layout: Layout, layer: Descriptor, desk: Desk) -> Iterator[_Found]:
        try:
            with (
                opened(layout.blob_path(layer.digest), layer.media_type) as stream,
                tarfile.open(fileobj=stream, mode="r|") as tar,
            ):
                for header in tar:
                    tar.members = []  # type: ignore[attr-defined]  # it would remember every header
                    if header.isreg() and header.size and not _INSTALLED.search(_path(header)):
                        yield from self._of_file(header, tar.extractfile(header), desk)
        except (tarfile.TarError, OSError, EOFError) as error:
            raise StageFailed(
                f"the application layer {layer.digest.short} cannot be read: {error}",
                advice="Run the build again.",
            ) from error

    def _of_file(self, header: tarfile.TarInfo, stream: IO[bytes] | None, desk: Desk) -> Iterable[_Found]:
        if stream is None:
            return
        head = stream.read(HEAD_BYTES)
        likely = likelihood(header.name, head)
        if likely == "no":
            return
        with tempfile.NamedTemporaryFile(dir=desk.folder, prefix="model-file-") as copy:
            digest = hashlib.sha256(head)
            copy.write(head)
            while piece := stream.read(_COPIED_BYTES):
                digest.update(piece)
                copy.write(piece)
            copy.flush()
            if likely == "maybe" and not worth_a_look(Path(copy.name)):
                return
            result = look_into(Path(copy.name), self.timeout_s)
        if likely == "maybe" and not is_model(result):
            return
        yield _Found(
            path=f"/{_path(header)}",
            digest=Digest(f"sha256:{digest.hexdigest()}"),
            size_bytes=header.size,
            result=result,
        )


def _path(header: tarfile.TarInfo) -> str:
    """Return where a file lies, from the root; what in its name is no UTF-8 by its number."""
    name = header.name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return posixpath.normpath(f"/{name}").lstrip("/")


def _layers(image: BuiltImage) -> tuple[Descriptor, ...]:
    images = (image, *((image.model_image,) if image.model_image is not None else ()))
    platforms = (platform for one in images for platform in one.platforms)
    return tuple({one.digest: one for platform in platforms for one in platform.application_layers}.values())
