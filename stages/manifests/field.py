"""One field of any document, by its path: for custom resources that no form knows."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from pipeline.errors import ManifestRefused
from stages.manifests.cursor import Cursor
from stages.manifests.field_path import Step, joined, parse_field_path
from stages.manifests.interface import Place, Target
from stages.manifests.refusal import refusal
from stages.manifests.split_reference import SplitReference, is_split
from stages.manifests.whole_reference import address_at, image_at
from stages.manifests.yaml_tree import MappingNode, ScalarNode

_PARTS = {"registry", "repository", "tag", "digest"}


@dataclass(frozen=True, slots=True)
class Field:
    """A document that has the target's field, whatever else it is."""

    name: ClassVar[str] = "field"
    understands: ClassVar[frozenset[str]] = frozenset({"field"})

    def recognises(self, document: Cursor, target: Target) -> bool:
        """Tell whether the document has the field."""
        return target.field is not None and document.follow(parse_field_path(target.field)) is not None

    def places(self, document: Cursor, target: Target) -> Iterator[Place]:
        """Return the reference, or the mapping of its parts."""
        steps = parse_field_path(target.field or "")
        found, above = document.follow(steps), document.follow(steps[:-1])
        if found is None:
            return
        if (
            above is not None
            and isinstance(found.node, ScalarNode)
            and steps[-1] in _PARTS
            and is_split(above)
        ):
            raise _not_whole(found, "is one part of a reference", steps[:-1])
        if isinstance(found.node, ScalarNode):
            yield from tuple(address_at(found)) or tuple(image_at(found))
        elif is_split(found):
            yield SplitReference(found)
        else:
            kind = "mapping without `repository`" if isinstance(found.node, MappingNode) else "list"
            raise _not_whole(found, f"is a {kind}", ())


def _not_whole(found: Cursor, problem: str, better: tuple[Step, ...]) -> ManifestRefused:
    path = ""
    for step in better:
        path = joined(path, step)
    advice = "Name a value that is a whole reference, or the mapping that holds `repository`."
    return refusal(
        found.document.path,
        found.node.line,
        f"{found.path} {problem}",
        advice=f"Name the mapping that holds all parts: `field: {path}`." if path else advice,
    )
