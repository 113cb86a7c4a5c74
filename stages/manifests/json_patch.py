"""A patch of Kustomize in a file of its own, as a list of operations (JSON Patch, RFC 6902)."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from stages.manifests.cursor import Cursor
from stages.manifests.interface import Place, Target
from stages.manifests.whole_reference import image_at


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
            sets = operation.text("op") in {"add", "replace"}
            if sets and (operation.text("path") or "").endswith("/image"):
                yield from image_at(operation.get("value"))
