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
from stages.full_disk import full_disk_named
from stages.oci.model_tar import FILE_MODE, FOLDER_MODE

# Nobody writes through a read-only mount, so the write bits make no difference.
NOT_WRITE = 0o555
ONE_MODE = f"Give the model's files the mode {FILE_MODE:04o} (`chmod`), and no copy is needed."


@dataclass(frozen=True, slots=True)
class Mount:
    """A file or folder of the engine's machine, without a link on its way, and its place in the container."""

    source: Path
    target: str

    def argument(self) -> str:
        """Return the value of `--mount`."""
        return mount_argument("type=bind", f"source={self.source}", f"target={self.target}", "readonly")


def mount_argument(*fields: str) -> str:
    """Return a value of `--mount`: comma-separated values, so that a comma in a path does no harm."""
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(fields)
    return line.getvalue()


def model_mounts(layers: Sequence[ModelLayer], staging: Path) -> tuple[Mount, ...]:
    """Return the mounts that show the layers' files with their modes; copies are made below `staging`.

    Raises:
        StageFailed: a file is gone, has another size than when its layer was described, or is not here.
        DiskFull: there is no room for the copies.
    """
    trees = _trees(layers)
    for tree in trees:
        for file in tree.files:
            _refuse_changed(tree, file)
    _refuse_full_disk(trees, staging)
    return tuple(
        mount
        for number, tree in enumerate(trees)
        for mount in (
            (Mount(tree.source, str(tree.path)),)
            if _alone(tree, trees) and _same_as_layers(tree)
            else _files(tree, staging / str(number))
        )
    )


@dataclass(frozen=True, slots=True)
class _Tree:
    """The files that all layers together take from one folder to one place."""

    source: Path
    path: PurePosixPath
    files: tuple[ModelFile, ...]


def _trees(layers: Sequence[ModelLayer]) -> tuple[_Tree, ...]:
    files: dict[tuple[str, str], tuple[ModelFile, ...]] = {}
    for layer in layers:
        if not layer.source.startswith("/"):
            raise StageFailed(
                f"the model is in {layer.source}, and the server needs its files on this machine",
                advice="Fetch them into a folder and name it in `model.source`, or leave the benchmark out.",
            )
        place = (layer.source, layer.path)
        files[place] = (*files.get(place, ()), *layer.files)
    return tuple(_Tree(Path(source), PurePosixPath(path), found) for (source, path), found in files.items())


def _alone(tree: _Tree, trees: Sequence[_Tree]) -> bool:
    """Tell whether no other tree has files in, above or below this one's place."""
    others = [other.path for other in trees if other is not tree]
    return not any(tree.path.is_relative_to(other) or other.is_relative_to(tree.path) for other in others)


def _same_as_layers(tree: _Tree) -> bool:
    """Tell whether the folder on disk shows exactly what the layers will: the same files, readable alike."""
    below = (path for path in tree.source.rglob("*") if path.is_symlink() or not path.is_dir())
    if {str(path.relative_to(tree.source)) for path in below} != {file.path for file in tree.files}:
        return False
    folders = {parent for file in tree.files for parent in (tree.source / file.path).parents}
    inside = {folder for folder in folders if folder.is_relative_to(tree.source)}
    return all(_mode_fits(folder, FOLDER_MODE) for folder in inside) and all(
        _mode_fits(tree.source / file.path, FILE_MODE) for file in tree.files
    )


def _files(tree: _Tree, staging: Path) -> Iterator[Mount]:
    for file in tree.files:
        source = tree.source / file.path
        if not _mode_fits(source, FILE_MODE):
            source = _copy(source, staging / file.path)
        yield Mount(source, str(tree.path / file.path))


def _copy(source: Path, target: Path) -> Path:
    with full_disk_named(f"there is no room left for a copy of {source} in {target.parent}", ONE_MODE):
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
        target.chmod(FILE_MODE)
    return target


def needs_copy(path: Path) -> bool:
    """Tell whether a file cannot be mounted as it is, because the layer will give it another mode."""
    return not _mode_fits(path, FILE_MODE)


def _mode_fits(path: Path, mode: int) -> bool:
    return stat.S_IMODE(path.stat().st_mode) & NOT_WRITE == mode & NOT_WRITE


def _refuse_changed(tree: _Tree, file: ModelFile) -> None:
    path = tree.source / file.path
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


def _refuse_full_disk(trees: Sequence[_Tree], staging: Path) -> None:
    needed = sum(
        file.size_bytes
        for tree in trees
        for file in tree.files
        if not _mode_fits(tree.source / file.path, FILE_MODE)
    )
    free = shutil.disk_usage(staging.parent).free
    if needed > free:
        raise DiskFull(
            f"{needed} bytes of model files have another mode than in the image and need copying; "
            f"{free} bytes are free in {staging.parent}",
            advice=ONE_MODE,
        )
