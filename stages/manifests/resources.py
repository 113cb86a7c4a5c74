"""Requests and limits beside an image in a manifest, as they are rendered where they are."""

import tempfile
from collections.abc import Iterator, Mapping
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


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerResources:
    """What a manifest says of a container, by `cpu`, `memory` and other names; quantities as they stand."""

    path: str
    rendered: bool
    """They are what Kustomize or Helm makes of the manifest, patches included."""
    requests: Amounts
    limits: Amounts


def resources_of(tree: Tree, target: Target, image: NewImage, desk: Desk) -> ContainerResources | None:
    """Return the resources of the container that the target's image runs in; None where none are stated.

    Raises:
        ConfigurationError: the target names no such image.
    """
    for found in standing(tree, target, image):
        names = _names(found.reference, image)
        unit = kustomization_of(tree, found.path, _read) or chart_of(tree, found.path)
        rendered = _rendered(tree, unit, desk) if unit is not None else None
        own = () if rendered is not None else _documents(tree, found.path)
        for said in _stated(rendered if rendered is not None else own, names, target.container):
            return ContainerResources(
                path=found.path,
                rendered=rendered is not None,
                requests=_amounts(said.get("requests")),
                limits=_amounts(said.get("limits")),
            )
    return None


def _names(reference: str, image: NewImage) -> frozenset[Repository]:
    names = {image.repository}
    with suppress(ValueError):
        names.add(Reference.parse(reference).repository)
    return frozenset(names)


def _read(tree: Tree, unit: Unit) -> Files:
    reader = Reader()
    return reader.chart(tree, unit.folder) if unit.how == "helm" else reader.kustomization(tree, unit.folder)


def _rendered(tree: Tree, unit: Unit, desk: Desk) -> tuple[object, ...] | None:
    renderer = _renderer(unit)
    if renderer is None:
        return None
    with tempfile.TemporaryDirectory(dir=desk.folder, prefix="resources-") as scratch:
        try:
            return render(renderer, _read(tree, unit), {}, Path(scratch).resolve(), desk)
        except (NotHere, NotRendered):
            return None


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


def _stated(
    value: object, names: frozenset[Repository], container: str | None
) -> Iterator[Mapping[str, object]]:
    """Yield what stands under `resources:` beside one of the images, also in the values of a chart."""
    if isinstance(value, list | tuple):
        for item in value:
            yield from _stated(item, names, container)
    if not isinstance(value, dict):
        return
    said = value.get("resources")
    if isinstance(said, dict) and container in {None, value.get("name")} and _has_image(value, names):
        yield said
    for item in value.values():
        yield from _stated(item, names, container)


def _has_image(value: Mapping[str, object], names: frozenset[Repository]) -> bool:
    image = value.get("image", value.get("storageUri"))
    if isinstance(image, dict):
        image = image.get("repository")
    with suppress(ValueError):
        return isinstance(image, str) and Reference.parse(image.removeprefix("oci://")).repository in names
    return False


def _amounts(said: object) -> Amounts:
    return {str(name): str(amount) for name, amount in said.items()} if isinstance(said, dict) else {}
