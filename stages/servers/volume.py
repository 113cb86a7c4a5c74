"""The model's files in volumes of the engine, for one that does not see the folders of this machine.

A volume is where the image has the model, with what the image has there below it, as in the delivered image.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pipeline.model import ModelLayer
from stages.models.file import FolderFiles
from stages.oci.model_layer import stream
from stages.oci.reading_progress import ReadingProgress
from stages.servers.mounts import mount_argument
from stages.servers.site import Site

TIMEOUT_S = 1800.0


@dataclass(frozen=True, slots=True)
class VolumeMount:
    """A volume of the engine, and its place in the container."""

    volume: str
    target: str

    def argument(self, *, writable: bool = False) -> str:
        """Return the value of `--mount`."""
        access = () if writable else ("readonly",)
        return mount_argument("type=volume", f"source={self.volume}", f"target={self.target}", *access)


def fill_volumes(layers: Sequence[ModelLayer], image: str, site: Site) -> tuple[VolumeMount, ...]:
    """Copy the layers' files into volumes that are removed when the stage ends, and return their mounts.

    Raises:
        StageFailed: a file is gone or changed, or the engine refuses it.
        DiskFull: the engine has no room for the weights.
    """
    if not layers:
        return ()
    mounts = tuple(
        VolumeMount(f"{site.name}-{number}", str(place)) for number, place in enumerate(_outermost(layers))
    )
    for mount in mounts:
        site.remove_at_the_end("volume", mount.volume)
        site.engine.ask("volume", "create", *site.label, mount.volume)
    _unpack(layers, _filler(mounts, image, site), site)
    return mounts


def _filler(mounts: Sequence[VolumeMount], image: str, site: Site) -> str:
    """Make a container that is never started: only through one can a tar be unpacked into a volume."""
    name = f"{site.name}-weights"
    options = [word for mount in mounts for word in ("--mount", mount.argument(writable=True))]
    site.desk.on_exit(lambda: _remove(name, site))
    pull = ("--pull", "never", "--network", "none")
    return site.engine.ask("create", "--name", name, *site.label, *pull, *options, image)


def _remove(container: str, site: Site) -> None:
    site.engine.attempt("rm", "--force", "--volumes", container)


def _unpack(layers: Sequence[ModelLayer], filler: str, site: Site) -> None:
    size_bytes = sum(file.size_bytes for layer in layers for file in layer.files)
    progress = ReadingProgress("copying the weights into the engine", size_bytes, site.desk.say)
    for layer in layers:
        content = _counted(layer, progress)
        site.engine.ask("cp", "-", f"{filler}:/", timeout_s=TIMEOUT_S, stdin=content)
    progress.done()
    _remove(filler, site)


def _counted(layer: ModelLayer, progress: ReadingProgress) -> Iterator[bytes]:
    for piece in stream(layer, FolderFiles(folder=Path(layer.source))):
        progress.read(len(piece))
        yield piece


def _outermost(layers: Sequence[ModelLayer]) -> Iterator[PurePosixPath]:
    places = sorted({PurePosixPath(layer.path) for layer in layers})
    for place in places:
        if not any(other != place and place.is_relative_to(other) for other in places):
            yield place
