"""Values of Helm charts: images whole or in parts, at any depth, below plain or dotted keys."""

import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from pipeline.reference import Reference
from stages.manifests.cursor import Cursor
from stages.manifests.embedded import Embedded
from stages.manifests.interface import Place, Target
from stages.manifests.split_reference import SplitReference, is_split
from stages.manifests.walk import descend, entries
from stages.manifests.whole_reference import WholeReference, image_at
from stages.manifests.yaml_tree import MappingNode

FILE_NAME = re.compile(r"(?:values.*|.+[-_.]values)\.(?:ya?ml|json)")
CHART, VALUES = "Chart.yaml", "values.yaml"
_REPOSITORY = "repository"
_REST = ("tag", "digest", "registry")


@dataclass(frozen=True, slots=True)
class HelmValues:
    """A file of values, known by its name, by the target's `form: helm`, or by an image in parts."""

    name: ClassVar[str] = "helm"
    understands: ClassVar[frozenset[str]] = frozenset()

    def recognises(self, document: Cursor, target: Target) -> bool:
        """Tell whether the document is a mapping without apiVersion and kind that may be a chart's values."""
        if not isinstance(document.node, MappingNode) or document.get("apiVersion") or document.get("kind"):
            return False
        named = FILE_NAME.fullmatch(document.document.path.rpartition("/")[2])
        if named or target.form == self.name:
            return True
        # a file that the target itself names may be called anything
        itself = posixpath.normpath(target.path) == document.document.path
        return any(map(_has_parts, descend(document))) or (
            itself and any(True for _ in images_in_values(document))
        )

    def places(self, document: Cursor, target: Target) -> Iterator[Place]:
        """Return the images of all values."""
        yield from images_in_values(document)


def images_in_values(values: Cursor) -> Iterator[Place]:
    """Return the images of values: mappings with a `repository`, and whole references as `image`."""
    for mapping in descend(values):
        if is_split(mapping):
            yield SplitReference(mapping)
        for key, value in entries(mapping):
            prefix = key.removesuffix(_REPOSITORY)
            if key.endswith(f".{_REPOSITORY}") and mapping.text(key):
                yield SplitReference(mapping, prefix)
            if is_image_key(key):
                yield from _whole(mapping, key, value)


def is_image_key(key: str) -> bool:
    """Tell whether a value of this name is a whole reference: `image`, `server.image`, `sidecarImage`."""
    last = key.rpartition(".")[2]
    return last == "image" or last.endswith("Image")


def _whole(mapping: Cursor, key: str, value: Cursor) -> Iterator[Place]:
    for place in image_at(value):
        if not _is_name(place.name):
            continue
        beside = next((other for other in _beside(key) if mapping.text(other) is not None), None)
        yield place if beside is None or place.current != place.name else _in_two_keys(place, beside)


def _beside(key: str) -> tuple[str, ...]:
    """Return what a chart may call the tag and the digest of an image that is a name alone."""
    own = (f"{key}Tag", f"{key}Digest", f"{key}.tag", f"{key}.digest")
    return (*own, "tag", "digest") if key == "image" else own


def _in_two_keys(place: WholeReference, beside: str) -> Embedded:
    part = "digest" if beside.lower().endswith("digest") else "tag"
    return Embedded(
        place.at,
        place.name,
        place.current,
        f"has its {part} apart, in `{beside}`",
        "Write it as a mapping of `repository` and `tag`, or as one reference, if the chart allows that; "
        f"otherwise mark `{beside}` and name it by `marker:`.",
    )


def _is_name(text: str) -> bool:
    try:
        Reference.parse(text)
    except ValueError:
        return False
    return True


def _has_parts(cursor: Cursor) -> bool:
    return is_split(cursor) and any(cursor.get(key) is not None for key in _REST)
