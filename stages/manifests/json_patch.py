"""A patch of Kustomize in a file of its own, as a list of operations (JSON Patch, RFC 6902)."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

from stages.manifests.cursor import Cursor
from stages.manifests.interface import Place, Target
from stages.manifests.kubernetes import container_image
from stages.manifests.whole_reference import address_at, image_at
from stages.manifests.yaml_tree import ScalarNode

_ADDRESSES = {"storageUri", "modelUri", "uri"}


@dataclass(frozen=True, slots=True)
class JsonPatch:
    """A list of operations, some of which set an image."""

    name: ClassVar[str] = "json-patch"
    understands: ClassVar[frozenset[str]] = frozenset()

    def recognises(self, document: Cursor, target: Target) -> bool:
        """Tell whether the document is a list of operations and of nothing else."""
        operations = document.items()
        return bool(operations) and all(
            operation.text("op") and operation.text("path") is not None for operation in operations
        )

    def places(self, document: Cursor, target: Target) -> Iterator[Place]:
        """Return the values that are put where an image stands; what is only tested stays."""
        for operation in document.items():
            value = operation.get("value")
            if operation.text("op") in {"add", "replace"} and value is not None:
                yield from _put(value, (operation.text("path") or "").split("/"))


def _put(value: Cursor, path: list[str]) -> Iterator[Place]:
    if isinstance(value.node, ScalarNode):
        if path[-1] == "image" or path[-2:] == ["image", "reference"]:
            yield from image_at(value)
        elif path[-1] in _ADDRESSES:
            yield from address_at(value)
    elif path[-1] == "-" or path[-1].isdecimal():
        yield from _items((value,), path[-2])
    else:
        yield from _items(value.items(), path[-1])


def _items(items: Iterable[Cursor], key: str) -> Iterator[Place]:
    """Return the images of containers or volumes that are put into a pod as a whole."""
    for item in items:
        if key in {"containers", "initContainers"}:
            yield from container_image(item)
        elif key == "volumes":
            yield from image_at(item.at("image", "reference"), item.text("name") or "")
