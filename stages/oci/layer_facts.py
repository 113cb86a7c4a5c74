"""What an application layer does on the way to a model's path, by its tar headers; it is read once."""

import contextlib
import os
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Literal

from pydantic import TypeAdapter, ValidationError

from pipeline.errors import StageFailed
from pipeline.model import Descriptor, Value
from stages.oci.layout import Layout
from stages.oci.model_tar import parents

FORM = 1
"""Counts up when other facts are needed, so that none of an earlier version is taken for them."""
MOST_ENTRIES = 2_000
_WHITEOUT, _OPAQUE = ".wh.", ".wh..wh..opq"


class Entry(Value):
    """What a layer puts at a name."""

    kind: Literal["folder", "link", "file"]
    owner: int
    group: int
    mode: int
    target: str = ""
    """Where a link leads."""


class LayerFacts(Value):
    """What a layer has on the way to a path, at it and below it; names are without a leading slash."""

    entries: dict[str, Entry]
    removed: tuple[str, ...] = ()
    """What it removes of the layers below it; a name with a slash at its end is all that the folder has."""


_Known = TypeAdapter(dict[str, LayerFacts])


@dataclass(slots=True)
class KnownFacts:
    """The facts of layers, read from their tars or known from an earlier run.

    It is a cache: what cannot be read is forgotten, and a file that cannot be written is none.
    """

    path: Path | None
    """A JSON file that later runs read; it appears whole or not at all. None: nothing is kept."""
    _known: dict[str, LayerFacts] = field(default_factory=dict)
    _used: dict[str, LayerFacts] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._known = _load(self.path) if self.path is not None else {}

    def of(self, layout: Layout, layer: Descriptor, place: PurePosixPath) -> LayerFacts:
        """Return what a layer of the layout does on the way to `place`.

        Raises:
            StageFailed: the layer cannot be read.
        """
        name = f"{FORM} {layer.digest} {place}"
        facts = self._used.get(name) or self._known.get(name) or _read(layout, layer, place)
        self._used[name] = facts
        return facts

    def save(self) -> None:
        """Write what is known; when there are too many entries, those that were longest in no use go."""
        if self.path is None or self._used.keys() <= self._known.keys():
            return
        earlier = {name: facts for name, facts in _load(self.path).items() if name not in self._used}
        entries = list((earlier | self._used).items())[-MOST_ENTRIES:]
        with contextlib.suppress(OSError):  # the next run reads the layers again, nothing worse
            _write(self.path, _Known.dump_json(dict(entries)))


def _load(path: Path) -> dict[str, LayerFacts]:
    try:
        return _Known.validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return {}


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    number, name = tempfile.mkstemp(dir=path.parent, prefix=".incomplete-")
    temporary = Path(name)
    try:
        with os.fdopen(number, "wb") as file:
            file.write(content)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _read(layout: Layout, layer: Descriptor, place: PurePosixPath) -> LayerFacts:
    way = parents(place)
    entries: dict[str, Entry] = {}
    removed: list[str] = []
    for header in _headers(layout, layer):
        name = PurePosixPath("/", header.name).as_posix().lstrip("/")
        if (gone := _removed(name)) is not None:
            if _concerns(gone, way):
                removed.append(gone)
        elif name in way or name.startswith(f"{way[-1]}/"):
            entries[name] = _entry(header)
    return LayerFacts(entries=entries, removed=tuple(removed))


def _removed(name: str) -> str | None:
    """Return what a whiteout removes, or None for what is none."""
    folder, slash, base = name.rpartition("/")
    if base == _OPAQUE:
        return f"{folder}/"
    return f"{folder}{slash}{base.removeprefix(_WHITEOUT)}" if base.startswith(_WHITEOUT) else None


def _concerns(gone: str, way: tuple[str, ...]) -> bool:
    name = gone.rstrip("/")
    return not name or name in way or name.startswith(f"{way[-1]}/")


def _entry(header: tarfile.TarInfo) -> Entry:
    return Entry(
        kind="folder" if header.isdir() else "link" if header.issym() else "file",
        owner=header.uid,
        group=header.gid,
        mode=header.mode & 0o7777,
        target=header.linkname if header.issym() else "",
    )


def _headers(layout: Layout, layer: Descriptor) -> Iterator[tarfile.TarInfo]:
    import zstandard

    try:
        with _content(layout, layer) as stream, tarfile.open(fileobj=stream, mode="r|*") as tar:
            for entry in tar:
                tar.members = []  # type: ignore[attr-defined]  # it would remember every header
                yield entry
    except (tarfile.TarError, OSError, EOFError, zstandard.ZstdError) as error:
        raise StageFailed(
            f"the application layer {layer.digest.short} cannot be read: {error}",
            advice="Run the build again.",
        ) from error


@contextmanager
def _content(layout: Layout, layer: Descriptor) -> Iterator[IO[bytes]]:
    """Open a layer; tarfile itself knows what is compressed with gzip, but not with zstd."""
    import zstandard

    with layout.blob_path(layer.digest).open("rb") as file:
        if not layer.media_type.endswith("+zstd"):
            yield file
            return
        with zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True) as stream:
            yield stream
