"""What a model takes of a disk: next to nothing, but where a server runs with it or a folder gets it."""

from pathlib import Path

from pipeline.desk import Desk
from pipeline.errors import PipelineError
from pipeline.model import DiskNeed
from stages.models.fetch import WEIGHTS, kept_bytes, kept_size
from stages.models.model import Model
from stages.oci.layout import Layout
from stages.servers.mounts import needs_copy


def benchmark_needs(model: Model, desk: Desk) -> tuple[DiskNeed, ...]:
    """Return what the weights take so that a server can run with them here; what was fetched needs nothing.

    A source that cannot be asked says so in the checks of the build.
    """
    try:
        return fetched_needs(model, desk) or (_copied(model, desk),)
    except (PipelineError, OSError):
        return ()


def fetched_needs(model: Model, desk: Desk) -> tuple[DiskNeed, ...]:
    """Return what remote weights take once they are here, for whatever stage; those of a folder are.

    Raises:
        PipelineError: the source cannot be asked.
    """
    return (_fetched(model, desk),) if model.files.local_folder is None else ()


def export_needs(model: Model, folder: Path, desk: Desk) -> tuple[DiskNeed, ...]:
    """Return what an OCI image layout takes that gets the weights: all layers that are not in it yet.

    The application's layers are shared with the build by hard links.
    """
    layout = Layout(folder)
    try:
        layers = model.known_layers(desk)
    except PipelineError:
        return ()
    missing = sum(
        size_bytes for size_bytes, layer in layers if layer is None or not layout.has(layer.descriptor.digest)
    )
    return (
        DiskNeed(
            purpose="weights in the image folder",
            path=folder,
            size_bytes=missing,
            reason="the layers of the model that are not there yet",
            advice="With `registries:` the weights are streamed there, and take no room here. "
            f"Earlier images in {folder} may be removed.",
        ),
    )


def _fetched(model: Model, desk: Desk) -> DiskNeed:
    """Count what is missing; of an earlier model, what is not wanted again is removed before."""
    folder = desk.cache / WEIGHTS
    files = model.known_files(desk)
    missing = sum(file.size_bytes - (kept_size(folder, digest) if digest else 0) for file, digest in files)
    wanted = {digest for _, digest in files if digest is not None}
    removed = kept_bytes(folder, wanted) if len(wanted) == len({file.identity for file, _ in files}) else 0
    return DiskNeed(
        purpose="weights for scan and benchmark",
        path=folder,
        size_bytes=max(0, missing - removed),
        reason=f"the files of {model.files.name} that are not here yet",
        advice="`skip: {benchmark: why}` and `scan.model_files: false` keep the weights off this machine.",
    )


def _copied(model: Model, desk: Desk) -> DiskNeed:
    folder = model.files.local_folder or Path()
    copied = [file for file, _ in model.known_files(desk) if needs_copy(folder / file.path)]
    return DiskNeed(
        purpose="weights for the benchmark",
        path=desk.cache,
        size_bytes=sum(file.size_bytes for file in copied),
        reason="files whose mode is not the image's are copied",
        advice=f"Give the files in {folder} the mode 0644 (`chmod`), and none is copied.",
    )
