"""Remote weights on this machine, for a server that runs here: fetched once, kept by their digests.

They come from the nearest place: what was kept, else a registry that has their layer, else their source.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from pipeline.desk import Desk
from pipeline.errors import DiskFull, RemoteError, StageFailed
from pipeline.model import ModelFile, ModelLayer
from pipeline.reference import Digest
from stages.full_disk import full_disk_named
from stages.models.interface import Files, SourceFile
from stages.models.registry_layers import OpenLayers, RegistryLayers, note
from stages.oci.layout import CHUNK_BYTES
from stages.oci.model_tar import FILE_MODE, FOLDER_MODE
from stages.oci.progress import in_words
from stages.oci.reading_progress import ReadingProgress

PART = ".part"
WEIGHTS = "weights"
"""The folder in the cache."""


class Place(Protocol):
    """Where files can be read from: their source, or a registry that has their layer."""

    @property
    def name(self) -> str: ...  # noqa: D102

    def read(self, file: SourceFile, offset: int = 0) -> Iterator[bytes]: ...  # noqa: D102


def fetch(
    layers: Sequence[ModelLayer],
    files: Files | None,
    desk: Desk,
    registries: RegistryLayers | None = None,
    *,
    keep: Sequence[ModelLayer] = (),
) -> tuple[ModelLayer, ...]:
    """Return the layers with their files in a folder of this machine; local ones as they are.

    A file of which half was fetched goes on there. What is here stays until the stage ends; of an earlier
    model, only the files that are wanted again are kept, and those of the layers to `keep`.

    Raises:
        StageFailed: a file is not what its layer says.
        DiskFull: there is no room for the files.
        PipelineError: the source cannot be read, nor a registry in its place.
    """
    if files is None or files.local_folder is not None:
        return tuple(layers)
    kept = _Kept(desk.cache / WEIGHTS)
    wanted = {file.digest: file for layer in layers for file in layer.files}
    kept.hold(wanted.keys() | {file.digest for layer in keep for file in layer.files}, desk)
    missing = [file for digest, file in wanted.items() if not kept.file(digest).exists()]
    kept.refuse_full_disk(missing)
    if missing:
        progress = ReadingProgress("fetching the weights", sum(file.size_bytes for file in missing), desk.say)
        near = registries.open(desk) if registries is not None else None
        with full_disk_named(f"there is no room left for the weights in {kept.path}", kept.how_to_need_less):
            for layer in layers:
                kept.fetch(layer, near, files, progress, desk)
    folder = {"source": str(kept.folder(layers))}
    return tuple(layer.model_copy(update=folder) for layer in layers)


def kept_size(folder: Path, digest: Digest) -> int:
    """Return how much of a file is there already, whole or in part."""
    path = _Kept(folder).file(digest)
    return _size(path) or _size(_part_path(path))


def kept_bytes(folder: Path, wanted: Collection[Digest]) -> int:
    """Return the size of all files that are kept, but for the wanted ones: what `fetch` removes first.

    Nothing where another run holds them.
    """
    kept = _Kept(folder)
    files = {kept.file(digest).name for digest in wanted}
    if not kept.path.is_dir() or kept.is_held():
        return 0
    others = (path for path in kept.path.glob("files/*") if path.name.removesuffix(PART) not in files)
    return sum(_size(path) for path in others)


@dataclass(frozen=True, slots=True)
class _Kept:
    """Files by their digests, and folders that show them under their names by hard links."""

    path: Path

    @property
    def how_to_need_less(self) -> str:
        return (
            f"Free some (nothing else needs {self.path}); or do without what needs the weights here: "
            "`skip: {benchmark: why}` and `scan.model_files: false`."
        )

    def file(self, digest: Digest) -> Path:
        return self.path / "files" / digest.removeprefix("sha256:")

    def hold(self, wanted: Collection[Digest], desk: Desk) -> None:
        """Keep what is here until the stage ends; where nobody else does, remove what is not wanted first."""
        (self.path / "files").mkdir(parents=True, exist_ok=True)
        holder = (self.path / "held").open("a")
        desk.on_exit(holder.close)
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(holder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._remove_all_but(wanted)
        fcntl.flock(holder, fcntl.LOCK_SH)

    def is_held(self) -> bool:
        """Tell whether a run keeps what is here."""
        try:
            with (self.path / "held").open("r") as holder:
                fcntl.flock(holder, fcntl.LOCK_EX | fcntl.LOCK_NB)  # closing it gives it free
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False

    def _remove_all_but(self, wanted: Collection[Digest]) -> None:
        shutil.rmtree(self.path / "folders", ignore_errors=True)
        names = {self.file(digest).name for digest in wanted}
        for path in (self.path / "files").iterdir():
            if path.name.removesuffix(PART) not in names:
                path.unlink()

    def fetch(
        self,
        layer: ModelLayer,
        registries: OpenLayers | None,
        source: Place,
        progress: ReadingProgress,
        desk: Desk,
    ) -> None:
        """Fetch what is missing of a layer; a registry that fails leaves the rest to the source."""
        missing = [file for file in layer.files if not self.file(file.digest).exists()]
        near: Place | None = registries.find(layer) if registries is not None and missing else None
        for file in missing:
            if near is not None:
                try:
                    self._fetch_file(file, near, progress)
                    continue
                except (RemoteError, StageFailed) as error:
                    note(desk, f"{error.message}: the rest of this layer is fetched from {source.name}")
                    near = None
            self._fetch_file(file, source, progress)
        if missing:
            size_bytes = sum(file.size_bytes for file in missing)
            place = (near or source).name
            note(desk, f"{layer.descriptor.digest.short}: {in_words(size_bytes)} fetched from {place}")

    def _fetch_file(self, file: ModelFile, place: Place, progress: ReadingProgress) -> None:
        target = self.file(file.digest)
        with _part(target) as part:
            if target.exists():  # another run was quicker
                return
            if _complete(part, file, place, progress) or _complete(part, file, place, progress, anew=True):
                os.fchmod(part.fileno(), FILE_MODE)
                Path(part.name).rename(target)
                return
            part.truncate(0)
        raise StageFailed(
            f"{place.name}: {file.path} is not {file.digest}, which its layer was made of",
            advice="It changed, or was damaged on its way. Run again; if it stays so, mend the source.",
        )

    def folder(self, layers: Sequence[ModelLayer]) -> Path:
        """Return a folder in which the files of all layers have their names."""
        files = [file for layer in layers for file in layer.files]
        text = "\n".join(sorted(f"{file.digest} {file.path}" for file in files))
        folder = self.path / "folders" / hashlib.sha256(text.encode()).hexdigest()
        for file in files:
            place = folder / file.path
            place.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileExistsError):  # another run may show the same files just now
                place.hardlink_to(self.file(file.digest))
        for below in (folder, *(path for path in folder.rglob("*") if path.is_dir())):
            below.chmod(FOLDER_MODE)
        return folder

    def refuse_full_disk(self, missing: Sequence[ModelFile]) -> None:
        needed = sum(file.size_bytes - _size(_part_path(self.file(file.digest))) for file in missing)
        free = shutil.disk_usage(self.path).free
        if needed > free:
            raise DiskFull(
                f"the model needs {in_words(needed)} in {self.path} so that it can run here; "
                f"{in_words(free)} are free",
                advice=self.how_to_need_less,
            )


def _complete(
    part: BinaryIO, file: ModelFile, place: Place, progress: ReadingProgress, *, anew: bool = False
) -> bool:
    """Read the rest of the file, or all of it; tell whether it is what its digest says."""
    if anew:
        part.truncate(0)
    digest = hashlib.sha256()
    part.seek(0)
    while piece := part.read(CHUNK_BYTES):
        digest.update(piece)
    if part.tell() <= file.size_bytes:
        listed = SourceFile(
            path=file.path, size_bytes=file.size_bytes, identity=file.identity, digest=file.digest
        )
        for piece in place.read(listed, part.tell()):
            digest.update(piece)
            part.write(piece)
            progress.read(len(piece))
    part.flush()
    return f"sha256:{digest.hexdigest()}" == file.digest


@contextmanager
def _part(target: Path) -> Iterator[BinaryIO]:
    """Open the half file of a target, for one process at a time."""
    with _part_path(target).open("a+b") as part:
        fcntl.flock(part, fcntl.LOCK_EX)
        yield part


def _part_path(target: Path) -> Path:
    return target.with_name(f"{target.name}{PART}")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
