"""What an edited file is rendered by: the kustomization that uses it, or the chart that it belongs to."""

import posixpath
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from stages.manifests import yaml_tree
from stages.manifests.helm_values import CHART, VALUES
from stages.manifests.kustomize import FILE_NAMES
from stages.manifests.rendered_files import Files, NotHere, kustomization_in, loaded
from stages.manifests.tree import Kind, Tree

_HIGHEST = 3  # folders above the file's own in which a kustomization is looked for
_MOST_LOOKED_AT = 24  # folders near a component: each may cost a fetch
_MOST_USERS = 4


@dataclass(frozen=True, slots=True)
class Unit:
    """A folder that is rendered as a whole."""

    how: Literal["kustomize", "helm"]
    folder: str
    values: str | None = None
    """Another file of values beside the chart's own."""
    is_component: bool = False

    @property
    def tool(self) -> str:
        """The name of what renders it."""
        return "Kustomize" if self.how == "kustomize" else "Helm"


Read = Callable[[Tree, Unit], Files]


def kustomization_of(tree: Tree, path: str, read: Read) -> Unit | None:
    """Return the nearest kustomization that is rendered from this file, in its folder or above."""
    for folder in _upwards(path):
        found = kustomization_in(tree, folder)
        if found is None:
            continue
        unit = Unit("kustomize", folder, is_component=_is_component(tree, found))
        own = posixpath.basename(path) in FILE_NAMES and posixpath.dirname(path) == folder
        if own or _uses(tree, unit, path, read):
            return unit
    return None


def chart_of(tree: Tree, path: str) -> Unit | None:
    """Return the chart that a file belongs to, and whether it must be named as values."""
    for folder in _upwards(path):
        if CHART in tree.names(folder):
            inside = posixpath.relpath(path, folder or ".")
            own = inside == VALUES or inside.startswith(("templates/", "charts/", "crds/"))
            return Unit("helm", folder, None if own or _is_resource(tree, path) else path)
    return None


def component_users(tree: Tree, component: Unit, path: str, read: Read) -> Iterator[Unit]:
    """Return kustomizations near a component that use it, a few of them."""
    count = 0
    for folder in _near(tree, component.folder):
        found = kustomization_in(tree, folder)
        if found is None or folder == component.folder or _is_component(tree, found):
            continue
        unit = Unit("kustomize", folder)
        if _uses(tree, unit, path, read):
            yield unit
            count += 1
        if count == _MOST_USERS:
            return


def _uses(tree: Tree, unit: Unit, path: str, read: Read) -> bool:
    try:
        return path in read(tree, unit).contents
    except NotHere:  # only as far as it can be told
        return posixpath.dirname(path) == unit.folder


def _is_component(tree: Tree, path: str) -> bool:
    try:
        said = loaded(tree.read(path))
    except NotHere:
        return False
    return isinstance(said, dict) and said.get("kind") == "Component"


def _is_resource(tree: Tree, path: str) -> bool:
    text = tree.read(path).decode("utf-8-sig", "replace")
    return any(all(document.kind()) for document in yaml_tree.parse(path, text))


def _upwards(path: str) -> Iterator[str]:
    folder = posixpath.dirname(path)
    for _ in range(_HIGHEST + 1):
        yield folder
        if not folder:
            return
        folder = posixpath.dirname(folder)


def _near(tree: Tree, folder: str) -> Iterator[str]:
    """Return folders up to two levels below the second folder above, the nearest first."""
    top = posixpath.dirname(posixpath.dirname(folder))
    todo, looked_at = [(posixpath.dirname(folder), 0), (top, 0)], 0
    seen = {""}
    while todo and looked_at < _MOST_LOOKED_AT:
        here, depth = todo.pop(0)
        looked_at += 1
        if here not in seen:
            yield here
        seen.add(here)
        if depth < 2:
            below = (posixpath.join(here, name) for name in tree.names(here))
            todo += [(one, depth + 1) for one in below if one not in seen and tree.kind(one) is Kind.FOLDER]
