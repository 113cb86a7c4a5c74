"""The model's files where the image will have them: read-only mounts of the very files.

A mounted file keeps the mode that it has on disk, while the layer gives every file the same one. A file whose
mode differs would be readable here and not in the image, or the reverse; such a file is mounted from a copy.
(A hard link would share the mode.)
"""

import csv
import io
import shutil
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pipeline.errors import DiskFull, StageFailed
from pipeline.model import ModelFile, ModelLayer
from stages.oci.model_layer import FILE_MODE, FOLDER_MODE, list_files

# Nobody writes through a read-only mount, so the write bits make no difference.
NOT_WRITE = 0o555


@dataclass(frozen=True, slots=True)
class Mount:
    """A file or folder of this machine, and its place in the container."""

    source: Path
    target: str

    def argument(self) -> str:
        """Return the value of `--mount`: comma-separated values, so that a comma in a path does no harm."""
        line = io.StringIO()
        csv.writer(line, lineterminator="").writerow(
            ["type=bind", f"source={self.source.resolve()}", f"target={self.target}", "readonly"]
        )
        return line.getvalue()


def model_mounts(layers: Sequence[ModelLayer], staging: Path) -> tuple[Mount, ...]:
    """Return the mounts that show the layers' files with their modes; copies are made below `staging`.

    Raises:
        StageFailed: a file is gone or has another size than when its layer was described.
        DiskFull: there is no room for the copies.
    """
    for layer in layers:
        for file in layer.files:
            _refuse_changed(layer, file)
    _refuse_full_disk(layers, staging)
    return tuple(
        mount
        for number, layer in enumerate(layers)
        for mount in (
            (Mount(layer.source, layer.path),)
            if _alone(layer, layers) and _same_as_layer(layer)
            else _files(layer, staging / str(number))
        )
    )


def _alone(layer: ModelLayer, layers: Sequence[ModelLayer]) -> bool:
    """Tell whether no other layer has files in, above or below its folder."""
    path = PurePosixPath(layer.path)
    others = [PurePosixPath(other.path) for other in layers if other is not layer]
    return not any(path.is_relative_to(other) or other.is_relative_to(path) for other in others)


def _same_as_layer(layer: ModelLayer) -> bool:
    """Tell whether the folder on disk shows exactly what the layer will: the same files, readable alike."""
    if set(list_files(layer.source)) != {file.path for file in layer.files}:
        return False
    folders = {parent for file in layer.files for parent in (layer.source / file.path).parents}
    inside = {folder for folder in folders if folder.is_relative_to(layer.source)}
    return all(_mode_fits(folder, FOLDER_MODE) for folder in inside) and all(
        _mode_fits(layer.source / file.path, FILE_MODE) for file in layer.files
    )


def _files(layer: ModelLayer, staging: Path) -> Iterator[Mount]:
    for file in layer.files:
        source = layer.source / file.path
        if not _mode_fits(source, FILE_MODE):
            source = _copy(source, staging / file.path)
        yield Mount(source, str(PurePosixPath(layer.path) / file.path))


def _copy(source: Path, target: Path) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    target.chmod(FILE_MODE)
    return target


def _mode_fits(path: Path, mode: int) -> bool:
    return stat.S_IMODE(path.stat().st_mode) & NOT_WRITE == mode & NOT_WRITE


def _refuse_changed(layer: ModelLayer, file: ModelFile) -> None:
    path = layer.source / file.path
    try:
        size_bytes = path.stat().st_size
    except OSError as error:
        raise StageFailed(
            f"the model's file {path} is gone: {error.strerror}",
            advice="Let nothing write to the model folder during a run, and run again.",
        ) from error
    if size_bytes != file.size_bytes:
        raise StageFailed(
            f"the model's file {path} has {size_bytes} bytes; the image was built from {file.size_bytes}",
            advice="Let nothing write to the model folder during a run, and run again.",
        )


def _refuse_full_disk(layers: Sequence[ModelLayer], staging: Path) -> None:
    needed = sum(
        file.size_bytes
        for layer in layers
        for file in layer.files
        if not _mode_fits(layer.source / file.path, FILE_MODE)
    )
    free = shutil.disk_usage(staging.parent).free
    if needed > free:
        raise DiskFull(
            f"{needed} bytes of model files have another mode than in the image and need copying; "
            f"{free} bytes are free in {staging.parent}",
            advice=f"Give the files the mode {FILE_MODE:04o} (`chmod`), and no copy is needed.",
        )
