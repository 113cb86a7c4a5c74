"""Requests and limits beside an image in a manifest, as they are rendered where they are."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pipeline.desk import Desk
from pipeline.reference import Reference, Repository
from stages.manifests.editing import standing
from stages.manifests.interface import NewImage, Target
from stages.manifests.render import (
    Helm,
    Kustomizer,
    NotRendered,
    Renderer,
    documents,
    has_helm,
    kustomize_command,
    render,
)
from stages.manifests.rendered_files import Files, NotHere, Reader
from stages.manifests.tree import Tree
from stages.manifests.units import Unit, chart_of, kustomization_of

Amounts = Mapping[str, str]
_BEFORE = "initContainers"


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerResources:
    """What a manifest says of a container, by `cpu`, `memory` and other names; quantities as they stand."""

    path: str
    rendered: bool
    """They are what Kustomize or Helm makes of the manifest, patches included."""
    requests: Amounts
    limits: Amounts
    unrendered: str = ""
    """Why they are not, where Kustomize or Helm makes something of the manifest."""


def resources_of(tree: Tree, target: Target, image: NewImage, desk: Desk) -> ContainerResources | None:
    """Return the resources of the container that the target's image runs in; None where none are stated.

    Raises:
        ConfigurationError: the target names no such image.
    """
    unrendered: ContainerResources | None = None
    for found in standing(tree, target, image):
        names = _names(found.reference, image)
        unit = kustomization_of(tree, found.path, _read) or chart_of(tree, found.path)
        rendered, why = _rendered(tree, unit, desk) if unit is not None else (None, "")
        said = _stated(_documents(tree, found.path) if rendered is None else rendered, names, target)
        known = ContainerResources(
            path=found.path,
            rendered=rendered is not None,
            requests=_amounts(said.get("requests")),
            limits=_amounts(said.get("limits")),
            unrendered=why,
        )
        if said:
            return known
        unrendered = unrendered or (known if why else None)
    return unrendered


def _names(reference: str, image: NewImage) -> frozenset[Repository]:
    names = {image.repository}
    with suppress(ValueError):
        names.add(Reference.parse(reference).repository)
    return frozenset(names)


def _read(tree: Tree, unit: Unit) -> Files:
    reader = Reader()
    return reader.chart(tree, unit.folder) if unit.how == "helm" else reader.kustomization(tree, unit.folder)


def _rendered(tree: Tree, unit: Unit, desk: Desk) -> tuple[tuple[object, ...] | None, str]:
    """Return the rendered documents, or why there are none."""
    renderer = _renderer(unit)
    if renderer is None:
        return None, f"{unit.tool} is not on this machine"
    with tempfile.TemporaryDirectory(dir=desk.folder, prefix="resources-") as scratch:
        try:
            return render(renderer, _read(tree, unit), {}, Path(scratch).resolve(), desk), ""
        except (NotHere, NotRendered) as error:
            return None, f"{unit.tool} does not render {unit.folder or 'its folder'}: {error}"


def _renderer(unit: Unit) -> Renderer | None:
    if unit.how == "helm":
        return Helm(unit.folder, unit.values) if has_helm() else None
    command = kustomize_command()
    return Kustomizer(command, unit.folder) if command is not None else None


def _documents(tree: Tree, path: str) -> tuple[object, ...]:
    try:
        return documents(tree.read(path).decode(errors="replace"))
    except NotRendered:
        return ()


def _stated(found: Sequence[object], names: frozenset[Repository], target: Target) -> Mapping[str, object]:
    """Return what stands under `resources:` beside one of the images, also in the values of a chart.

    Documents of the target's kind and name go before others, as a renderer may rename them; containers go
    before those that only prepare a pod.
    """
    named = [each for each in found if _is_called(each, target)]
    for group in (named, found):
        beside = sorted(_containers(group, names, target.container), key=lambda each: each[0])
        same = [container for before, container in beside if before == beside[0][0]]
        if same:
            said = (each.get("resources") for each in same)
            return next((each for each in said if isinstance(each, dict)), {})
    return {}


def _is_called(document: object, target: Target) -> bool:
    if not isinstance(document, dict):
        return False
    metadata = document.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    return target.kind in {None, document.get("kind")} and target.name in {None, name}


def _containers(
    value: object, names: frozenset[Repository], container: str | None, *, before: bool = False
) -> Iterator[tuple[bool, Mapping[str, object]]]:
    """Yield what names one of the images, and whether it only prepares a pod."""
    if isinstance(value, list | tuple):
        for item in value:
            yield from _containers(item, names, container, before=before)
    if not isinstance(value, dict):
        return
    if container in {None, value.get("name")} and _has_image(value, names):
        yield before, value
    for key, item in value.items():
        yield from _containers(item, names, container, before=before or key == _BEFORE)


def _has_image(value: Mapping[str, object], names: frozenset[Repository]) -> bool:
    image = value.get("image", value.get("storageUri"))
    if isinstance(image, dict):
        image = image.get("repository")
    with suppress(ValueError):
        return isinstance(image, str) and Reference.parse(image.removeprefix("oci://")).repository in names
    return False


def _amounts(said: object) -> Amounts:
    return {str(name): str(amount) for name, amount in said.items()} if isinstance(said, dict) else {}
