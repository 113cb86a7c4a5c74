"""The limits that the container will have, from the manifest that a delivery will update."""

import shutil
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.desk import Desk
from pipeline.errors import ConfigurationError
from stages.gitops.destination import Destination
from stages.manifests.editing import EditedFile
from stages.manifests.resources import ContainerResources, resources_of
from stages.manifests.tree import Folder, Tree
from stages.servers.gpus import PROGRAM
from stages.servers.limits import Limits, parse_quantity

GPU = "nvidia.com/gpu"


@dataclass(slots=True)
class ManifestLimits:
    """Reads them once, from the GitOps repository or, where none is named, from the project's own folder."""

    destination: Destination
    root: Path
    known: Limits | None = field(default=None, init=False)

    def __call__(self, desk: Desk) -> Limits:
        """Return the limits.

        Raises:
            ConfigurationError: the manifests cannot be read, or state none.
            RemoteError: their repository cannot be reached.
        """
        if self.known is None:
            self.known = _limits(self._find(desk))
        return self.known

    def _find(self, desk: Desk) -> ContainerResources | None:
        found: list[ContainerResources] = []

        def look(tree: Tree) -> tuple[EditedFile, ...]:
            own = (resources_of(tree, *wish, desk) for wish in self.destination.sought)
            found[:] = [each for each in own if each is not None]
            return ()

        if self.destination.repository is None:
            look(Folder(self.root))
        else:
            self.destination.git_branch().preview(look, desk)
        return found[0] if found else None


def _limits(said: ContainerResources | None) -> Limits:
    advice = "State them there, or set `benchmark.memory_limit` and `benchmark.cpus` instead."
    if said is None:
        raise ConfigurationError("the manifests state no resources beside the image", advice=advice)
    memory = said.limits.get("memory")
    cpus = said.limits.get("cpu") or said.requests.get("cpu")
    if memory is None and cpus is None:
        why = f" ({said.unrendered}, so it was read as it stands)" * bool(said.unrendered)
        raise ConfigurationError(f"{said.path} states no limits beside the image{why}", advice=advice)
    how = " as rendered" if said.rendered else ""
    what = "limit" if said.limits.get("cpu") else "request"
    gpus = said.limits.get(GPU) or said.requests.get(GPU)
    here = gpus if shutil.which(PROGRAM) is not None else None
    parts = (
        f"memory limit {memory}" * bool(memory),
        f"cpu {what} {cpus}" * bool(cpus),
        f"{GPU} {gpus}{'' if here else ' (there is none here)'}" * bool(gpus),
    )
    try:
        return Limits(
            memory_bytes=None if memory is None else int(parse_quantity(memory)) or None,
            cpus=None if cpus is None else parse_quantity(cpus) or None,
            gpus=here,
            found=f"{', '.join(filter(None, parts))} of {said.path}{how}",
        )
    except ValueError as error:
        raise ConfigurationError(f"{said.path}: {error}", advice=advice) from error
