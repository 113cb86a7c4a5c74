"""The model's files in a server's container: mounted where the engine sees them, else copied to it."""

import shutil
from collections.abc import Sequence
from dataclasses import replace

from pipeline.model import ModelLayer
from stages.servers.mounts import Mount, model_mounts
from stages.servers.site import Site
from stages.servers.volume import VolumeMount, fill_volumes


def place_weights(
    layers: Sequence[ModelLayer], image: str, site: Site
) -> tuple[Mount, ...] | tuple[VolumeMount, ...]:
    """Return the read-only mounts that show the layers' files where the image will have them.

    Raises:
        StageFailed: a file is gone or changed, or the engine refuses it.
        DiskFull: there is no room for the copies that are needed.
    """
    found = None if site.reach.kind == "engine" else _seen(layers, site)
    return fill_volumes(layers, image, site) if found is None else found


def _seen(layers: Sequence[ModelLayer], site: Site) -> tuple[Mount, ...] | None:
    """Return mounts with the paths by which the engine knows the files; None where it misses one."""
    staging = site.desk.folder / "model"
    site.desk.on_exit(lambda: shutil.rmtree(staging, ignore_errors=True))
    found = []
    for mount in model_mounts(layers, staging):
        source = site.reach.seen(mount.source)
        if source is None:
            return None
        found.append(replace(mount, source=source))
    return tuple(found)
